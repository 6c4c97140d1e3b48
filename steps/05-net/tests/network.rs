//! Each test runs in a process with a user and a network namespace of its own. There it is root,
//! and that namespace is the host of its containers: so any user can run them, and the machine's
//! network is left alone.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;

use anyhow::{Context, Result, ensure};
use net::netlink::{LOOPBACK, Netlink};
use net::{Args, Connection, Mode, host_link};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getgid, getuid};
use pid::{Child, Clone3};

const TESTS: &[(&str, fn())] = &[
    ("none_has_a_loopback_and_nothing_else", none_has_a_loopback_and_nothing_else),
    ("host_changes_nothing", host_changes_nothing),
    ("veth_reaches_the_host", veth_reaches_the_host),
    ("veth_into_a_user_namespace", veth_into_a_user_namespace),
    ("two_at_once_get_different_addresses", two_at_once_get_different_addresses),
    ("a_chosen_address_is_taken", a_chosen_address_is_taken),
    ("an_address_in_use_is_refused", an_address_in_use_is_refused),
    (
        "an_address_of_a_neighbouring_network_is_refused",
        an_address_of_a_neighbouring_network_is_refused,
    ),
    ("a_wide_route_is_no_obstacle", a_wide_route_is_no_obstacle),
    ("a_name_in_use_is_refused", a_name_in_use_is_refused),
    ("an_address_needs_a_veth_pair", an_address_needs_a_veth_pair),
    ("nothing_stays_of_a_failed_start", nothing_stays_of_a_failed_start),
    ("deleting_twice_is_no_error", deleting_twice_is_no_error),
    ("pasta_missing_names_the_package", pasta_missing_names_the_package),
    ("pasta_failing_says_why", pasta_failing_says_why),
];

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = wanted.unwrap_or_default();
    let chosen = TESTS.iter().filter(|(name, _)| name.contains(&wanted));
    let failed = chosen.filter(|(name, test)| !passes(name, *test)).count();
    exit(i32::from(failed > 0));
}

fn passes(name: &str, test: fn()) -> bool {
    let (uid, gid) = (getuid(), getgid());
    // SAFETY: this process has one thread.
    let status = match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => waitpid(child, None).expect("wait"),
        ForkResult::Child => {
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).expect("unshare");
            become_root("self", uid.as_raw(), gid.as_raw());
            exit(i32::from(catch_unwind(AssertUnwindSafe(test)).is_err()));
        }
    };
    let passed = matches!(status, WaitStatus::Exited(_, 0));
    println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    passed
}

fn become_root(process: &str, uid: u32, gid: u32) {
    let write = |file: &str, text: String| {
        fs::write(format!("/proc/{process}/{file}"), text).expect(file);
    };
    write("setgroups", "deny".into());
    write("uid_map", format!("0 {uid} 1"));
    write("gid_map", format!("0 {gid} 1"));
}

fn args(network: Mode) -> Args {
    Args { network, ip: None }
}

/// A child that waits at its gate; behind it, the network is brought up and `inside` looks at it.
fn spawn(args: &Args, inside: impl Fn(Option<Ipv4Addr>) -> Result<()>) -> Child {
    start(args.namespace(), args, inside)
}

fn start(
    namespaces: CloneFlags,
    args: &Args,
    inside: impl Fn(Option<Ipv4Addr>) -> Result<()>,
) -> Child {
    let mut clone = Clone3::default();
    clone.namespace(namespaces);
    let contain = |gate: &pid::Gate| {
        gate.wait()?;
        inside(net::bring_up(args)?)?;
        Ok(0)
    };
    clone.spawn(contain).expect("spawn")
}

fn finish(mut child: Child) {
    child.release().expect("release");
    assert_eq!(child.wait().expect("wait"), 0, "the child failed, see above");
}

/// The names of all interfaces, of the namespace that this process is in.
fn links() -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").expect("net/dev");
    let names = table.lines().skip(2).filter_map(|line| line.split(':').next());
    names.map(|name| name.trim().to_string()).collect()
}

/// The gateway of the default route: the one to 0.0.0.0.
fn gateway() -> Option<Ipv4Addr> {
    let table = fs::read_to_string("/proc/thread-self/net/route").expect("net/route");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.into_iter().find(|row| row[1] == "00000000")?;
    let number = u32::from_str_radix(row[2], 16).expect("hexadecimal");
    Some(Ipv4Addr::from(number.to_ne_bytes()))
}

