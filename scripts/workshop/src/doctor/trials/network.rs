//! Ways out of a network namespace, by step 5's own functions. The trial's own namespace plays the
//! host, so that the host's links stay as they are.

use std::fs::OpenOptions;

use anyhow::{Context, Result, ensure};
use evidence::{checks::installed, interface};
use net::{Pasta, Veth};
use nix::sched::CloneFlags;

use super::{super::trial::untried, namespaces::enter};

const TUN: &str = "/dev/net/tun";

pub fn veth() -> Result<String> {
    enter(CloneFlags::CLONE_NEWNET, "network")?;
    let mut child = waiting(CloneFlags::CLONE_NEWNET)?;
    drop(Veth::connect(child.pid(), "doctor", None)?);
    child.release()?;
    child.wait()?;
    Ok(String::new())
}

pub fn pasta() -> Result<String> {
    ensure!(installed("pasta"), "pasta is not installed");
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(TUN)
        .with_context(|| format!("cannot open {TUN}"))?;
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    if !interface::routes(&routes).iter().any(|route| route.mask.is_unspecified()) {
        return untried("this host has no default route");
    }
    let kinds = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUSER;
    let mut child = waiting(kinds)?;
    user::Maps::plan(&user::Args::default()).write(child.pid())?;
    drop(Pasta::connect(child.pid())?);
    child.release()?;
    child.wait()?;
    Ok(String::new())
}

/// A process in namespaces of its own, which ends when it is released.
fn waiting(kinds: CloneFlags) -> Result<pid::Child> {
    let mut clone = pid::Clone3::default();
    clone.namespace(kinds);
    clone.spawn(|gate| gate.wait().map(|()| 0))
}
