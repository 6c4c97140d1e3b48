//! What of a layer depends on those below it. A parent that an archive needs but does not describe
//! belongs to the layers below: it hides their directory of that name, so it must look like it.
//! That is why a layer is unpacked for one chain.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Uid, chmodat, chownat, fstat,
    openat2, statat, unlinkat,
};

use super::{copy, make, place};

/// Gives the directory `path` of the layer `root` what it has in the first of `below`, from the top
/// down, that has it; where none has, it stays root's. One that is gone again is left alone.
pub fn implied(root: &OwnedFd, path: &Path, below: &[OwnedFd]) -> Result<()> {
    let Some(model) = below.iter().find_map(|layer| look(layer, path)) else { return Ok(()) };
    let Ok(directory) = open(root, path) else { return Ok(()) };
    // By way of /proc: the descriptor was opened without any access.
    let name = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let (uid, gid) = (Uid::from_raw(model.st_uid), Gid::from_raw(model.st_gid));
    chownat(CWD, &name, Some(uid), Some(gid), AtFlags::empty()).context("cannot set its owner")?;
    let mode = Mode::from_raw_mode(model.st_mode & 0o7777);
    chmodat(CWD, &name, mode, AtFlags::empty()).context("cannot set its mode")?;
    let time = Timespec { tv_sec: model.st_mtime, tv_nsec: model.st_mtime_nsec as _ };
    make::set_time(&directory, time).context("cannot set its time")
}

/// Removes the whiteouts in the directory `path` of the layer `root` if there is nothing below that
/// they could hide: overlayfs shows them in a directory that it does not merge with another.
pub fn marks(root: &OwnedFd, path: &Path, below: &[OwnedFd]) -> Result<()> {
    let Ok(directory) = open(root, path) else { return Ok(()) };
    let directory = place::open_directory(&directory, OsStr::new("."))?;
    let merged = below.iter().any(|layer| look(layer, path).is_some());
    if merged && !copy::is_opaque(&directory) {
        return Ok(());
    }
    let stat = fstat(&directory)?;
    for name in place::names(&directory)? {
        if place::is_whiteout(&statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW)?) {
            unlinkat(&directory, &name, AtFlags::empty())?;
        }
    }
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    Ok(make::set_time(&directory, time)?)
}

fn look(layer: &OwnedFd, path: &Path) -> Option<Stat> {
    fstat(open(layer, path).ok()?).ok()
}

fn open(layer: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let path = if path == Path::new("") { Path::new(".") } else { path };
    openat2(layer, path, flags, Mode::empty(), resolve)
}
