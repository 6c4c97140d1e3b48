//! A veth pair, veth(4): a cable with an interface at each end. One end stays with the host, named
//! after the container; the other is `eth0` inside. When one end goes, both are gone.

use std::fs;
use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use chroot::HintExt;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
};
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::address;
use crate::netlink::Netlink;

/// The container's end.
const INSIDE: &str = "eth0";

/// The host's end begins with this. Not with `ve-`, which systemd-networkd takes to be a container
/// of its own and configures.
const PREFIX: &str = "to-";

/// An interface's name has room for 15 bytes (IFNAMSIZ, with the closing zero).
const LONGEST: usize = libc::IFNAMSIZ - 1;

/// The host's end of a pair. Dropped, the pair is taken away.
pub struct Veth {
    netlink: Netlink,
    index: u32,
    name: String,
}

impl Veth {
    /// Makes a veth pair, veth(4), with one end in the child's network namespace, and sets up the
    /// host's end, which is called `host_link(name)`.
    ///
    /// `pair` describes both ends: the other one is made inside, never moved, so no name of the
    /// host's can be in its way. `address` is the container's; without one it follows from the
    /// index that the kernel gave the host's end. EPERM and EEXIST get a hint each.
    ///
    /// Exercise 5.3
    pub fn connect(child: Pid, name: &str, address: Option<Ipv4Addr>) -> Result<Veth> {
        let name = host_link(name);
        let mut netlink = Netlink::open()?;
        netlink
            .add_link(pair(&name, child))
            .with_context(|| format!("cannot make the veth pair {name}"))
            .hint(Errno::EPERM, "it needs root on the host: try --network none")
            .hint(Errno::EEXIST, "another container has this name: choose one with --name")?;
        let index = netlink.link(&name)?.header.index;
        let mut veth = Veth { netlink, index, name };
        veth.set_up(address.unwrap_or_else(|| address::container(index)))?;
        Ok(veth)
    }

    /// The host's end is the container's gateway.
    fn set_up(&mut self, container: Ipv4Addr) -> Result<()> {
        address::check_unused(&mut self.netlink, container)?;
        let gateway = address::neighbour(container);
        mistrust(&self.name);
        self.netlink.add_address(self.index, gateway, address::PREFIX)?;
        self.netlink.set_up(self.index)
    }
}

/// Has the host believe nothing that comes from the container: its router advertisements would
/// make it the host's gateway (CVE-2020-13401), its redirects would bend the host's routes. A
/// kernel without the one protocol has no such file, and no such danger.
fn mistrust(link: &str) {
    let settings = [("ipv6", "disable_ipv6", "1"), ("ipv4", "accept_redirects", "0")];
    for (protocol, setting, value) in settings {
        let _ = fs::write(format!("/proc/sys/net/{protocol}/conf/{link}/{setting}"), value);
    }
}

impl Drop for Veth {
    /// The kernel deletes the pair with the container's namespace, but in its own time, after we
    /// have ended: who lists the host's links right then would still find it. So do it now. Either
    /// way it takes some 20 ms, in which the kernel makes sure that no packet is still under way.
    fn drop(&mut self) {
        let _ = self.netlink.delete_link(self.index);
    }
}

/// The container's end, `INSIDE`: address, up, and the way out through the host's end.
///
/// Which address, if none is asked for? A veth interface tells the index of its other end
/// (`eth0@if12` in `ip link`), and from that both sides compute the same pair of addresses. The
/// default route, route(8), goes through the neighbour. Gives the address.
///
/// Exercise 5.4
pub(crate) fn bring_up(netlink: &mut Netlink, address: Option<Ipv4Addr>) -> Result<Ipv4Addr> {
    let link = netlink.link(INSIDE)?;
    let address = address.unwrap_or_else(|| address::container(other_end(&link)));
    netlink.add_address(link.header.index, address, address::PREFIX)?;
    netlink.set_up(link.header.index)?;
    netlink.add_default_route(address::neighbour(address))?;
    Ok(address)
}

/// Kernels before 6.0 leave it out where both ends happen to have the same index.
fn other_end(link: &LinkMessage) -> u32 {
    let index = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Link(index) => Some(*index),
        _ => None,
    });
    index.unwrap_or(link.header.index)
}

/// The message that makes the pair: a link of kind veth, and within its description its peer's.
fn pair(name: &str, child: Pid) -> LinkMessage {
    let mut peer = LinkMessage::default();
    peer.attributes =
        vec![LinkAttribute::IfName(INSIDE.into()), LinkAttribute::NetNsPid(child.as_raw() as u32)];
    let mut link = LinkMessage::default();
    link.attributes = vec![
        LinkAttribute::IfName(name.into()),
        LinkAttribute::Address(hardware_address(child)),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    link
}

/// A hardware address of our own choice (bit 1 of the first byte says so). If the kernel chose,
/// udev would change it a moment later, and the container would go on sending to the first one.
fn hardware_address(child: Pid) -> Vec<u8> {
    let [a, b, c, d] = child.as_raw().to_be_bytes();
    vec![0x02, 0x00, a, b, c, d]
}

/// What the host's end for the container `name` is called. Of a name that is too long the
/// beginning stays readable, and a checksum of all of it keeps two such names apart.
pub fn host_link(name: &str) -> String {
    let whole = format!("{PREFIX}{name}");
    if whole.len() <= LONGEST {
        return whole;
    }
    let sum = format!("-{:05x}", checksum(name) & 0xf_ffff);
    let mut short = whole;
    while short.len() > LONGEST - sum.len() {
        short.pop();
    }
    short + &sum
}

/// FNV-1a, 32 bits.
fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_fit_and_differ() {
        assert_eq!(host_link("c4711"), "to-c4711");
        assert_eq!(host_link("twelve-bytes"), "to-twelve-bytes");
        let long = ["frontend-blue", "frontend-green", "frontend-blue-2", "ääääääääääää"];
        let names = long.map(host_link);
        for (n, name) in names.iter().enumerate() {
            assert_eq!(names.iter().position(|other| other == name), Some(n), "{name} twice");
            assert!(name.len() <= LONGEST && name.starts_with(PREFIX), "{name}");
        }
        assert!(names[0].starts_with("to-fronte-"), "{}", names[0]);
    }
}
