//! Which addresses the two ends of a veth pair get: 10.200.0.0/16 is cut into pairs, one a
//! container. Both sides compute the same answer, so nobody has to tell the other.

use std::net::Ipv4Addr;

use anyhow::{Result, bail};
use netlink_packet_route::route::RouteType;

use crate::netlink::Netlink;

/// Two addresses, and no room for a network and a broadcast address: RFC 3021.
pub const PREFIX: u8 = 31;

const RANGE: u32 = u32::from_be_bytes([10, 200, 0, 0]);
const RANGE_PREFIX: u8 = 16;
const PAIRS: u32 = 1 << (PREFIX - RANGE_PREFIX);

/// The container's address, from the index of the host's end of the pair.
///
/// The kernel gives no two interfaces of a namespace the same index, and so two containers get the
/// same address only if their indexes are a whole range apart, which `check_unused` refuses: however
/// many start at once, and without a list of who has which.
pub fn container(host_index: u32) -> Ipv4Addr {
    Ipv4Addr::from(RANGE + 2 * (host_index % PAIRS) + 1)
}

/// The other address of the pair.
pub fn neighbour(address: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(address) ^ 1)
}

/// For `--ip`: an address that one host can have.
pub fn parse(text: &str) -> Result<Ipv4Addr> {
    let address: Ipv4Addr = text.parse()?;
    let [first, ..] = address.octets();
    if first == 0 || address.is_loopback() || first >= 224 {
        bail!("no interface can have this address");
    }
    Ok(address)
}

/// Refuses a pair that the host or a network next to it already has.
///
/// The kernel itself would take it, and one of the two would hear nothing any more. So ask where
/// a packet to it would go today. A route for a whole /8 or for everything is no claim on it: a
/// VPN has such routes. One that is as narrow as our own range is.
pub fn check_unused(netlink: &mut Netlink, address: Ipv4Addr) -> Result<()> {
    for address in [address, neighbour(address)] {
        let Some(route) = netlink.route_to(address)? else { continue };
        let local = route.header.kind == RouteType::Local;
        if local || route.header.destination_prefix_length >= RANGE_PREFIX {
            bail!("the address {address} is in use on this host: choose another with --ip");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_indexes_get_separate_pairs() {
        let addresses: Vec<Ipv4Addr> = (0..PAIRS).map(container).collect();
        assert_eq!(addresses[0], Ipv4Addr::new(10, 200, 0, 1));
        assert_eq!(addresses[PAIRS as usize - 1], Ipv4Addr::new(10, 200, 255, 255));
        let mut all: Vec<Ipv4Addr> =
            addresses.iter().flat_map(|&address| [address, neighbour(address)]).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 1 << 16);
    }

    #[test]
    fn impossible_addresses_are_refused() {
        for text in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "10.0.0", "::1", ""] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("192.168.7.2").is_ok());
    }
}
