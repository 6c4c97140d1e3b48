//! A file or directory that cannot be opened or made, where it is no cgroup's: where its path ends,
//! and whose it is.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use anyhow::Result;
use nix::errno::Errno;
use nix::libc;

use super::failed::Failed;
use super::place::{Place, Stuck};
use super::{Cause, Look, exec, found, mount, rights};

pub fn causes(errno: Errno) -> Vec<Cause> {
    let mut all = mount::PATHS.to_vec();
    match errno {
        Errno::EACCES | Errno::EPERM => {
            all.push(("a directory on the way without x", closed));
            all.push(("the file or directory is somebody else's", not_ours));
            all.extend(rights::REFUSALS);
        }
        Errno::EROFS => all.push(("it is mounted read-only", read_only)),
        _ => {}
    }
    all
}

/// The path that the call names: where in the arguments it stands depends on the call.
pub fn path(failed: &Failed) -> Result<String> {
    match failed.call.name() {
        "write" | "pwrite64" => failed.open_on(failed.int(0)),
        "openat" | "mkdirat" | "unlinkat" | "mknodat" => failed.text(1),
        _ => failed.text(0),
    }
}

/// Where it leads.
fn place(failed: &Failed) -> Result<Place, Stuck> {
    let directory = match failed.call.name() {
        name if name.ends_with("at") => failed.int(0),
        _ => libc::AT_FDCWD,
    };
    failed.walk(directory, &path(failed).unwrap_or_default(), true)
}

fn closed(failed: &Failed) -> Look {
    exec::closed_directory(failed, place(failed))
}

/// What is made is written into the directory, what is there is written itself.
fn not_ours(failed: &Failed) -> Look {
    let (path, metadata): (String, Metadata) = match place(failed) {
        Ok(place) => (place.path.clone(), place.metadata()?),
        Err(stuck) => match stuck.way.into_iter().last() {
            Some(last) => last,
            None => return Ok(None),
        },
    };
    let status = failed.status()?;
    if failed.has("CAP_DAC_OVERRIDE")? && failed.in_our_user_namespace()? {
        return Ok(None);
    }
    let uid = status.uids.get(3).copied().unwrap_or_default();
    if uid == metadata.uid() && metadata.mode() & 0o600 == 0o600 {
        return Ok(None);
    }
    found(
        format!(
            "{path} has mode {:o} and belongs to {}:{}, and the process is uid {uid}",
            metadata.mode() & 0o7777,
            metadata.uid(),
            metadata.gid()
        ),
        "use a directory of your own",
    )
}

fn read_only(failed: &Failed) -> Look {
    let (mounts, path) = (failed.mounts()?, path(failed)?);
    let above = path.rsplit_once('/').map_or(".", |(above, _)| above);
    let place = failed.walk(libc::AT_FDCWD, if above.is_empty() { "/" } else { above }, true)?;
    let mount = place.mount(&mounts)?;
    if !mount.has("ro") {
        return Ok(None);
    }
    found(
        format!("{} is mounted read-only ({})", mount.point, mount.options.join(",")),
        "write before it becomes read-only, or elsewhere",
    )
}
