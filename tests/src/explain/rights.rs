//! Whether a process has a capability where it counts: in the user namespace that owns the thing it
//! wants to change, user_namespaces(7). Root of a user namespace is nobody in the ones above.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

use super::failed::{Failed, sysctl};
use super::{Cause, Look, found};

/// ioctl_ns(2)
const NS_GET_USERNS: libc::Ioctl = 0xb701;
const NS_GET_PARENT: libc::Ioctl = 0xb702;

/// The kinds of namespaces in words.
fn words(kind: &str) -> &str {
    match kind {
        "mnt" => "mount",
        "net" => "network",
        "pid" => "PID",
        "uts" => "UTS",
        "ipc" => "IPC",
        other => other,
    }
}

/// Asks a namespace for another one: its owner or its parent. `None`: that is above ours.
fn related(namespace: &File, request: libc::Ioctl) -> Result<Option<File>> {
    // SAFETY: it takes no argument, and gives a new descriptor.
    match Errno::result(unsafe { libc::ioctl(namespace.as_raw_fd(), request) }) {
        // SAFETY: the kernel has just made it for us.
        Ok(fd) => Ok(Some(unsafe { File::from_raw_fd(fd) })),
        Err(Errno::EPERM) => Ok(None),
        Err(errno) => Err(errno).context("cannot ask a namespace"),
    }
}

fn inode(file: &File) -> Result<u64> {
    Ok(file.metadata().context("cannot look at a namespace")?.ino())
}

impl Failed {
    fn namespace(&self, kind: &str) -> Result<File> {
        let path = self.proc(&format!("ns/{kind}"));
        File::open(&path).with_context(|| format!("cannot open {}", path.display()))
    }

    /// Whether the process is in the first user namespace, as far as we can see.
    pub fn in_our_user_namespace(&self) -> Result<bool> {
        let ours = fs::metadata("/proc/self/ns/user")?.ino();
        Ok(inode(&self.namespace("user")?)? == ours)
    }

    /// How many user namespaces the process's own is below ours.
    pub fn depth(&self) -> Result<usize> {
        let ours = fs::metadata("/proc/self/ns/user")?.ino();
        let (mut at, mut depth) = (self.namespace("user")?, 0);
        while inode(&at)? != ours {
            let Some(parent) = related(&at, NS_GET_PARENT)? else { break };
            (at, depth) = (parent, depth + 1);
        }
        Ok(depth)
    }

    /// Whether the user namespace that owns the namespace of this kind is the process's own.
    pub fn owns(&self, kind: &str) -> Result<bool> {
        let Some(owner) = related(&self.namespace(kind)?, NS_GET_USERNS)? else { return Ok(false) };
        Ok(inode(&owner)? == inode(&self.namespace("user")?)?)
    }

    /// Whether the capability is in the process's effective set.
    pub fn has(&self, capability: &str) -> Result<bool> {
        let effective = self.status()?.capabilities.effective;
        Ok(effective.names().iter().any(|name| name == capability))
    }
}

/// Found, if the process lacks `capability` in the user namespace that owns its namespace of
/// `kind`.
pub fn lacks(failed: &Failed, capability: &str, kind: &str) -> Look {
    lacks_in_own(failed, capability)?
        .map_or_else(|| owned_elsewhere(failed, kind), |it| Ok(Some(it)))
}

/// Found, if the process lacks `capability` in its own user namespace.
pub fn lacks_in_own(failed: &Failed, capability: &str) -> Look {
    let status = failed.status()?;
    let effective = status.capabilities.effective;
    if failed.has(capability)? {
        return Ok(None);
    }
    let uid = status.uids.get(1).copied().unwrap_or_default();
    let reason = format!(
        "the process has no {capability}: CapEff in /proc/PID/status is {effective}, \
         its effective user id {uid}"
    );
    let fix = match status.capabilities.permitted.is_empty() {
        true => "run it as root (sudo, or the lab), or make a user namespace first: CLONE_NEWUSER",
        false => "make this call before the capability is dropped",
    };
    found(reason, fix)
}

fn owned_elsewhere(failed: &Failed, kind: &str) -> Look {
    if failed.owns(kind)? {
        return Ok(None);
    }
    let (namespace, user) = (failed.link(&format!("ns/{kind}"))?, failed.link("ns/user")?);
    let words = words(kind);
    found(
        format!(
            "the process has its capabilities in {user}, but its {words} namespace {namespace} \
             belongs to a user namespace above: there it is nobody"
        ),
        format!(
            "make a {words} namespace in the same clone3 or unshare as the user namespace, \
             or after it"
        ),
    )
}

/// What is left for EPERM and EACCES when the rights are there.
pub const REFUSALS: [Cause; 3] = [
    ("AppArmor restricts unprivileged user namespaces", apparmor_restricts),
    ("an LSM (AppArmor, SELinux) refuses it", lsm),
    ("a seccomp filter refuses it", filtered),
];

const RESTRICT: &str = "kernel/apparmor_restrict_unprivileged_userns";

/// Ubuntu's: a new user namespace is given a profile without capabilities.
pub fn apparmor_restricts(failed: &Failed) -> Look {
    let on = sysctl(RESTRICT).is_some_and(|value| value == "1");
    let label = failed.label();
    if !on || !(label.starts_with("unprivileged_userns") || label == "unconfined") {
        return Ok(None);
    }
    if label == "unconfined" && (failed.in_our_user_namespace()? && failed.has("CAP_SYS_ADMIN")?) {
        return Ok(None);
    }
    found(
        format!("/proc/sys/{RESTRICT} is 1, and the process runs under {label:?}"),
        "until the next boot: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0 \
         (=1 undoes it); or an AppArmor profile with `userns,` for the program",
    )
}

fn lsm(failed: &Failed) -> Look {
    let pid = format!("pid={} ", failed.pid);
    let denied =
        failed.said(&["apparmor=\"DENIED\"", &pid]).or(failed.said(&["avc:", "denied", &pid]));
    let Some(line) = denied else {
        let label = failed.label();
        let enforcing = fs::read_to_string("/sys/fs/selinux/enforce").is_ok_and(|it| it == "1");
        anyhow::ensure!(
            label.starts_with("unconfined") && !enforcing,
            "the process is under {label:?}, and the kernel's log says nothing that we may read"
        );
        return Ok(None);
    };
    found(
        format!("the LSM refused it, and the kernel's log says so: {line}"),
        format!(
            "the process is under {:?}: change that profile, or run it under another",
            failed.label()
        ),
    )
}

/// A filter leaves no trace of a refusal: so this is what is left when nothing else is.
fn filtered(failed: &Failed) -> Look {
    let status = failed.status()?;
    if status.seccomp != Some(2) {
        return Ok(None);
    }
    let count = status.seccomp_filters.map_or(String::new(), |it| format!(" ({it} of them)"));
    let who = match crate::Process::own()?.status.get().and_then(|it| it.seccomp) {
        Some(2) => "we are under one too: it is an outer container's, or that of a service",
        _ => "the program, or one before it, has installed it",
    };
    found(
        format!(
            "nothing else was found that refuses it, and the process is under seccomp \
             filters{count}, which answer as they like; {who}"
        ),
        "allow the call in the profile: `--security-opt seccomp=FILE` of the outer container, or \
         yours",
    )
}
