//! The three files in /etc that speak of the network, written anew for each container. The root
//! directory stays as it is: step 4 mounts them over the root's own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use crate::{Args, Mode};

/// Where systemd-resolved says which name servers it asks; /etc/resolv.conf then names only itself.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// Each file's path in the container and its contents. Call it while the host's /etc is still in
/// sight. `address` is the container's, from `bring_up`.
pub fn files(
    args: &Args,
    hostname: &str,
    address: Option<Ipv4Addr>,
) -> [(&'static str, String); 3] {
    [
        ("/etc/hostname", format!("{hostname}\n")),
        ("/etc/hosts", hosts(hostname, address)),
        ("/etc/resolv.conf", resolv_conf(args.network)),
    ]
}

/// A container without an address still has a name: a loopback address that is not localhost's.
fn hosts(hostname: &str, address: Option<Ipv4Addr>) -> String {
    let address = address.unwrap_or(Ipv4Addr::new(127, 0, 1, 1));
    format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n{address}\t{hostname}\n")
}

/// The host's name servers, as far as the container can reach them. A host without the file has
/// none to give.
fn resolv_conf(mode: Mode) -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    match mode {
        Mode::None => String::new(),
        Mode::Host => read("/etc/resolv.conf"),
        Mode::Veth | Mode::Pasta => {
            let text = reachable(&read("/etc/resolv.conf"));
            if text.contains("nameserver") { text } else { reachable(&read(RESOLVED)) }
        }
    }
}

/// Without the name servers on a loopback address: inside, that is the container itself.
fn reachable(resolv_conf: &str) -> String {
    let lines = resolv_conf.lines().filter(|line| !names_loopback(line));
    lines.map(|line| format!("{line}\n")).collect()
}

/// An IPv6 address may carry a zone, `fe80::1%eth0`, resolv.conf(5).
fn names_loopback(line: &str) -> bool {
    let mut words = line.split_whitespace();
    if words.next() != Some("nameserver") {
        return false;
    }
    let address = words.next().unwrap_or_default().split('%').next().unwrap_or_default();
    address.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_name_servers_stay_outside() {
        let host = "# comment\nsearch example.org\nnameserver 127.0.0.53\n\
                    nameserver\t::1\nnameserver ::ffff:127.0.0.1\nnameserver 192.0.2.1\n\
                    nameserver fe80::1%eth0\noptions edns0";
        let inside = "# comment\nsearch example.org\nnameserver 192.0.2.1\n\
                      nameserver fe80::1%eth0\noptions edns0\n";
        assert_eq!(reachable(host), inside);
    }

    #[test]
    fn hosts_names_the_container() {
        let hosts = hosts("web", Some(Ipv4Addr::new(10, 200, 0, 7)));
        assert!(hosts.contains("10.200.0.7\tweb\n"), "{hosts}");
        assert!(super::hosts("web", None).contains("127.0.1.1\tweb\n"));
    }

    #[test]
    fn no_network_no_name_servers() {
        assert_eq!(resolv_conf(Mode::None), "");
    }
}
