//! All layers of an image as one plain directory, for programs that know nothing of layers. What
//! the kernel does when it shows an overlay is done here once: marks delete, the rest is copied.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chmodat, chownat,
    fchmod, fchown, futimens, linkat, mkdirat, mknodat, openat, readlinkat, statat, symlinkat,
    utimensat,
};
use rustix::io::Errno;

use crate::store::{Image, Store};
use crate::unpack::{copy, place, remove};

/// The files of one layer that have more names than one, and the first of these.
type Links = HashMap<(u64, u64), PathBuf>;

struct Flatten {
    root: OwnedFd,
    links: Links,
}

/// Puts the files of `image` into the new directory `path`.
pub fn unpack(store: &Store, image: &Image, path: &Path) -> Result<()> {
    let act = || format!("cannot unpack {} to {}", image.named.title(), path.display());
    ensure!(fs::symlink_metadata(path).is_err(), "{}: there is something already", act());
    let name = path.file_name().with_context(act)?;
    let beside = path.with_file_name(format!(".{}-{}", name.display(), std::process::id()));
    let done = all(store, image, &beside).and_then(|()| Ok(fs::rename(&beside, path)?));
    done.with_context(act).inspect_err(|_| {
        if let (Ok(parent), Some(name)) = (File::open(parent(&beside)), beside.file_name()) {
            let _ = remove::tree(parent.as_fd(), name);
        }
    })
}

/// The parent of a bare name is where we stand.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|it| *it != Path::new("")).unwrap_or(Path::new("."))
}

fn all(store: &Store, image: &Image, path: &Path) -> Result<()> {
    fs::create_dir(path)?;
    let root = OwnedFd::from(File::open(path)?);
    let mut flatten = Flatten { root: root.try_clone()?, links: Links::new() };
    for chain in &image.chain {
        let layer = OwnedFd::from(File::open(store.layer(chain)).context("a layer is missing")?);
        flatten.links.clear();
        flatten.directory(&layer, &root, Path::new(""))?;
    }
    Ok(())
}

impl Flatten {
    /// Everything in one directory of a layer, then what the directory itself is like.
    fn directory(&mut self, from: &OwnedFd, to: &OwnedFd, path: &Path) -> Result<()> {
        if copy::is_opaque(from) {
            place::names(to)?.iter().try_for_each(|name| remove::tree(to.as_fd(), name))?;
        }
        for name in place::names(from)? {
            let path = path.join(&name);
            self.entry(from, to, &name, &path)?;
        }
        let stat = rustix::fs::fstat(from)?;
        copy::xattrs(from, to)?;
        owner_and_mode(to, &stat)?;
        Ok(futimens(to, &times(&stat))?)
    }

    fn entry(&mut self, from: &OwnedFd, to: &OwnedFd, name: &OsStr, path: &Path) -> Result<()> {
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.below(from, to, name, path),
            _ => {
                let copied = self.other(from, to, name, path, &stat);
                copied.with_context(|| format!("cannot copy {path:?}"))
            }
        }
    }

    /// All but a directory: in the place of whatever has its name.
    fn other(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &OsStr,
        path: &Path,
        stat: &Stat,
    ) -> Result<()> {
        remove::tree(to.as_fd(), name)?;
        match FileType::from_raw_mode(stat.st_mode) {
            _ if place::is_whiteout(stat) => Ok(()),
            _ if self.linked(to, name, path, stat)? => Ok(()),
            FileType::RegularFile => file(from, to, name, stat),
            FileType::Symlink => {
                symlinkat(readlinkat(from, name, Vec::new())?, to, name)?;
                by_name(to, name, stat)
            }
            kind => {
                mknodat(to, name, kind, Mode::from_raw_mode(0o600), stat.st_rdev)?;
                let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                by_name(to, name, stat)?;
                Ok(chmodat(to, name, mode, AtFlags::empty())?)
            }
        }
    }

    fn below(&mut self, from: &OwnedFd, to: &OwnedFd, name: &OsStr, path: &Path) -> Result<()> {
        let there = statat(to, name, AtFlags::SYMLINK_NOFOLLOW);
        if there.is_ok_and(|it| FileType::from_raw_mode(it.st_mode) != FileType::Directory) {
            remove::tree(to.as_fd(), name)?;
        }
        match mkdirat(to, name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let open = |parent| {
            place::open_directory(parent, name).with_context(|| format!("cannot open {path:?}"))
        };
        let (from, to) = (open(from)?, open(to)?);
        self.directory(&from, &to, path)
    }

    /// Whether this file was copied already, under another name.
    fn linked(&mut self, to: &OwnedFd, name: &OsStr, path: &Path, stat: &Stat) -> Result<bool> {
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) else {
            self.links.insert((stat.st_dev, stat.st_ino), path.into());
            return Ok(false);
        };
        let parent = place::find(&self.root, first.parent().unwrap_or(Path::new("")))?;
        let parent = parent.ok_or(Errno::NOENT)?;
        linkat(&parent, first.file_name().unwrap_or_default(), to, name, AtFlags::empty())?;
        Ok(true)
    }
}

fn file(from: &OwnedFd, to: &OwnedFd, name: &OsStr, stat: &Stat) -> Result<()> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = openat(from, name, flags | OFlags::RDONLY, Mode::empty())?;
    let new = flags | OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
    let copied = openat(to, name, new, Mode::from_raw_mode(0o600))?;
    copy::data(&source, &copied, stat.st_size as u64)?;
    owner_and_mode(&copied, stat)?;
    copy::xattrs(&source, &copied)?;
    Ok(futimens(&copied, &times(stat))?)
}

fn owner_and_mode(file: &OwnedFd, stat: &Stat) -> Result<()> {
    fchown(file, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    Ok(fchmod(file, Mode::from_raw_mode(stat.st_mode & 0o7777))?)
}

fn by_name(to: &OwnedFd, name: &OsStr, stat: &Stat) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    Timestamps { last_access: time, last_modification: time }
}
