//! Makes one file of a layer: by *at calls in a directory that is held open, its last component
//! never followed, its owner before its mode (chown(2) clears set-user-id), its time at the end.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, fchmod, fchown,
    ftruncate, futimens, openat, statat, utimensat,
};
use rustix::io::{Errno, pwrite};

use super::entry::{Entries, Entry};
use super::notes::Notes;
use super::owners::Owners;
use super::place::{self, Place};
use super::xattr;

const BUFFER: usize = 128 << 10;

/// A layer that is being made.
pub struct Maker {
    pub place: Place,
    pub owners: Owners,
    pub notes: Notes,
    /// A directory's time changes with each file in it, so it is set last.
    pub times: Vec<(PathBuf, Timespec)>,
    buffer: Vec<u8>,
}

impl Maker {
    pub fn new(root: OwnedFd) -> Result<Maker> {
        Ok(Maker {
            place: Place::new(root),
            owners: Owners::here()?,
            notes: Notes::default(),
            times: Vec::new(),
            buffer: vec![0; BUFFER],
        })
    }

    /// Makes what `entry` describes at `path`; its data comes from `entries`.
    pub fn make<R: Read>(
        &mut self,
        path: &Path,
        entry: &Entry,
        entries: &mut Entries<R>,
    ) -> Result<()> {
        if path == Path::new("") {
            ensure!(entry.kind.is_dir(), "the layer's own directory cannot be replaced");
            let root = place::open_directory(self.place.root(), OsStr::new("."))?;
            return self.finish_directory(&root, path, entry);
        }
        let (parent, name) = self.place.parent(path)?;
        if entry.kind.is_dir() {
            return self.directory(&parent, &name, path, entry);
        }
        if entry.kind.is_file() || entry.kind.is_gnu_sparse() {
            return self.file(&parent, &name, entry, entries);
        }
        self.clear(&parent, &name)?;
        self.special(&parent, &name, path, entry)
    }

    /// The later of two entries with one name counts.
    fn clear(&mut self, parent: &OwnedFd, name: &OsStr) -> Result<()> {
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            found => found
                .map(drop)
                .context("cannot look at it")
                .and_then(|()| self.place.clear(parent, name)),
        }
    }

    fn directory(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
        entry: &Entry,
    ) -> Result<()> {
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Ok(stat) if !place::is_whiteout(&stat) => self.place.clear(parent, name)?,
            _ => {}
        }
        place::make_directory(parent, name)?;
        let directory = place::open_directory(parent, name).context("cannot open the directory")?;
        self.finish_directory(&directory, path, entry)
    }

    fn finish_directory(&mut self, directory: &OwnedFd, path: &Path, entry: &Entry) -> Result<()> {
        self.finish(directory.as_fd(), entry)?;
        self.times.push((path.into(), timespec(entry)));
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        entry: &Entry,
        entries: &mut Entries<R>,
    ) -> Result<()> {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || openat(parent, name, flags, Mode::from_raw_mode(0o600));
        let file = match open() {
            Err(Errno::EXIST) => self.place.clear(parent, name).and_then(|()| Ok(open()?)),
            opened => opened.map_err(Into::into),
        };
        let file = file.context("cannot make it")?;
        let mut end = 0;
        for part in &entry.map.parts {
            self.write(&file, part.offset, part.length, entries)?;
            end = part.offset + part.length;
        }
        if end < entry.map.size {
            ftruncate(&file, entry.map.size).context("cannot set its size")?;
        }
        self.finish(file.as_fd(), entry)?;
        futimens(&file, &times(timespec(entry))).context("cannot set its time")
    }

    fn write<R: Read>(
        &mut self,
        file: &OwnedFd,
        mut at: u64,
        length: u64,
        entries: &mut Entries<R>,
    ) -> Result<()> {
        let end = at + length;
        while at < end {
            let most = self.buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let length = entries.read(&mut self.buffer[..most])?;
            let mut bytes = &self.buffer[..length];
            while !bytes.is_empty() {
                let written = pwrite(file, bytes, at).context("cannot write it")?;
                (bytes, at) = (&bytes[written..], at + written as u64);
            }
        }
        Ok(())
    }

    /// Owner, mode and attributes of a file that is open.
    fn finish(&mut self, file: BorrowedFd, entry: &Entry) -> Result<()> {
        let owner = self.owners.of(entry.uid, entry.gid)?;
        // Always: in a directory with set-group-id a new file has that group, inode(7).
        fchown(file, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)))
            .context("cannot set its owner")?;
        fchmod(file, Mode::from_raw_mode(entry.mode)).context("cannot set its mode")?;
        self.notes.xattrs += xattr::set(file, &entry.xattrs)?;
        Ok(())
    }

    /// The times of all directories, when nothing changes in them any more.
    pub fn finish_all(&mut self) -> Result<()> {
        self.buffer = Vec::new();
        for (path, time) in &self.times {
            // It may have been replaced by something else since.
            if let Ok(Some(directory)) = place::find(self.place.root(), path) {
                set_time(&directory, *time)
                    .with_context(|| format!("cannot set the time of {path:?}"))?;
            }
        }
        Ok(())
    }
}

/// By way of /proc: a descriptor that was opened without any access is not one for futimens(2).
pub fn set_time(directory: &OwnedFd, time: Timespec) -> rustix::io::Result<()> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
    utimensat(CWD, path, &times(time), AtFlags::empty())
}

pub fn timespec(entry: &Entry) -> Timespec {
    Timespec { tv_sec: entry.mtime.0, tv_nsec: entry.mtime.1.into() }
}

pub fn times(time: Timespec) -> Timestamps {
    Timestamps { last_access: time, last_modification: time }
}
