//! mount(2) and its younger relatives: open_tree(2), move_mount(2), mount_setattr(2), umount(2).
//! They fail for the same reasons: what a path leads to, whose mount namespace that is, which flags
//! of a mount are locked.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

use super::failed::Failed;
use super::place::{Place, Stuck};
use super::{Cause, Look, exec, found, memory, mount_new, rights};
use crate::mountinfo::Mount;

/// What is asked of the kernel.
#[derive(Clone, Copy, PartialEq)]
pub enum Act {
    New,
    Bind,
    Remount,
    Move,
    Propagation,
    Unmount,
}

const PROPAGATION: u64 = libc::MS_SHARED | libc::MS_PRIVATE | libc::MS_SLAVE | libc::MS_UNBINDABLE;

/// do_mount looks at the flags in this order.
pub fn act(failed: &Failed) -> Act {
    let flags = failed.arguments[3];
    match failed.call.name() {
        "umount2" => Act::Unmount,
        "move_mount" => Act::Move,
        "open_tree" => Act::Bind,
        "mount_setattr" => Act::Remount,
        _ if flags & libc::MS_REMOUNT != 0 => Act::Remount,
        _ if flags & libc::MS_BIND != 0 => Act::Bind,
        _ if flags & PROPAGATION != 0 => Act::Propagation,
        _ if flags & libc::MS_MOVE != 0 => Act::Move,
        _ => Act::New,
    }
}

/// Reasons that have to do with paths, whatever the call.
pub const PATHS: [Cause; 1] = [("a path leads nowhere", nowhere)];

pub fn causes(failed: &Failed) -> Vec<Cause> {
    let mut all = match failed.errno {
        Errno::EPERM => {
            vec![
                ("no CAP_SYS_ADMIN over the mount namespace", no_admin as _),
                ("a flag of the mount is locked", locked_flags as _),
            ]
        }
        Errno::EINVAL => vec![
            ("the target is no mount point", target_no_mount as _),
            ("the source is no mount point", source_no_mount as _),
            ("a path is in another mount namespace", elsewhere as _),
            ("the source has locked mounts below it", locked_below as _),
            ("the source is unbindable", unbindable as _),
            ("the source's parent mount is shared", source_parent_shared as _),
            ("the mount is locked", locked as _),
            ("two kinds of propagation at once", two_kinds as _),
        ],
        Errno::EBUSY => vec![
            ("the mount is in use", in_use as _),
            ("the filesystem is mounted there already", mounted_already as _),
        ],
        Errno::ENOTDIR => vec![("a file on a directory, or a directory on a file", mismatch as _)],
        Errno::EROFS => vec![("the device is read-only", read_only as _)],
        Errno::EACCES => vec![
            ("a directory on the way without x", closed as _),
            ("the device is read-only", read_only as _),
        ],
        _ => vec![],
    };
    if failed.call.name() == "mount" && act(failed) == Act::New {
        all.extend(mount_new::of_filesystem(failed.errno));
    }
    all.extend(PATHS);
    if [Errno::EPERM, Errno::EACCES].contains(&failed.errno) {
        all.extend(rights::REFUSALS);
    }
    all
}

/// Where the mount is, or is to be.
pub fn target(failed: &Failed) -> Result<Place> {
    match failed.call.name() {
        "mount" => failed.place(1),
        "umount2" => failed.place(0),
        "move_mount" => failed.place_at(2, 3),
        _ => failed.place_at(0, 1),
    }
}

fn source(failed: &Failed) -> Result<Place> {
    match failed.call.name() {
        "mount" => failed.place(0),
        _ => failed.place_at(0, 1),
    }
}

pub fn no_admin(failed: &Failed) -> Look {
    rights::lacks(failed, "CAP_SYS_ADMIN", "mnt")
}

