//! The host's ends of veth pairs, `to-…`. They go with their container; one that did not goes now.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use net::netlink::Netlink;

use super::Report;

pub fn clean(report: &mut Report) -> Result<()> {
    // A machine without a network has no such directory, and no such link.
    for entry in fs::read_dir("/sys/class/net").into_iter().flatten() {
        let entry = entry.context("cannot read /sys/class/net")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&net::host_link("")) && is_pair(&entry.path()) {
            report.note(&format!("link {name}"), remove(&name));
        }
    }
    Ok(())
}

/// A link of which the other end is another link: sysfs says so by two numbers.
fn is_pair(link: &Path) -> bool {
    let number = |file: &str| fs::read_to_string(link.join(file)).unwrap_or_default();
    number("ifindex") != number("iflink")
}

fn remove(name: &str) -> Result<()> {
    let mut netlink = Netlink::open()?;
    let index = netlink.link(name)?.header.index;
    netlink.delete_link(index)
}
