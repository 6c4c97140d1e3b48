//! Removes a tree of any depth with two descriptors and no recursion: a directory that is not empty
//! is moved up, out of its parent, before its own turn comes. No link is ever followed.

use std::ffi::{OsStr, OsString};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::{Errno, Result};

use super::place;

/// Removes `name` from `parent`, whatever it is; that it is not there is fine.
pub fn tree(parent: BorrowedFd, name: &OsStr) -> Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => directory(parent, name),
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// A name of ours in the directory that `name` is in, for what is moved up.
fn spare(name: &OsStr, number: usize) -> OsString {
    let tag = name.as_encoded_bytes().iter().take(64).map(|it| format!("{it:02x}"));
    format!(".rm-{}-{number}", tag.collect::<String>()).into()
}

fn directory(parent: BorrowedFd, name: &OsStr) -> Result<()> {
    let mut waiting = vec![name.to_os_string()];
    let mut number = 0;
    while let Some(name_now) = waiting.pop() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let now = openat(parent, &name_now, flags, Mode::empty())?;
        for entry in place::names(&now)? {
            if !removed(&now, &entry)? {
                let spare = loop {
                    number += 1;
                    let spare = spare(name, number);
                    if is_free(parent, &spare)? {
                        break spare;
                    }
                };
                renameat(&now, &entry, parent, &spare)?;
                waiting.push(spare);
            }
        }
        unlinkat(parent, &name_now, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// A directory that holds something stays.
fn removed(directory: &OwnedFd, name: &OsStr) -> Result<bool> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => match unlinkat(directory, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            removed => removed.map(|()| true),
        },
        removed => removed.map(|()| true),
    }
}

fn is_free(directory: BorrowedFd, name: &OsStr) -> Result<bool> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(true),
        found => found.map(|_| false),
    }
}