/// All that the call names is gone along, until it ends.
fn nowhere(failed: &Failed) -> Look {
    let mut ways = vec![];
    match failed.call.name() {
        "mount" if matches!(act(failed), Act::Bind | Act::Move) => {
            ways.extend([("source", failed.place(0)), ("target", failed.place(1))]);
        }
        "mount" => ways.push(("target", failed.place(1))),
        "pivot_root" => ways.extend([("new_root", failed.place(0)), ("put_old", failed.place(1))]),
        "move_mount" => {
            ways.extend([("source", failed.place_at(0, 1)), ("target", failed.place_at(2, 3))]);
        }
        "open_tree" | "mount_setattr" => ways.push(("path", failed.place_at(0, 1))),
        "openat" | "mkdirat" | "unlinkat" | "mknodat" => {
            ways.push(("path", failed.place_at(0, 1)));
        }
        _ => ways.push(("path", failed.place(0))),
    }
    for (name, place) in ways {
        match place.map_err(|error| error.downcast::<Stuck>()) {
            Ok(place) if !place.metadata()?.is_dir() && failed.errno == Errno::ENOTDIR => {
                let path = &place.path;
                return found(format!("the {name}, {path}, is no directory"), "name a directory");
            }
            // What is closed is another reason, and says whose it is.
            Err(Ok(stuck)) if stuck.errno == failed.errno && stuck.errno != Errno::EACCES => {
                return dead_end(name, &stuck);
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Says where a path ends.
pub fn dead_end(name: &str, stuck: &Stuck) -> Look {
    let last = stuck.way.last().map_or("/", |(path, _)| path);
    let at = &stuck.at;
    match stuck.errno {
        Errno::ENOENT => found(
            format!(
                "the {name} leads to {at}, and there is no such file: {last} exists and has no \
                     entry of that name"
            ),
            format!(
                "make {at} first, or correct the path; it is looked up in the process's own \
                     root and mounts"
            ),
        ),
        Errno::ENOTDIR => found(
            format!("on the way of the {name} to {at}, {last} is no directory"),
            "correct the path",
        ),
        Errno::ELOOP => found(
            format!("the {name} goes through more than 40 symbolic links, at last {at}"),
            "see with readlink which links lead to each other",
        ),
        _ => found(format!("the {name} leads to {stuck}"), "correct the path or its permissions"),
    }
}

fn no_mount(place: &Place, name: &str) -> Look {
    if place.is_mount_point()? {
        return Ok(None);
    }
    let path = &place.path;
    found(
        format!("the {name}, {path}, is not a mount point: /proc/PID/mountinfo has no line for it"),
        format!(
            "name a mount point, or bind the directory on itself first: \
                 mount({path:?}, {path:?}, NULL, MS_BIND, NULL)"
        ),
    )
}

fn target_no_mount(failed: &Failed) -> Look {
    match act(failed) {
        Act::Remount | Act::Propagation | Act::Unmount => no_mount(&target(failed)?, "target"),
        _ => Ok(None),
    }
}

fn source_no_mount(failed: &Failed) -> Look {
    match act(failed) {
        Act::Move => no_mount(&source(failed)?, "source"),
        _ => Ok(None),
    }
}

/// Whether a place is on a mount that is none of the process's own.
pub fn foreign(failed: &Failed, place: &Place) -> Look {
    let mounts = failed.mounts()?;
    if place.mount(&mounts).is_ok() {
        return Ok(None);
    }
    found(
        format!(
            "what is named is on mount {} (there it is {}), and /proc/PID/mountinfo has no such \
             mount: it belongs to another mount namespace than {}, or is attached nowhere",
            place.mount_id()?,
            place.path,
            failed.link("ns/mnt")?
        ),
        "open it in the mount namespace in which it is used, after unshare or clone3; or copy it \
         with open_tree(OPEN_TREE_CLONE) while its namespace is still yours",
    )
}

fn elsewhere(failed: &Failed) -> Look {
    let name = failed.call.name();
    // What open_tree gives is attached nowhere, and may be moved and changed.
    let by_descriptor = |path: usize| failed.text(path).is_ok_and(|path| path.is_empty());
    let places = match act(failed) {
        Act::New => vec![target(failed)?],
        Act::Move if by_descriptor(1) => vec![target(failed)?],
        Act::Remount if name == "mount_setattr" && by_descriptor(1) => vec![],
        Act::Bind if name == "open_tree" => vec![source(failed)?],
        Act::Bind | Act::Move => vec![source(failed)?, target(failed)?],
        _ => vec![target(failed)?],
    };
    for place in places {
        if let Some(it) = foreign(failed, &place)? {
            return Ok(Some(it));
        }
    }
    Ok(None)
}

/// The mounts that are mounted on this one, below `path`.
fn below<'a>(mounts: &'a [Mount], place: &Place) -> Result<Vec<&'a Mount>> {
    let on = place.mount_id()?;
    let inside = |mount: &&Mount| std::path::Path::new(&mount.point).starts_with(&place.path);
    Ok(mounts.iter().filter(|mount| mount.parent == on).filter(inside).collect())
}

/// Where these are mounted, for people.
pub fn points(mounts: &[&Mount]) -> String {
    let mut all: Vec<&str> = mounts.iter().map(|mount| mount.point.as_str()).collect();
    let rest = all.len().saturating_sub(4);
    all.truncate(4);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    all.join(", ") + &more
}

/// Whether the mounts came from a mount namespace of a more privileged user namespace: then what
/// they hide stays hidden, mount_namespaces(7).
fn locked_together(failed: &Failed) -> Result<bool> {
    Ok(!failed.in_our_user_namespace()?)
}

fn locked_below(failed: &Failed) -> Look {
    let recursive = match failed.call.name() {
        "open_tree" => failed.int(2) & libc::AT_RECURSIVE != 0,
        _ => failed.arguments[3] & libc::MS_REC != 0,
    };
    if act(failed) != Act::Bind || recursive || !locked_together(failed)? {
        return Ok(None);
    }
    let (mounts, source) = (failed.mounts()?, source(failed)?);
    let hidden = below(&mounts, &source)?;
    if hidden.is_empty() {
        return Ok(None);
    }
    found(
        format!(
            "below {} are mounts that the process has from a more privileged user namespace, {}: \
             without them the bind mount would show what they hide, so they are locked to it",
            source.path,
            points(&hidden)
        ),
        "bind it with all that is below: MS_BIND | MS_REC, or open_tree with AT_RECURSIVE",
    )
}

fn unbindable(failed: &Failed) -> Look {
    if act(failed) != Act::Bind {
        return Ok(None);
    }
    let (mounts, source) = (failed.mounts()?, source(failed)?);
    let mount = source.mount(&mounts)?;
    if !mount.propagation.iter().any(|it| it == "unbindable") {
        return Ok(None);
    }
    found(
        format!(
            "{} is on the mount {}, whose line in mountinfo says unbindable",
            source.path, mount.point
        ),
        "make that mount private instead: MS_PRIVATE",
    )
}

fn source_parent_shared(failed: &Failed) -> Look {
    if act(failed) != Act::Move {
        return Ok(None);
    }
    let mounts = failed.mounts()?;
    let Ok(mount) = source(failed)?.mount(&mounts).cloned() else { return Ok(None) };
    let parent = mounts.iter().find(|it| it.id == mount.parent).context("it has no parent")?;
    if !parent.propagation.iter().any(|it| it.starts_with("shared:")) {
        return Ok(None);
    }
    found(
        format!(
            "{} is mounted on {}, which is shared ({}): moved away from there, it would have to \
                 vanish in other mount namespaces too",
            mount.point,
            parent.point,
            parent.propagation.join(" ")
        ),
        "make everything private first: mount(NULL, \"/\", NULL, MS_REC | MS_PRIVATE, NULL)",
    )
}

fn locked(failed: &Failed) -> Look {
    if !matches!(act(failed), Act::Unmount | Act::Move) || !locked_together(failed)? {
        return Ok(None);
    }
    let mounts = failed.mounts()?;
    let place = if act(failed) == Act::Unmount { target(failed)? } else { source(failed)? };
    let Ok(mount) = place.mount(&mounts) else { return Ok(None) };
    let siblings =
        mounts.iter().find(|it| it.id == mount.parent).context("its parent is not seen")?;
    found(
        format!(
            "{} (on {}) came with the mount namespace of a more privileged user namespace, and \
                 is locked: what it hides stays hidden",
            mount.point, siblings.point
        ),
        "leave it where it is, and pivot_root to a root of your own",
    )
}

fn two_kinds(failed: &Failed) -> Look {
    let kinds = (failed.arguments[3] & PROPAGATION).count_ones();
    if act(failed) != Act::Propagation || kinds < 2 {
        return Ok(None);
    }
    found(format!("{kinds} kinds of propagation are asked for in one call"), "one call for each")
}

/// A mount of a less privileged namespace keeps the flags that it came with.
fn locked_flags(failed: &Failed) -> Look {
    if act(failed) != Act::Remount || !locked_together(failed)? {
        return Ok(None);
    }
    let (mounts, target) = (failed.mounts()?, target(failed)?);
    let mount = target.mount(&mounts)?;
    let (keeps, cleared): (_, Box<dyn Fn(u64) -> bool>) = match failed.call.name() {
        "mount" => (LOCKED, Box::new(|flag| failed.arguments[3] & flag == 0)),
        _ => {
            let attributes = memory::words(failed.pid, failed.arguments[3], 2)?;
            (LOCKED, Box::new(move |flag| attributes[1] & flag != 0))
        }
    };
    let lost: Vec<&str> = keeps
        .iter()
        .filter(|(flag, name)| cleared(*flag) && mount.options.iter().any(|it| it == name))
        .map(|(_, name)| *name)
        .collect();
    if lost.is_empty() {
        return Ok(None);
    }
    found(
        format!(
            "{} has the flags {} and comes from a more privileged user namespace: they are locked, \
             and this call would clear {}",
            mount.point,
            mount.options.join(","),
            lost.join(",")
        ),
        format!("ask for these flags too when you remount: {}", lost.join(",")),
    )
}

/// MS_RDONLY … and MOUNT_ATTR_RDONLY … are the same numbers.
const LOCKED: [(u64, &str); 4] = [
    (libc::MS_RDONLY, "ro"),
    (libc::MS_NOSUID, "nosuid"),
    (libc::MS_NODEV, "nodev"),
    (libc::MS_NOEXEC, "noexec"),
];

fn in_use(failed: &Failed) -> Look {
    if !matches!(act(failed), Act::Unmount | Act::Remount) {
        return Ok(None);
    }
    let (mounts, target) = (failed.mounts()?, target(failed)?);
    let id = target.mount_id()?;
    let children: Vec<&Mount> = mounts.iter().filter(|it| it.parent == id).collect();
    let fix = "unmount and close what is there first, or detach the mount: MNT_DETACH";
    if !children.is_empty() {
        let names = points(&children);
        return found(format!("other mounts are on {}: {names}", target.path), fix);
    }
    let users = users_of(&target)?;
    anyhow::ensure!(!users.is_empty(), "no process that we may look into uses it");
    found(format!("{} is in use: {}", target.path, users.join(", ")), fix)
}

/// Processes that stand in the mount, or have a file of it open.
fn users_of(target: &Place) -> Result<Vec<String>> {
    let (id, mut all) = (target.mount_id()?, Vec::new());
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let pid = entry.file_name().display().to_string();
        // We have it open ourselves, to look at it.
        if pid.parse::<u32>().map_or(true, |pid| pid == std::process::id()) {
            continue;
        }
        let at = |name: &str| std::fs::File::open(entry.path().join(name)).ok();
        let stands = at("cwd").and_then(|it| fd_mount(&it)) == Some(id);
        let holds = std::fs::read_dir(entry.path().join("fdinfo")).into_iter().flatten().flatten();
        let opens = holds.filter_map(|it| std::fs::read_to_string(it.path()).ok());
        let holds = opens.filter(|it| mount_of(it) == Some(id)).count();
        if stands || holds > 0 {
            let how = if stands { "stands in it" } else { "has a file of it open" };
            all.push(format!("process {pid} {how}"));
        }
    }
    Ok(all)
}

fn fd_mount(file: &std::fs::File) -> Option<u32> {
    use std::os::fd::AsRawFd;
    mount_of(&std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?)
}

fn mount_of(fdinfo: &str) -> Option<u32> {
    fdinfo.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

fn mounted_already(failed: &Failed) -> Look {
    if act(failed) != Act::New {
        return Ok(None);
    }
    let (mounts, target, source) = (failed.mounts()?, target(failed)?, failed.text(0)?);
    let mount = target.mount(&mounts)?;
    if !target.is_mount_point()? || mount.source != source {
        return Ok(None);
    }
    found(
        format!("{source} is already what is mounted on {}", target.path),
        "unmount it, or leave it",
    )
}

fn closed(failed: &Failed) -> Look {
    for place in [target(failed), source(failed)] {
        let place = match place.map_err(|error| error.downcast::<Stuck>()) {
            Ok(place) => Ok(place),
            Err(Ok(stuck)) => Err(stuck),
            Err(Err(error)) => return Err(error),
        };
        if let Some(it) = exec::closed_directory(failed, place)? {
            return Ok(Some(it));
        }
    }
    Ok(None)
}

fn mismatch(failed: &Failed) -> Look {
    if !matches!(act(failed), Act::Bind | Act::Move) || failed.call.name() == "open_tree" {
        return Ok(None);
    }
    let (source, target) = (source(failed)?, target(failed)?);
    let kind = |place: &Place| -> Result<&str> {
        Ok(if place.metadata()?.is_dir() { "a directory" } else { "a file" })
    };
    let (one, other) = (kind(&source)?, kind(&target)?);
    if one == other {
        return Ok(None);
    }
    found(
        format!(
            "the source, {}, is {one}, and the target, {}, is {other}",
            source.path, target.path
        ),
        format!("make {one} for the target"),
    )
}

fn read_only(failed: &Failed) -> Look {
    let source = failed.place(0)?;
    let name = source.path.rsplit('/').next().unwrap_or_default();
    let flag = std::fs::read_to_string(format!("/sys/class/block/{name}/ro"));
    match flag.context("it is no block device")?.trim() {
        "1" => found(format!("{} is a read-only device", source.path), "mount it with MS_RDONLY"),
        _ => Ok(None),
    }
}

/// Mounts of this type that the process sees.
pub fn of_type<'a>(mounts: &'a [Mount], fstype: &str) -> Vec<&'a Mount> {
    mounts.iter().filter(|mount| mount.fstype == fstype).collect()
}

/// What is mounted over parts of a mount.
pub fn covers<'a>(mounts: &'a [Mount], mount: &Mount) -> Vec<&'a Mount> {
    mounts.iter().filter(|it| it.parent == mount.id).collect()
}
