//! What step 5 stops: services that the host keeps to itself, and its traffic.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use evidence::attack::{self, Attack, Host};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

const SECRET: &str = "the host's secret\n";

/// Each is tried in a network of its own, with its own loopback interface.
const ATTACK: Attack = Attack { stand_in: CloneFlags::CLONE_NEWNET, ..Attack::DEFAULT };

fn main() -> ExitCode {
    attack::main(
        "net",
        &[
            Attack {
                name: "abstract-socket",
                claim: "connects to a unix socket of the host that has no path",
                lure: abstract_service,
                attempt: connect_abstract,
                refusals: &[Errno::ECONNREFUSED],
                ..ATTACK
            },
            Attack {
                name: "loopback",
                claim: "connects to a service that the host offers on 127.0.0.1 only",
                lure: loopback_service,
                attempt: connect_loopback,
                refusals: &[Errno::ECONNREFUSED],
                ..ATTACK
            },
            Attack {
                name: "sniff",
                claim: "listens to what the host says to itself",
                lure: talk_to_itself,
                attempt: sniff,
                refusals: &[Errno::EPERM],
                ..ATTACK
            },
        ],
    )
}

/// An abstract socket, unix(7), has a name but no file: no root directory hides it. X11, D-Bus and
/// containerd have used them.
fn abstract_service(host: &mut Host) -> Result<()> {
    let name = format!("secret-service-{}", std::process::id());
    let address = UnixAddr::from_abstract_name(&name)?;
    let listener = UnixListener::bind_addr(&address).context("cannot listen")?;
    host.process(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.write_all(SECRET.as_bytes());
        }
    })?;
    host.tell(name);
    Ok(())
}

fn connect_abstract(told: &[String]) -> Result<String> {
    let address = UnixAddr::from_abstract_name(&told[0])?;
    let service = UnixStream::connect_addr(&address)
        .with_context(|| format!("cannot connect to @{}", told[0]))?;
    attack::read_from(service)
}

/// Databases, development servers and agents trust whoever reaches them on 127.0.0.1.
fn loopback_service(host: &mut Host) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    host.tell(listener.local_addr()?);
    host.process(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.write_all(SECRET.as_bytes());
        }
    })?;
    Ok(())
}

fn connect_loopback(told: &[String]) -> Result<String> {
    let address: SocketAddr = told[0].parse()?;
    let service =
        TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    attack::read_from(service)
}

fn talk_to_itself(host: &mut Host) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot bind")?;
    let address = socket.local_addr()?;
    host.process(move || {
        while socket.send_to(SECRET.as_bytes(), address).is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    })?;
    Ok(())
}

/// A packet socket, packet(7), gets a copy of all that passes the interfaces of its namespace.
fn sniff(_told: &[String]) -> Result<String> {
    let every_protocol = SockProtocol::EthAll;
    let socket =
        socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, every_protocol)
            .context("cannot open a packet socket")?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(500))?;
    let deadline = Instant::now() + Duration::from_secs(1);
    let mut packet = [0; 2048];
    while Instant::now() < deadline {
        match recv(socket.as_raw_fd(), &mut packet, MsgFlags::empty()) {
            Ok(length) if packet[..length].ends_with(SECRET.as_bytes()) => {
                return Ok(format!("overheard {:?}", SECRET.trim_end()));
            }
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(errno).context("cannot receive"),
        }
    }
    bail!("heard nothing of the host in a second")
}
