//! From an archive to a directory that overlayfs can use: image-spec, layer.md. Unpacking is the
//! most dangerous thing that a runtime does: it writes, as root, what somebody else has thought
//! out. Nothing leaves the directory, nothing grows without bounds, and what is wrong ends it all
//! in one error.

pub mod copy;
mod decode;
mod entry;
mod header;
mod make;
mod notes;
mod owners;
mod pax;
pub mod place;
pub mod remove;
mod settle;
mod sparse;
mod special;
mod xattr;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{AtFlags, FileType, Mode, mknodat, statat};
use rustix::io::Errno;

use crate::digest::Digest;
use decode::Decoded;
use entry::{Entries, Entry};
use make::Maker;
pub use notes::Notes;

/// How a deleted file is written down, layer.md "Whiteouts".
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Left behind by AUFS, which had files of its own under such names.
const AUFS: &[u8] = b".wh..wh.";

/// How far a layer may grow.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub bytes: u64,
    pub files: u64,
}

/// What else there is to know while a layer is unpacked.
pub struct Watch<'a> {
    pub limits: Limits,
    /// Is told how many bytes of the blob were read.
    pub progress: &'a (dyn Fn(u64) + Sync),
    /// Whether to go on: another layer may have failed.
    pub stopped: &'a (dyn Fn() -> bool + Sync),
}

/// The error of a layer that was given up because another one has failed.
#[derive(Debug)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("it was given up")
    }
}

impl std::error::Error for Stopped {}

/// A layer that is unpacked, but for what it takes from the layers below.
pub struct Layer {
    maker: Maker,
}

/// Unpacks `blob` into the empty directory `root`. What comes out of it must have `diff_id`.
///
/// `bottom`: nothing is below this layer, so there is nothing to delete.
pub fn layer(
    blob: File,
    diff_id: &Digest,
    root: OwnedFd,
    bottom: bool,
    watch: &Watch,
) -> Result<Layer> {
    thread::scope(|scope| {
        let (decoded, thread) = decode::start(scope, blob, watch.limits.bytes, watch.progress)?;
        let mut maker = Maker::new(root)?;
        if !bottom {
            // The layer's own directory is the root of what the container sees.
            maker.place.implied.push(PathBuf::new());
        }
        let mut unpacker = Unpacker { maker, watch, bottom, files: 0, bytes: 0 };
        unpacker.all(decoded)?;
        let digest = thread.join().ok().context("the decoder has panicked")?;
        ensure!(digest == *diff_id, "it unpacks to {digest} and should be {diff_id}");
        unpacker.maker.finish_all()?;
        Ok(Layer { maker: unpacker.maker })
    })
}

impl Layer {
    /// Whether it takes nothing from the layers below.
    pub fn is_complete(&self) -> bool {
        self.maker.place.implied.is_empty()
    }

    /// The last of it, once the layers `below` are there, from the top down.
    pub fn settle(mut self, below: &[OwnedFd]) -> Result<Notes> {
        let implied = std::mem::take(&mut self.maker.place.implied);
        if !implied.is_empty() {
            let described: HashSet<&PathBuf> = self.maker.times.iter().map(|it| &it.0).collect();
            // One that was described after all is not implied any more.
            for path in implied.iter().filter(|path| !described.contains(path)) {
                settle::implied(self.maker.place.root(), path, below)
                    .with_context(|| format!("cannot make {path:?} what it is below"))?;
            }
        }
        for path in std::mem::take(&mut self.maker.place.marked) {
            settle::marks(self.maker.place.root(), &path, below)
                .with_context(|| format!("cannot look through the whiteouts in {path:?}"))?;
        }
        Ok(Notes { owners: self.maker.owners.unmapped, ..self.maker.notes })
    }
}

struct Unpacker<'a> {
    maker: Maker,
    watch: &'a Watch<'a>,
    bottom: bool,
    files: u64,
    /// What the files say that they have, holes too.
    bytes: u64,
}

impl Unpacker<'_> {
    fn all(&mut self, decoded: Decoded) -> Result<()> {
        let mut entries = Entries::new(decoded);
        while let Some(entry) = entries.next()? {
            ensure!(!(self.watch.stopped)(), Stopped);
            self.bound(&entry)?;
            let act = || format!("cannot unpack \"{}\"", entry.path.escape_ascii());
            self.entry(&entry, &mut entries).with_context(act)?;
        }
        entries.finish()
    }

    fn bound(&mut self, entry: &Entry) -> Result<()> {
        let limits = self.watch.limits;
        self.files += 1;
        ensure!(
            self.files <= limits.files,
            "it has more than {} files (--max-files)",
            limits.files
        );
        self.bytes = self.bytes.saturating_add(entry.map.size);
        ensure!(
            self.bytes <= limits.bytes,
            "it unpacks to more than {} bytes (--max-size)",
            limits.bytes
        );
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, entries: &mut Entries<Decoded>) -> Result<()> {
        let path = place::clean(&entry.path)?;
        let is_mark = |name: &OsStr| name.as_bytes().starts_with(WHITEOUT);
        let within = path.parent().is_some_and(|parent| parent.iter().any(is_mark));
        ensure!(!within, "a whiteout is no directory");
        match path.file_name() {
            Some(name) if is_mark(name) => self.whiteout(&path, name),
            _ => self.maker.make(&path, entry, entries),
        }
    }

    fn whiteout(&mut self, path: &Path, mark: &OsStr) -> Result<()> {
        let hidden = &mark.as_bytes()[WHITEOUT.len()..];
        match mark.as_bytes() {
            // Nothing that the layers below have in this directory is to be seen.
            OPAQUE => self.hide(path, OsStr::new(".")),
            mark if mark.starts_with(AUFS) => Ok(()),
            _ if matches!(hidden, b"" | b"." | b"..") => bail!("it deletes no file"),
            _ => self.hide(path, OsStr::from_bytes(hidden)),
        }
    }

    /// Hides what the layers below have under the name `hidden`, beside the whiteout `path`.
    ///
    /// An archive says it with a file `.wh.NAME`, layer.md "Whiteouts"; overlayfs.rst with a
    /// character device 0:0 called NAME, mknod(2). If this layer has NAME itself, whichever of the
    /// two came first, it stays: a directory with `hide_below`, all else hides by itself. In the
    /// `bottom` layer there is nothing to hide. Where a device is made, the `place` has to know that
    /// the directory of `path` is `marked`.
    ///
    /// Exercise 14.4
    fn hide(&mut self, path: &Path, hidden: &OsStr) -> Result<()> {
        let (parent, _) = self.maker.place.parent(path)?;
        match statat(&parent, hidden, AtFlags::SYMLINK_NOFOLLOW) {
            _ if self.bottom => Ok(()),
            Err(Errno::NOENT) => {
                self.maker.place.marked(path)?;
                mknodat(&parent, hidden, FileType::CharacterDevice, Mode::empty(), 0)
                    .context("cannot make a whiteout")
            }
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                place::hide_below(&parent, hidden)
            }
            found => found.map(drop).context("cannot look at what is deleted"),
        }
    }
}
