//! Paths inside the root, resolved inside the root. A root directory is not to be trusted: an
//! `etc -> /` in it would make us write to the host. openat2(2) with RESOLVE_IN_ROOT takes the
//! descriptor for /, so that no symlink and no `..` leads out.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, readlinkat};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

const MOST_LINKS: usize = 40;

/// What is to be there to mount on.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Directory,
    File,
}

/// Opens `path` in `root`, which must exist.
pub fn open(root: BorrowedFd, path: &Path) -> Result<OwnedFd> {
    openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), within())
}

/// Opens `path` in `root` and takes no symlink on the way: for what the kernel's own
/// filesystems are mounted on, so that /proc is /proc and not where a link leads to.
pub fn open_unlinked(root: BorrowedFd, path: &Path) -> Result<OwnedFd> {
    let resolve = within() | ResolveFlags::NO_SYMLINKS;
    openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Opens `path` in `root`, made if it is missing, its directories too.
pub fn open_or_create(root: BorrowedFd, path: &Path, kind: Kind) -> Result<OwnedFd> {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match open(root, &path) {
            Err(Errno::NOENT) => {}
            opened => return opened,
        }
        match create(root, &path, kind) {
            // Something is there that leads nowhere: make what the link points to.
            Err(Errno::EXIST) => path = link_target(root, &path)?,
            created => return created,
        }
    }
    Err(Errno::LOOP)
}

fn create(root: BorrowedFd, path: &Path, kind: Kind) -> Result<OwnedFd> {
    let (parent, name) = split(path)?;
    let parent = open_or_create(root, parent, Kind::Directory)?;
    let (flags, mode) = match kind {
        Kind::Directory => {
            mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
            (OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
        }
        Kind::File => (OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY, Mode::from_raw_mode(0o644)),
    };
    openat2(&parent, name, flags | OFlags::CLOEXEC, mode, within())
}

fn split(path: &Path) -> Result<(&Path, &OsStr)> {
    path.parent().zip(path.file_name()).ok_or(Errno::INVAL)
}

fn link_target(root: BorrowedFd, path: &Path) -> Result<PathBuf> {
    let (parent, name) = split(path)?;
    let target = readlinkat(open(root, parent)?, name, Vec::new())?;
    Ok(parent.join(OsStr::from_bytes(target.as_bytes())))
}

/// When anything on the host was renamed or mounted meanwhile, the kernel cannot vouch for a
/// `..` and says EAGAIN: then it is to be asked again.
fn openat2(
    root: impl AsFd + Copy,
    path: impl Arg + Copy,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> Result<OwnedFd> {
    loop {
        match rustix::fs::openat2(root, path, flags, mode, resolve) {
            Err(Errno::AGAIN) => {}
            opened => return opened,
        }
    }
}

/// No way out of the root, and none through the links in /proc that are no links but doors.
fn within() -> ResolveFlags {
    ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS
}
