//! Filters and security modules: step 9's own filter is put on the trial's process; of the modules,
//! what the kernel answers when it is asked for them.

use std::{fs, os::fd::AsRawFd};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;

use super::super::host::Host;

/// A call that the default profile refuses must be refused.
pub fn seccomp() -> Result<String> {
    let filter = seccomp::load(&seccomp::Args { security: Vec::new() })?;
    filter.install()?;
    // SAFETY: asks for a key ring by number; no pointer is passed.
    let answer = unsafe { libc::syscall(libc::SYS_keyctl, 0, -3, 0) };
    let refused = Errno::result(answer).err() == Some(Errno::EPERM);
    ensure!(refused, "the filter is installed, but keyctl is not refused");
    Ok(String::new())
}

pub fn close_range() -> Result<String> {
    let file = fs::File::open("/dev/null").context("cannot open /dev/null")?;
    let number = file.as_raw_fd() as libc::c_uint;
    // SAFETY: the descriptor is ours, and is not used afterwards.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, number, number, 0) };
    std::mem::forget(file);
    Errno::result(closed).context("cannot close a range of descriptors")?;
    Ok(String::new())
}

/// Asks for the version of its interface, landlock_create_ruleset(2).
pub fn landlock() -> Result<String> {
    const VERSION: libc::c_uint = 1;
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the kernel reads nothing and returns a number.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0usize, VERSION) };
    let abi = Errno::result(abi).context("cannot ask for Landlock")?;
    Ok(format!("ABI {abi}"))
}

pub fn apparmor() -> Result<String> {
    let host = Host::read("/".as_ref());
    if !host.apparmor {
        bail!("this kernel runs without AppArmor");
    }
    let profile = fs::read_to_string("/proc/self/attr/apparmor/current");
    let profile = profile.or_else(|_| fs::read_to_string("/proc/self/attr/current"));
    Ok(format!("we are {}", profile.context("cannot read our profile")?.trim()))
}

pub fn selinux() -> Result<String> {
    match Host::read("/".as_ref()).selinux {
        Some(mode) => Ok(mode),
        None => bail!("this kernel runs without SELinux"),
    }
}