fn talk_to_oneself() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no loopback")?;
    TcpStream::connect(listener.local_addr()?).context("loopback is down")?;
    Ok(())
}

fn none_has_a_loopback_and_nothing_else() {
    let args = args(Mode::None);
    let child = spawn(&args, |address| {
        ensure!(address.is_none() && links() == ["lo"], "links: {:?}", links());
        talk_to_oneself()
    });
    let connection = net::connect(child.pid(), "x", &args).expect("connect");
    assert!(matches!(connection, Connection::None));
    finish(child);
}

fn host_changes_nothing() {
    let args = args(Mode::Host);
    assert!(args.namespace().is_empty());
    assert_eq!(net::bring_up(&args).expect("bring up"), None);
    assert!(talk_to_oneself().is_err(), "the host's loopback was switched on");
}

fn veth_reaches_the_host() {
    reaches_the_host(CloneFlags::empty());
}

/// As from step 6 on: the child's network namespace belongs to the child's user namespace.
fn veth_into_a_user_namespace() {
    reaches_the_host(CloneFlags::CLONE_NEWUSER);
}

fn reaches_the_host(more: CloneFlags) {
    let args = args(Mode::Veth);
    let child = start(args.namespace() | more, &args, |address| {
        let address = address.context("no address")?;
        let gateway = gateway().context("no default route")?;
        ensure!(links() == ["lo", "eth0"], "links: {:?}", links());
        ensure!(u32::from(address) ^ u32::from(gateway) == 1, "{address} through {gateway}");
        talk_to_oneself()?;
        let mut host = TcpStream::connect((gateway, 7)).context("the host does not answer")?;
        ensure!(host.local_addr()?.ip() == address);
        host.write_all(b"hello").context("write")
    });
    if more.contains(CloneFlags::CLONE_NEWUSER) {
        become_root(&child.pid().to_string(), 0, 0);
    }
    let connection = net::connect(child.pid(), "web", &args).expect("connect");
    assert_eq!(links(), ["lo", "to-web"]);
    let listener = TcpListener::bind("0.0.0.0:7").expect("listen");
    // The connection waits to be accepted, also when its other end is gone.
    finish(child);
    let mut text = String::new();
    listener.accept().expect("accept").0.read_to_string(&mut text).expect("read");
    assert_eq!(text, "hello");
    drop(connection);
    assert_eq!(links(), ["lo"]);
}

fn two_at_once_get_different_addresses() {
    let args = args(Mode::Veth);
    let (mut read, write) = std::io::pipe().expect("pipe");
    let spawn = || {
        spawn(&args, |address| {
            let text = format!("{}\n", address.context("no address")?);
            (&write).write_all(text.as_bytes()).context("write")
        })
    };
    let children = [spawn(), spawn(), spawn()];
    let names = ["a", "b", "c"];
    let _connections = [0, 1, 2]
        .map(|n: usize| net::connect(children[n].pid(), names[n], &args).expect("connect"));
    children.into_iter().for_each(finish);
    drop(write);
    let mut text = String::new();
    read.read_to_string(&mut text).expect("read");
    let mut addresses: Vec<&str> = text.lines().collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 3, "{text}");
}

fn a_chosen_address_is_taken() {
    let address = Ipv4Addr::new(192, 168, 99, 6);
    let args = Args { network: Mode::Veth, ip: Some(address) };
    let child = spawn(&args, |got| {
        ensure!(got == Some(address), "{got:?}");
        ensure!(gateway() == Some(Ipv4Addr::new(192, 168, 99, 7)), "{:?}", gateway());
        Ok(())
    });
    let _connection = net::connect(child.pid(), "web", &args).expect("connect");
    finish(child);
}

/// Puts an address on the host's own loopback.
fn give_host(address: [u8; 4], prefix: u8) {
    let mut netlink = Netlink::open().expect("netlink");
    netlink.set_up(LOOPBACK).expect("up");
    netlink.add_address(LOOPBACK, address.into(), prefix).expect("address");
}

fn refused(args: &Args) -> String {
    let child = spawn(args, |_| Ok(()));
    let error = net::connect(child.pid(), "web", args).err().expect("must be refused");
    assert_eq!(links(), ["lo"], "something stays");
    format!("{error:#}")
}

