//! The directory that `--upper` keeps: the upper and the work directory of overlayfs, side by side,
//! the container's root's to write, and nobody else's to enter.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use chroot::Hint;
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid, fchown, fstat, mkdirat, openat};
use rustix::io::Errno;
use user::Maps;

/// An upper directory within a layer would be changed through both.
pub fn check_apart(kept: &Path, lower: &[PathBuf]) -> Result<()> {
    let there = kept.ancestors().find_map(|above| above.canonicalize().ok()).unwrap_or_default();
    for layer in lower {
        let within = layer.canonicalize().is_ok_and(|layer| there.starts_with(layer));
        ensure!(!within, "cannot keep the changes in {}: a layer holds it", kept.display());
    }
    Ok(())
}

/// The upper and the work directory are side by side: both must be on one filesystem. They
/// belong to whoever is root inside.
pub fn prepare(kept: &Path, maps: &Maps) -> Result<()> {
    let private = fs::DirBuilder::new().recursive(true).mode(0o700).create(kept);
    private.with_context(|| format!("cannot make {}", kept.display()))?;
    check_private(kept)?;
    for name in ["upper", "work"] {
        let path = kept.join(name);
        match mkdirat(CWD, &path, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => {
                return Err(errno).with_context(|| format!("cannot make {}", path.display()));
            }
        }
        let directory = open_directory(&path)?;
        give(&directory, maps).with_context(|| format!("cannot use {}", path.display()))?;
    }
    Ok(())
}

/// For nobody else: the container may leave setuid programs in it, and whoever could run them would
/// be us.
fn check_private(kept: &Path) -> Result<()> {
    let status =
        fs::metadata(kept).with_context(|| format!("cannot look at {}", kept.display()))?;
    let mode = status.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let act = format!("cannot keep the changes in {}: others may enter it", kept.display());
        let hint = format!("its mode is {mode:o}: chmod 700 {}", kept.display());
        return Err(anyhow!("{act}").context(Hint(hint)));
    }
    Ok(())
}

/// A link in the place of the directory would have us give away, and the container write to,
/// whatever it points to.
pub fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
        .with_context(|| format!("cannot open the directory {}", path.display()))
}

/// Makes the container's root the owner, if we are.
fn give(directory: &OwnedFd, maps: &Maps) -> Result<()> {
    let (uid, gid) = (maps.uids[0].outside, maps.gids[0].outside);
    let owner = fstat(directory).context("cannot look at its owner")?;
    if (owner.st_uid, owner.st_gid) == (uid, gid) {
        return Ok(());
    }
    let ours = owner.st_uid == rustix::process::geteuid().as_raw();
    ensure!(ours || owner.st_uid == uid, "it belongs to somebody else, uid {}", owner.st_uid);
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    fchown(directory, Some(uid), Some(gid)).context("cannot give it to the container's root")
}
