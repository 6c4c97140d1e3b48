//! Network interfaces, addresses and routes, as far as the readers of /proc and getifaddrs(3) see them.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde::{Deserialize, Serialize};

/// An interface and what it is called by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    pub name: String,
    pub up: bool,
    /// Without the prefix length: `10.0.0.2`, `fe80::1`.
    pub addresses: Vec<String>,
}

/// A line of /proc/net/route; `gateway` 0.0.0.0 means directly connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub interface: String,
    pub destination: Ipv4Addr,
    pub gateway: Ipv4Addr,
    pub mask: Ipv4Addr,
}

/// The interface names in a /proc/PID/net/dev, sorted.
pub fn names(text: &str) -> Vec<String> {
    let rows = text.lines().skip(2).filter_map(|line| line.split_once(':'));
    let mut names: Vec<String> = rows.map(|(name, _)| name.trim().to_string()).collect();
    names.sort();
    names
}

/// Reads a /proc/net/route. The kernel prints addresses as hexadecimal of their memory.
pub fn routes(text: &str) -> Vec<Route> {
    let address = |word: &str| {
        let memory = u32::from_str_radix(word, 16).ok()?;
        Some(Ipv4Addr::from(memory.to_ne_bytes()))
    };
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(Route {
            interface: words.first()?.to_string(),
            destination: address(words.get(1)?)?,
            gateway: address(words.get(2)?)?,
            mask: address(words.get(7)?)?,
        })
    };
    text.lines().skip(1).filter_map(row).collect()
}

/// The interfaces of the calling process's network namespace, sorted by name.
pub fn own() -> nix::Result<Vec<Interface>> {
    let mut all: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in nix::ifaddrs::getifaddrs()? {
        let name = entry.interface_name;
        let interface = all.entry(name.clone()).or_default();
        interface.name = name;
        interface.up = entry.flags.contains(nix::net::if_::InterfaceFlags::IFF_UP);
        interface.addresses.extend(entry.address.and_then(text));
    }
    Ok(all.into_values().collect())
}

fn text(address: nix::sys::socket::SockaddrStorage) -> Option<String> {
    let v4 = address.as_sockaddr_in().map(|a| a.ip().to_string());
    v4.or_else(|| address.as_sockaddr_in6().map(|a| a.ip().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_without_their_counters() {
        let text = "Inter-| Receive\n face |bytes\n    lo: 1 2\n  eth0: 3 4\n";
        assert_eq!(names(text), ["eth0", "lo"]);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_are_turned_round() {
        let text = "Iface Destination Gateway Flags RefCnt Use Metric Mask\n\
            eth0 00000000 0100A8C0 0003 0 0 0 00000000 0 0 0\n";
        let route = &routes(text)[0];
        assert_eq!(route.gateway, Ipv4Addr::new(192, 168, 0, 1));
        assert_eq!(route.mask, Ipv4Addr::UNSPECIFIED);
    }
}
