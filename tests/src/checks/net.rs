//! Step 5: a network of the container's own, and a cable to the host.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result, ensure};

use super::uts::own_namespace;
use super::{Check, Context, Need, Running, expect};
use crate::interface::{self, Interface};
use crate::wait::wait_for;
use crate::{Probe, Process};

const STEP: Check = Check { step: 5, ..Check::DEFAULT };

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "own-network-namespace",
        asks: "Is /proc/PID/ns/net another than the host's?",
        look_at: "main.rs: clone.namespace(cli.net.namespace()); network_namespaces(7)",
        exercise: "5",
        run: |context| own_namespace("net", &context.start(&[])?),
        ..STEP
    },
    Check {
        name: "host-network",
        asks: "With --network host, is it the host's network namespace?",
        look_at: "main.rs: clone.namespace(cli.net.namespace()); network_namespaces(7)",
        exercise: "5",
        before: Some("without a network namespace it is the host's anyway"),
        run: host_network,
        ..STEP
    },
    Check {
        name: "loopback-is-up",
        asks: "Is lo up with 127.0.0.1, and can the command talk to itself?",
        look_at: "netlink.rs: set_up; rtnetlink(7), netdevice(7)",
        exercise: "5.2",
        run: loopback_is_up,
        ..STEP
    },
    Check {
        name: "none-is-a-loopback-alone",
        asks: "With --network none, is lo the only interface, and is there no route?",
        look_at: "lib.rs: bring_up; network_namespaces(7)",
        exercise: "5.1",
        run: none_is_a_loopback_alone,
        ..STEP
    },
    Check {
        name: "veth-pair",
        asks: "Is eth0 up with a private address and a default route, and named after the container outside?",
        look_at: "main.rs: net::connect, veth.rs: Veth::connect; veth(4), rtnetlink(7)",
        exercise: "5.3",
        needs: &[Need::Root],
        run: veth_pair,
        ..STEP
    },
    Check {
        name: "gateway-answers",
        asks: "Does the command reach a service of the host at its gateway's address?",
        look_at: "veth.rs: Veth::connect, set_up; veth(4)",
        exercise: "5.3",
        needs: &[Need::Root],
        run: gateway_answers,
        ..STEP
    },
    Check {
        name: "ip-flag",
        asks: "Does eth0 have the address of --ip?",
        look_at: "veth.rs: bring_up; rtnetlink(7)",
        exercise: "5.4",
        needs: &[Need::Root],
        run: ip_flag,
        ..STEP
    },
    Check {
        name: "two-at-once-differ",
        asks: "Do two containers at once have different addresses?",
        look_at: "veth.rs: bring_up, other_end, address.rs: container; rtnetlink(7)",
        exercise: "5.4",
        needs: &[Need::Root],
        run: two_at_once_differ,
        ..STEP
    },
    Check {
        name: "pair-goes-with-the-container",
        asks: "Is the host's end gone when the container has ended, also by SIGKILL of the parent?",
        look_at: "main.rs: _connection, veth.rs: Veth::connect, Drop; veth(4)",
        exercise: "5.3",
        needs: &[Need::Root],
        run: pair_goes_with_the_container,
        ..STEP
    },
    Check {
        name: "default-route",
        asks: "Is there one default route, through eth0, and is its gateway the address of the host's end?",
        look_at: "netlink.rs: add_default_route; rtnetlink(7), route(8)",
        exercise: "5.5",
        needs: &[Need::Root],
        run: default_route,
        ..STEP
    },
    Check {
        name: "files-in-etc",
        asks: "Do /etc/hostname, hosts and resolv.conf speak of the container, and the root's stay as they are?",
        look_at: "net::files, mount::Root::place; hosts(5), resolv.conf(5)",
        exercise: "5",
        run: files_in_etc,
        ..STEP
    },
];

fn host_network(context: &Context) -> Result<()> {
    let container =
        context.container().option("--network", "host").start(&["ls /sys/class/net"])?;
    let (theirs, ours) = (container.process()?, Process::own()?);
    expect("the network namespace", &theirs.namespaces["net"], &ours.namespaces["net"])?;
    if context.step >= 4 {
        ensure!(
            container.answer(0)?.starts_with("ok lo") || container.answer(0)?.contains(" lo"),
            "/sys shows no network"
        );
    }
    Ok(())
}

fn loopback_is_up(context: &Context) -> Result<()> {
    let container = context.start(&["probe", "loopback"])?;
    let probe = container.probe(0)?;
    let lo = interface_named(&probe, "lo")?;
    ensure!(lo.up && lo.addresses.contains(&"127.0.0.1".to_string()), "lo is {lo:?}");
    expect("a connection to itself", &*container.answer(1)?, "ok")
}

fn names(probe: &Probe) -> Result<Vec<String>> {
    let all = probe.interfaces.get().context("the interfaces cannot be read")?;
    Ok(all.iter().map(|interface| interface.name.clone()).collect())
}

fn interface_named(probe: &Probe, name: &str) -> Result<Interface> {
    let all = probe.interfaces.get().context("the interfaces cannot be read")?;
    let found = all.iter().find(|interface| interface.name == name);
    found.cloned().with_context(|| format!("there is no {name}: {:?}", names(probe)))
}

fn none_is_a_loopback_alone(context: &Context) -> Result<()> {
    let container =
        context.container().option("--network", "none").start(&["probe", "connect 192.0.2.1:9"])?;
    own_namespace("net", &container)?;
    let probe = container.probe(0)?;
    expect("the interfaces", &names(&probe)?, &vec!["lo".to_string()])?;
    expect("the routes", &probe.routes.get().map(Vec::len), &Some(0))?;
    expect("a connection to somewhere", &*container.answer(1)?, "ENETUNREACH")
}

