//! pivot_root(2): both errors have many reasons, and all are to be seen in mountinfo. The order is
//! the kernel's own (fs/namespace.c).

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::failed::Failed;
use super::place::Place;
use super::{Cause, Look, found, mount, rights};
use crate::mountinfo::Mount;

pub fn causes(errno: Errno) -> Vec<Cause> {
    match errno {
        Errno::EINVAL => vec![
            ("put_old's mount is shared", put_old_shared),
            ("the parent mount of new_root is shared", parent_shared),
            ("the parent mount of / is shared", root_parent_shared),
            ("new_root is on a mount of another mount namespace", foreign),
            ("/ is on the rootfs (initramfs)", rootfs),
            ("/ is no mount point", root_no_mount),
            ("new_root is no mount point", no_mount_point),
            ("put_old is not at or below new_root", not_below),
            ("the mount of new_root is locked", locked),
        ],
        Errno::EBUSY => vec![
            ("new_root is on the mount that is /", new_is_root),
            ("put_old is on the mount that is /", old_is_root),
        ],
        Errno::EPERM => {
            let lacks: Cause = ("no CAP_SYS_ADMIN over the mount namespace", mount::no_admin);
            [&[lacks], &rights::REFUSALS[..]].concat()
        }
        _ => mount::PATHS.to_vec(),
    }
}

fn new_root(failed: &Failed) -> Result<Place> {
    failed.place(0)
}

fn shared(mount: &Mount) -> bool {
    mount.propagation.iter().any(|it| it.starts_with("shared:"))
}

const PRIVATE: &str = "first of all in the new mount namespace, make everything private: \
    mount(NULL, \"/\", NULL, MS_REC | MS_PRIVATE, NULL)";

fn put_old_shared(failed: &Failed) -> Look {
    let (mounts, old) = (failed.mounts()?, failed.place(1)?);
    let mount = old.mount(&mounts)?;
    if !shared(mount) {
        return Ok(None);
    }
    let (path, point, how) = (&old.path, &mount.point, mount.propagation.join(" "));
    found(
        format!(
            "put_old, {path}, is on the mount {point}, which is shared: its line in \
                 /proc/PID/mountinfo says {how}"
        ),
        PRIVATE,
    )
}

fn parent_shared(failed: &Failed) -> Look {
    let mounts = failed.mounts()?;
    let mount = new_root(failed)?.mount(&mounts)?.clone();
    let parent = mounts.iter().find(|it| it.id == mount.parent);
    let parent = parent.context("the parent is above what it can see")?;
    if !shared(parent) {
        return Ok(None);
    }
    let (point, how) = (&parent.point, parent.propagation.join(" "));
    let which =
        if point == "/" { "the current root, /".into() } else { format!("the mount {point}") };
    found(
        format!(
            "new_root is mounted on {which}, which is shared ({how} in /proc/PID/mountinfo): \
             the change would have to appear in other mount namespaces too"
        ),
        PRIVATE,
    )
}

/// It is above what the process sees; nothing shared is there unless somebody has mounted the
/// process's / on a shared mount, and then we see it if we are in the same mount namespace.
fn root_parent_shared(failed: &Failed) -> Look {
    let (mounts, root) = (failed.mounts()?, failed.root()?);
    let parent = root.mount(&mounts)?.parent;
    let ours = crate::Process::own()?.mounts;
    let all = ours.get().into_iter().flatten().chain(&mounts);
    match all.clone().find(|it| it.id == parent).filter(|it| shared(it)) {
        Some(mount) => {
            let (point, how) = (&mount.point, mount.propagation.join(" "));
            found(format!("/ is mounted on {point}, which is shared ({how})"), PRIVATE)
        }
        None => Ok(None),
    }
}

fn foreign(failed: &Failed) -> Look {
    mount::foreign(failed, &new_root(failed)?)
}

/// The first mount of all has no parent but itself.
pub fn is_rootfs(mount: &Mount) -> bool {
    mount.fstype == "rootfs" || mount.parent == mount.id
}