fn an_address_in_use_is_refused() {
    give_host([10, 7, 0, 1], 32);
    give_host([10, 8, 0, 1], 24);
    for used in [[10, 7, 0, 1], [10, 7, 0, 0], [10, 8, 0, 77], [10, 8, 0, 1]] {
        let args = Args { network: Mode::Veth, ip: Some(used.into()) };
        let error = refused(&args);
        assert!(error.contains("in use") && error.contains("--ip"), "{used:?}: {error}");
    }
    // A loopback interface answers for all of its network.
    give_host([10, 200, 3, 4], 8);
    assert!(refused(&args(Mode::Veth)).contains("in use"));
}

/// The host need not have the address itself: a network next to it may.
fn an_address_of_a_neighbouring_network_is_refused() {
    let args = args(Mode::Veth);
    let lan = spawn(&args, |_| Ok(()));
    let _lan = net::connect(lan.pid(), "lan", &args).expect("connect");
    let mut netlink = Netlink::open().expect("netlink");
    let index = netlink.link(&host_link("lan")).expect("link").header.index;
    netlink.add_address(index, Ipv4Addr::new(10, 77, 0, 1), 24).expect("address");

    let args = Args { network: Mode::Veth, ip: Some(Ipv4Addr::new(10, 77, 0, 9)) };
    let child = spawn(&args, |_| Ok(()));
    let error = net::connect(child.pid(), "web", &args).err().expect("must be refused");
    assert!(error.to_string().contains("in use"), "{error:#}");
}

/// A container's pair is cut out of a /8 that the host routes elsewhere, as VPNs do.
fn a_wide_route_is_no_obstacle() {
    let wide = args(Mode::Veth);
    let first = spawn(&wide, |_| Ok(()));
    let _first = net::connect(first.pid(), "vpn", &wide).expect("connect");
    let mut netlink = Netlink::open().expect("netlink");
    let index = netlink.link(&host_link("vpn")).expect("link").header.index;
    netlink.add_address(index, Ipv4Addr::new(10, 9, 0, 1), 8).expect("address");

    let args = args(Mode::Veth);
    let child = spawn(&args, |_| Ok(()));
    let _connection = net::connect(child.pid(), "web", &args).expect("connect");
    finish(child);
}

fn a_name_in_use_is_refused() {
    let args = args(Mode::Veth);
    let first = spawn(&args, |_| Ok(()));
    let _first = net::connect(first.pid(), "web", &args).expect("connect");
    let second = spawn(&args, |_| Ok(()));
    let error = net::connect(second.pid(), "web", &args).err().expect("must be refused");
    assert!(format!("{error:#}").contains("cannot make the veth pair to-web"), "{error:#}");
    assert_eq!(links(), ["lo", "to-web"]);
}

fn an_address_needs_a_veth_pair() {
    let args = Args { network: Mode::None, ip: Some(Ipv4Addr::new(10, 0, 0, 1)) };
    let error = net::connect(Pid::this(), "web", &args).err().expect("must be refused");
    assert!(error.to_string().contains("--network veth"), "{error:#}");
}

fn nothing_stays_of_a_failed_start() {
    let args = args(Mode::Veth);
    let child = spawn(&args, |_| Ok(()));
    let connection = net::connect(child.pid(), "web", &args).expect("connect");
    drop(child);
    drop(connection);
    assert_eq!(links(), ["lo"]);
    // The pid is free again: there is no namespace to make a pair in.
    let error = net::connect(Pid::from_raw(i32::MAX), "web", &args).err().expect("no such child");
    assert!(format!("{error:#}").contains("ESRCH"), "{error:#}");
}

fn deleting_twice_is_no_error() {
    let args = args(Mode::Veth);
    let child = spawn(&args, |_| Ok(()));
    let _connection = net::connect(child.pid(), "web", &args).expect("connect");
    let mut netlink = Netlink::open().expect("netlink");
    let index = netlink.link(&host_link("web")).expect("link").header.index;
    netlink.delete_link(index).expect("once");
    netlink.delete_link(index).expect("twice");
    assert_eq!(links(), ["lo"]);
}

fn pasta_missing_names_the_package() {
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("PATH", "/nonexistent") };
    let error = net::connect(Pid::this(), "web", &args(Mode::Pasta)).err().expect("no pasta");
    let hint: &chroot::Hint = error.downcast_ref().expect("a hint");
    assert!(hint.0.contains("package passt"), "{}", hint.0);
}

/// Or that it is missing, where it is: the message is one line with an act either way.
fn pasta_failing_says_why() {
    let args = args(Mode::Pasta);
    let error = net::connect(Pid::from_raw(i32::MAX), "web", &args).err().expect("no such child");
    let text = format!("{error:#}");
    assert!(text.contains("pasta: ") && !text.contains('\n'), "{text}");
}