/// The interfaces of the host, which is a stand-in that checks share.
fn host_interfaces() -> Result<Vec<String>> {
    Ok(interface::names(&fs::read_to_string("/proc/self/net/dev")?))
}

/// Address and gateway of eth0.
fn addresses(container: &Running) -> Result<(Ipv4Addr, Ipv4Addr)> {
    let probe = container.probe(0)?;
    let eth0 = interface_named(&probe, "eth0")?;
    ensure!(eth0.up, "eth0 is down");
    let address = eth0.addresses.iter().find_map(|text| text.parse::<Ipv4Addr>().ok());
    let routes = probe.routes.get().context("the routes cannot be read")?;
    let default = routes.iter().find(|route| route.mask.is_unspecified());
    let gateway = default.context("there is no default route")?.gateway;
    Ok((address.context("eth0 has no address")?, gateway))
}

fn veth_pair(context: &Context) -> Result<()> {
    let name = context.scene.name();
    let run = context.container().option("--network", "veth").option("--name", &name);
    let container = run.start(&["probe"])?;
    let (address, gateway) = addresses(&container)?;
    ensure!(
        address.is_private() && gateway.is_private(),
        "{address} and {gateway} are not private"
    );
    ensure!(address != gateway, "the container is its own gateway, {address}");
    expect(
        "the interfaces",
        &names(&container.probe(0)?)?,
        &vec!["eth0".to_string(), "lo".into()],
    )?;
    let host = host_interfaces()?;
    ensure!(
        host.iter().any(|end| end.contains(&name)),
        "the host has no interface for {name}: {host:?}"
    );
    let own = interface::own()?;
    let end = own.iter().find(|end| end.addresses.contains(&gateway.to_string()));
    ensure!(
        end.is_some_and(|end| end.up),
        "no interface of the host is up with {gateway}: {own:?}"
    );
    Ok(())
}

fn default_route(context: &Context) -> Result<()> {
    let container = context.container().option("--network", "veth").start(&["probe"])?;
    let probe = container.probe(0)?;
    let routes = probe.routes.get().context("the routes cannot be read")?;
    let default: Vec<_> = routes.iter().filter(|route| route.mask.is_unspecified()).collect();
    ensure!(default.len() == 1 && default[0].interface == "eth0", "the routes are {routes:?}");
    let gateway = default[0].gateway.to_string();
    let own = interface::own()?;
    let end = own.iter().find(|end| end.addresses.contains(&gateway));
    ensure!(end.is_some(), "the gateway {gateway} is no interface of the host: {own:?}");
    Ok(())
}

fn gateway_answers(context: &Context) -> Result<()> {
    let listener = TcpListener::bind("0.0.0.0:0")?;
    let port = listener.local_addr()?.port();
    let (address, gateway) = pair(context);
    let run = context.container().option("--network", "veth").option("--ip", address);
    let ended = run.run(&[&format!("connect {gateway}:{port}")])?;
    expect("a connection to the gateway", ended.answer(0)?, "ok")
}

/// Two addresses that no other container has, and that the default range does not hold.
fn pair(context: &Context) -> (Ipv4Addr, Ipv4Addr) {
    let [.., c, d] = (2 * context.scene.count()).to_be_bytes();
    (Ipv4Addr::new(172, 30, c, d | 1), Ipv4Addr::new(172, 30, c, d))
}

fn ip_flag(context: &Context) -> Result<()> {
    let wanted = pair(context);
    let run = context.container().option("--network", "veth").option("--ip", wanted.0);
    expect("address and gateway", &addresses(&run.start(&["probe"])?)?, &wanted)
}

fn two_at_once_differ(context: &Context) -> Result<()> {
    let start = || context.container().option("--network", "veth").start(&["probe"]);
    let both = [start()?, start()?];
    let [one, other] = [addresses(&both[0])?, addresses(&both[1])?];
    let all = [one.0, one.1, other.0, other.1];
    let differ = all.iter().enumerate().all(|(n, address)| !all[..n].contains(address));
    ensure!(differ, "{all:?}");
    Ok(())
}

fn pair_goes_with_the_container(context: &Context) -> Result<()> {
    let name = context.scene.name();
    let there = || Ok::<_, anyhow::Error>(host_interfaces()?.iter().any(|end| end.contains(&name)));
    for killed in [false, true] {
        let run = context.container().option("--network", "veth").option("--name", &name);
        let mut container = run.start(&[])?;
        ensure!(there()?, "the host has no interface for {name}");
        if killed {
            container.signal(nix::sys::signal::Signal::SIGKILL)?;
            container.wait()?;
            wait_for("the host's end to go", || Ok(!there()?))?;
        } else {
            container.end()?.expect_code(0)?;
            ensure!(!there()?, "the host's end is still there");
        }
    }
    Ok(())
}

fn files_in_etc(context: &Context) -> Result<()> {
    let own = context.scene.own_root()?;
    let run = context.container().root(&own.path).option("--hostname", "box");
    let ended = run.run(&["read /etc/hostname", "read /etc/hosts", "read /etc/resolv.conf"])?;
    expect("/etc/hostname", ended.answer(0)?, r#"ok "box\n""#)?;
    let hosts = ended.answer(1)?;
    ensure!(
        hosts.contains(r"127.0.0.1\tlocalhost") && hosts.contains(r"\tbox\n"),
        "/etc/hosts: {hosts}"
    );
    ensure!(!ended.answer(2)?.contains("of the root"), "/etc/resolv.conf is the root's");
    for name in ["hostname", "hosts", "resolv.conf"] {
        let text = fs::read_to_string(own.path.join("etc").join(name))?;
        expect(&format!("the root's own /etc/{name}"), &*text, "of the root directory\n")?;
    }
    Ok(())
}
