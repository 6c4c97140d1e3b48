//! Files that have no data: links and nodes. They cannot be opened, so all is done by name, in a
//! directory that is held open, and nothing is followed.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, Uid, chmodat, chownat, linkat, makedev, mknodat, symlinkat,
    utimensat,
};
use rustix::io::Errno;

use super::entry::Entry;
use super::make::{Maker, times, timespec};
use super::place;

impl Maker {
    /// Makes the link or node that `entry` describes; nothing else has its name.
    pub fn special(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
        entry: &Entry,
    ) -> Result<()> {
        match entry.kind {
            kind if kind.is_hard_link() => self.link(parent, name, path, entry),
            kind if kind.is_symlink() => {
                symlinkat(OsStr::from_bytes(&entry.link), parent, name)
                    .context("cannot make a symbolic link")?;
                self.finish_by_name(parent, name, entry)
            }
            kind if kind.is_fifo() => self.node(parent, name, FileType::Fifo, entry),
            kind if kind.is_character_special() => {
                self.node(parent, name, FileType::CharacterDevice, entry)
            }
            kind if kind.is_block_special() => {
                self.node(parent, name, FileType::BlockDevice, entry)
            }
            kind => bail!("it is of an unknown type, {:?}", char::from(kind.as_byte())),
        }
    }

    /// Only to what this layer holds itself; a link shares its inode, so there is nothing more to
    /// set.
    fn link(&mut self, parent: &OwnedFd, name: &OsStr, path: &Path, entry: &Entry) -> Result<()> {
        let act = || format!("cannot link it to {:?}", entry.link.escape_ascii().to_string());
        let target = place::clean(&entry.link).with_context(act)?;
        ensure!(target != path, "it is a hard link to itself");
        let (directory, target) = self.place.existing_parent(&target).with_context(act)?;
        linkat(&directory, &target, parent, name, AtFlags::empty()).with_context(act)
    }

    /// A device: whoever is root in a user namespace only may not make one, user_namespaces(7).
    /// Number 0:0 is overlay's mark of a deleted file, which is for `.wh.` names alone to make.
    fn node(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        kind: FileType,
        entry: &Entry,
    ) -> Result<()> {
        let (major, minor) = entry.device;
        ensure!(major < 1 << 12 && minor < 1 << 20, "there is no device {major}:{minor}");
        if kind == FileType::CharacterDevice && (major, minor) == (0, 0) {
            self.notes.devices += 1;
            return Ok(());
        }
        let device = makedev(major as u32, minor as u32);
        match mknodat(parent, name, kind, Mode::from_raw_mode(0o600), device) {
            Err(Errno::PERM) if kind != FileType::Fifo => {
                self.notes.devices += 1;
                Ok(())
            }
            made => {
                made.context("cannot make the node")?;
                self.finish_by_name(parent, name, entry)
            }
        }
    }

    /// The same for what cannot be opened: a link has an owner and a time, a node a mode too.
    fn finish_by_name(&mut self, parent: &OwnedFd, name: &OsStr, entry: &Entry) -> Result<()> {
        let (uid, gid) = self.owners.of(entry.uid, entry.gid)?;
        chownat(
            parent,
            name,
            Some(Uid::from_raw(uid)),
            Some(Gid::from_raw(gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .context("cannot set its owner")?;
        if !entry.kind.is_symlink() {
            // chmodat(2) follows links, but this name is the node that we have just made.
            chmodat(parent, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
                .context("cannot set its mode")?;
        }
        utimensat(parent, name, &times(timespec(entry)), AtFlags::SYMLINK_NOFOLLOW)
            .context("cannot set its time")
    }
}
