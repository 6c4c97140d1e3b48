//! A new filesystem, by mount(2) or by fsopen(2), fsconfig(2), fsmount(2): who may have one, which
//! options it takes, and the masked /proc that forbids a fresh one.

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::failed::Failed;
use super::{Cause, Look, found, mount, overlay, rights};
use crate::mountinfo::Mount;

/// For the calls of the new interface.
pub fn causes(failed: &Failed) -> Vec<Cause> {
    let mut all: Vec<Cause> = match failed.errno {
        Errno::EPERM => vec![("no CAP_SYS_ADMIN over the mount namespace", mount::no_admin)],
        Errno::EBUSY => vec![("the context was never created", not_created)],
        _ => vec![],
    };
    all.extend(of_filesystem(failed.errno));
    if [Errno::EPERM, Errno::EACCES].contains(&failed.errno) {
        all.extend(rights::REFUSALS);
    }
    all
}

/// Reasons that come from the filesystem, in either interface.
pub fn of_filesystem(errno: Errno) -> Vec<Cause> {
    let mut all: Vec<Cause> = match errno {
        Errno::EPERM => vec![
            ("the filesystem is not for user namespaces", not_for_users),
            ("the namespace that it shows belongs to a user namespace above", shows_foreign),
            ("mount too revealing: every one that is there is partly hidden", too_revealing),
        ],
        Errno::ENODEV => vec![("the kernel has no such filesystem", unknown_type)],
        _ => vec![],
    };
    all.extend(overlay::CAUSES);
    if [Errno::EINVAL, Errno::EBUSY, Errno::ENOENT].contains(&errno) {
        all.push(("an option that the filesystem refuses", said));
    }
    all
}

/// The type of the filesystem.
pub fn fstype(failed: &Failed) -> Result<String> {
    match (failed.call.name(), &failed.context) {
        ("mount", _) => failed.text(2),
        ("fsopen", _) => failed.text(0),
        (_, Some(context)) => Ok(context.fstype.clone()),
        _ => anyhow::bail!("it is not known of which type the filesystem is"),
    }
}

/// Filesystems that a user namespace may mount (FS_USERNS_MOUNT in the kernel's sources), with the
/// namespace that each shows.
const FOR_USERS: [(&str, &str); 12] = [
    ("proc", "pid"),
    ("sysfs", "net"),
    ("mqueue", "ipc"),
    ("cgroup", "cgroup"),
    ("cgroup2", "cgroup"),
    ("tmpfs", ""),
    ("ramfs", ""),
    ("devpts", ""),
    ("overlay", ""),
    ("fuse", ""),
    ("bpf", ""),
    ("binder", ""),
];

fn not_for_users(failed: &Failed) -> Look {
    let fstype = fstype(failed)?;
    let known = FOR_USERS.iter().any(|(name, _)| *name == fstype);
    if known || failed.in_our_user_namespace()? {
        return Ok(None);
    }
    found(
        format!(
            "a user namespace may not mount {fstype}: only the host's root may, for the kernel \
                 trusts its code with nobody else's data"
        ),
        "bind one that is mounted already, or mount it before the user namespace is made",
    )
}

fn shows_foreign(failed: &Failed) -> Look {
    let fstype = fstype(failed)?;
    let shown = FOR_USERS.iter().find(|(name, _)| *name == fstype).map_or("", |(_, shows)| shows);
    if shown.is_empty() {
        return Ok(None);
    }
    Ok(rights::lacks(failed, "CAP_SYS_ADMIN", shown)?.map(|mut it| {
        it.reason =
            format!("{fstype} shows the {shown} namespace of who mounts it, and {}", it.reason);
        it
    }))
}

/// mount_too_revealing in fs/namespace.c: a fresh proc or sysfs would show what mounts over the
/// parts of the old one hide.
fn too_revealing(failed: &Failed) -> Look {
    let fstype = fstype(failed)?;
    if !["proc", "sysfs"].contains(&&fstype[..]) || failed.in_our_user_namespace()? {
        return Ok(None);
    }
    let mounts = failed.mounts()?;
    let mut there = mount::of_type(&mounts, &fstype);
    there.retain(|mount| mount.root == "/");
    let fix = "bind the one that is there instead of mounting a fresh one; or have the outer \
               container not mask it (docker run --security-opt systempaths=unconfined)";
    if there.is_empty() {
        return found(
            format!(
                "in a user namespace a fresh {fstype} may show no more than one that is there, \
                     and this mount namespace has none"
            ),
            "mount it while the old one can still be seen: before the old root is unmounted",
        );
    }
    let hidden: Vec<String> = there.iter().filter_map(|it| hidden(&mounts, it)).collect();
    if hidden.len() < there.len() {
        return Ok(None);
    }
    found(
        format!(
            "mount too revealing: a fresh {fstype} would show what is hidden in each one that the \
                 process sees: {}",
            hidden.join("; ")
        ),
        fix,
    )
}

/// Mounts of the kernel's own on empty directories hide nothing.
const HARMLESS: [&str; 6] =
    ["binfmt_misc", "autofs", "debugfs", "securityfs", "tracefs", "configfs"];

fn hidden(mounts: &[Mount], mount: &Mount) -> Option<String> {
    let covers = mount::covers(mounts, mount);
    let hides = |it: &&&Mount| {
        let kernels = HARMLESS.contains(&&it.fstype[..]) || it.point.starts_with("/sys/fs/");
        !(kernels || it.point.starts_with("/sys/kernel/"))
    };
    let covers: Vec<&Mount> = covers.iter().filter(hides).copied().collect();
    match covers.is_empty() {
        true => mount.has("ro").then(|| format!("{} is read-only", mount.point)),
        false => Some(format!("in {}, {} is mounted over", mount.point, mount::points(&covers))),
    }
}

fn unknown_type(failed: &Failed) -> Look {
    let fstype = fstype(failed)?;
    let known =
        std::fs::read_to_string("/proc/filesystems").context("cannot read /proc/filesystems")?;
    if known.lines().any(|line| line.rsplit('\t').next() == Some(&fstype)) {
        return Ok(None);
    }
    found(
        format!(
            "this kernel has no filesystem {fstype:?}: /proc/filesystems does not list it, and no \
                 module of that name could be loaded"
        ),
        format!("correct the name, or as root: modprobe {fstype}"),
    )
}

fn not_created(failed: &Failed) -> Look {
    if failed.call.name() != "fsmount" {
        return Ok(None);
    }
    found(
        "fsmount needs a context on which fsconfig(FSCONFIG_CMD_CREATE) has succeeded, and only \
         once",
        "call fsconfig with FSCONFIG_CMD_CREATE between the options and fsmount",
    )
}

/// The kernel's own words: in the context's log, or (mount(2)) in its own.
fn said(failed: &Failed) -> Look {
    let fstype = fstype(failed)?;
    let about = |line: &&String| line.contains(&fstype) || line.contains("VFS");
    let Some(line) = failed.log.iter().rev().find(about) else {
        anyhow::bail!("the kernel has said nothing that we may read")
    };
    let option = match failed.call.name() {
        "fsconfig" => failed.text_or_none(2)?,
        _ => failed.text_or_none(4)?,
    };
    let option =
        if option.is_empty() { String::new() } else { format!(" (asked for: {option:?})") };
    found(
        format!("the kernel refuses it and says: {line}{option}"),
        format!("see the options of {fstype} in mount(8)"),
    )
}
