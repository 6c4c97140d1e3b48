//! The eight kinds of namespaces, namespaces(7): each is made, and what it is for is done in it.

use anyhow::{Context, Result, ensure};
use net::netlink::{LOOPBACK, Netlink};
use nix::{
    sched::{CloneFlags, unshare},
    sys::utsname::uname,
    unistd::{getpid, sethostname},
};

/// Moves this process into a new namespace of one kind.
pub fn enter(kind: CloneFlags, name: &str) -> Result<()> {
    unshare(kind).with_context(|| format!("cannot make a {name} namespace"))
}

pub fn uts() -> Result<String> {
    enter(CloneFlags::CLONE_NEWUTS, "UTS")?;
    sethostname("doctor").context("cannot set its host name")?;
    ensure!(uname()?.nodename() == "doctor", "it does not keep its host name");
    Ok(String::new())
}

/// By step 3's own clone3(2).
pub fn pid() -> Result<String> {
    let mut clone = pid::Clone3::default();
    clone.namespace(pid::NAMESPACE);
    let mut child = clone.spawn(|gate| {
        gate.wait()?;
        Ok(u8::from(getpid().as_raw() != 1))
    })?;
    child.release()?;
    ensure!(child.wait()? == 0, "the first process in it is not number 1");
    Ok(String::new())
}

pub fn mount() -> Result<String> {
    enter(mount::NAMESPACE, "mount")?;
    mount::make_private()?;
    Ok(String::new())
}

pub fn net() -> Result<String> {
    enter(CloneFlags::CLONE_NEWNET, "network")?;
    Netlink::open()?.set_up(LOOPBACK)?;
    Ok(String::new())
}

pub fn cgroup() -> Result<String> {
    enter(CloneFlags::CLONE_NEWCGROUP, "cgroup")?;
    Ok(String::new())
}

pub fn ipc() -> Result<String> {
    enter(CloneFlags::CLONE_NEWIPC, "IPC")?;
    Ok(String::new())
}

/// From linux/sched.h; neither libc's nor nix's flags have it.
const CLONE_NEWTIME: libc::c_int = 0x80;

/// Its offsets may be set until the first process is in it, time_namespaces(7).
pub fn time() -> Result<String> {
    enter(CloneFlags::from_bits_retain(CLONE_NEWTIME), "time")?;
    std::fs::write("/proc/self/timens_offsets", "monotonic 100 0")
        .context("cannot set its clock")?;
    Ok(String::new())
}