fn rootfs(failed: &Failed) -> Look {
    let (mounts, root) = (failed.mounts()?, failed.root()?);
    let mount = root.mount(&mounts)?;
    if !is_rootfs(mount) {
        return Ok(None);
    }
    found(
        format!(
            "/ is the first mount of all, {} (mount {} with parent {} in /proc/PID/mountinfo): \
             the initramfs can neither be moved nor unmounted",
            mount.fstype, mount.id, mount.parent
        ),
        "mount a filesystem over it: mount --move NEW /, then chroot(\".\"), as switch_root(8) \
         does",
    )
}

fn root_no_mount(failed: &Failed) -> Look {
    if failed.root()?.is_mount_point()? {
        return Ok(None);
    }
    let root = failed.link("root")?;
    found(
        format!("the process's root is {root}, which is no mount point: it was changed by chroot"),
        "pivot_root before chroot, or instead of it",
    )
}

fn no_mount_point(failed: &Failed) -> Look {
    let new = new_root(failed)?;
    if new.is_mount_point()? {
        return Ok(None);
    }
    let mounts = failed.mounts()?;
    let on =
        new.mount(&mounts).map_or("another mount".into(), |it| format!("the mount {}", it.point));
    let path = &new.path;
    found(
        format!(
            "{path} is not a mount point: /proc/PID/mountinfo has no line for it, it is only a \
                 directory on {on}"
        ),
        format!("bind it on itself first: mount({path:?}, {path:?}, NULL, MS_BIND | MS_REC, NULL)"),
    )
}

fn not_below(failed: &Failed) -> Look {
    let (new, old) = (new_root(failed)?, failed.place(1)?);
    if old.is_within(&new) {
        return Ok(None);
    }
    found(
        format!("put_old, {}, is not at or below new_root, {}", old.path, new.path),
        "chdir to the new root and use pivot_root(\".\", \".\"), or make a directory in it",
    )
}

/// The lock itself is not to be seen: this is what is left, and only in a user namespace.
fn locked(failed: &Failed) -> Look {
    if failed.in_our_user_namespace()? {
        return Ok(None);
    }
    let (mounts, new) = (failed.mounts()?, new_root(failed)?);
    let point = &new.mount(&mounts)?.point;
    found(
        format!(
            "the other reasons are ruled out, and the process is in a user namespace: the mount \
             {point} came with the mount namespace of a more privileged one, and is locked in its \
             place"
        ),
        format!(
            "bind it on itself in the new mount namespace, mount({point:?}, {point:?}, NULL, \
             MS_BIND | MS_REC, NULL), and pivot to that"
        ),
    )
}

fn is_root(failed: &Failed, place: &Place, name: &str) -> Look {
    if place.mount_id()? != failed.root()?.mount_id()? {
        return Ok(None);
    }
    let path = &place.path;
    let mounted = match place.is_mount_point()? {
        true => "it is / itself".to_string(),
        false => format!("{path} is not a mount point, but a directory on that mount"),
    };
    found(
        format!("{name}, {path}, is on the mount that is the current root: {mounted}"),
        format!(
            "bind the new root on itself first, mount({path:?}, {path:?}, NULL, MS_BIND | \
                 MS_REC, NULL), and chdir to it afterwards"
        ),
    )
}

fn new_is_root(failed: &Failed) -> Look {
    is_root(failed, &new_root(failed)?, "new_root")
}

fn old_is_root(failed: &Failed) -> Look {
    let old = failed.place(1)?;
    if old.mount_id()? != failed.root()?.mount_id()? {
        return Ok(None);
    }
    found(
        format!("put_old, {}, is on the mount that is the current root", old.path),
        "put_old must be at or below the new root: pivot_root(\".\", \".\") from within it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mount_of_all_is_known() {
        let mount = |line: &str| Mount::parse(line).unwrap();
        assert!(is_rootfs(&mount("1 1 0:2 / / rw - rootfs rootfs rw")));
        assert!(!is_rootfs(&mount("21 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw")));
    }
}
