//! Step 5, net: the container's own network, joined to the host's by a cable of its own.
//! A new network namespace has one interface, a loopback that is down. The parent plugs a veth
//! pair in while the child waits at the gate; the child gives its end an address and a route.

mod address;
mod files;
pub mod netlink;
mod pasta;
mod veth;

use std::net::Ipv4Addr;

use anyhow::{Result, bail};
use nix::sched::CloneFlags;
use nix::unistd::{Pid, geteuid};

pub use files::files;
pub use pasta::Pasta;
pub use veth::{Veth, host_link};

use netlink::Netlink;

/// The container's network.
#[derive(clap::Args)]
#[group(skip)]
pub struct Args {
    /// How the container is joined to the network [default: veth as root, else none]
    #[arg(long, value_enum, default_value_t = Mode::of_caller(), hide_default_value = true)]
    pub network: Mode,

    /// The container's address on a veth pair; the host's end gets its neighbour (the other of
    /// the two that differ in the last bit) [default: an unused one of 10.200.0.0/16]
    #[arg(long, value_name = "ADDRESS", value_parser = address::parse)]
    pub ip: Option<Ipv4Addr>,
}

/// The ways out of a network namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Mode {
    /// No namespace of its own: the host's network as it is
    Host,
    /// Its own loopback and nothing else
    None,
    /// A veth pair to the host, veth(4); needs root on the host
    Veth,
    /// The pasta program carries packets as an ordinary process; needs no root
    Pasta,
}

impl Mode {
    /// Only root may put an interface into the host's network. This is asked when the arguments
    /// are parsed, by the parent: in a user namespace (step 6) the child is root as well.
    fn of_caller() -> Mode {
        if geteuid().is_root() { Mode::Veth } else { Mode::None }
    }
}

impl Args {
    /// What to ask of `clone3(2)`, see network_namespaces(7).
    pub fn namespace(&self) -> CloneFlags {
        match self.network {
            Mode::Host => CloneFlags::empty(),
            Mode::None | Mode::Veth | Mode::Pasta => CloneFlags::CLONE_NEWNET,
        }
    }
}

/// What joins a container to the network. Dropped, it is taken away again.
pub enum Connection {
    None,
    Veth(Veth),
    Pasta(Pasta),
}

/// The parent's part, while the child waits at the gate: joins the child's network namespace.
///
/// `name` is what the host calls the container. Keep the connection until the child has ended.
pub fn connect(child: Pid, name: &str, args: &Args) -> Result<Connection> {
    if args.ip.is_some() && args.network != Mode::Veth {
        bail!("cannot give the container an address: --ip goes with --network veth");
    }
    Ok(match args.network {
        Mode::Host | Mode::None => Connection::None,
        Mode::Veth => Connection::Veth(Veth::connect(child, name, args.ip)?),
        Mode::Pasta => Connection::Pasta(Pasta::connect(child)?),
    })
}

/// The child's part, behind the gate: its interfaces get addresses and go up.
///
/// With the host's network there is nothing to do. Else the loopback goes up, rtnetlink(7), which
/// also gives it 127.0.0.1; with a veth pair `veth::bring_up` does the rest. Gives the container's
/// own address, if it has one to be known by: on a veth pair it has.
///
/// Exercise 5.1
pub fn bring_up(args: &Args) -> Result<Option<Ipv4Addr>> {
    if args.network == Mode::Host {
        return Ok(None);
    }
    let mut netlink = Netlink::open()?;
    netlink.set_up(netlink::LOOPBACK)?;
    match args.network {
        Mode::Veth => Ok(Some(veth::bring_up(&mut netlink, args.ip)?)),
        Mode::Host | Mode::None | Mode::Pasta => Ok(None),
    }
}
