//! What the lower layers hold together, without mounting them: a layer hides what is below it
//! by a whiteout (a character device 0:0), by an opaque directory, or by a file of that name.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fgetxattr, openat2, statat,
};
use rustix::io::{Errno, Result};

/// The lower layers, from the top down.
pub struct Lower(pub Vec<OwnedFd>);

enum Answer {
    Here(FileType),
    Hidden,
    AskBelow,
}

impl Lower {
    /// What `path` is without the upper directory.
    pub fn file_type(&self, path: &Path) -> Result<Option<FileType>> {
        for layer in &self.0 {
            match ask(layer, path)? {
                Answer::Here(found) => return Ok(Some(found)),
                Answer::Hidden => return Ok(None),
                Answer::AskBelow => {}
            }
        }
        Ok(None)
    }

    /// The names in the directory `path` without the upper directory.
    pub fn names(&self, path: &Path) -> Result<Vec<OsString>> {
        let mut found = Vec::new();
        for layer in &self.0 {
            found.extend(names(layer, path).unwrap_or_default());
        }
        found.sort();
        found.dedup();
        let mut shown = Vec::new();
        for name in found {
            if self.file_type(&path.join(&name))?.is_some() {
                shown.push(name);
            }
        }
        Ok(shown)
    }
}

fn ask(layer: &OwnedFd, path: &Path) -> Result<Answer> {
    let mut opaque = false;
    let mut steps: Vec<&Path> = path.ancestors().filter(|step| *step != Path::new("")).collect();
    steps.reverse();
    for step in steps {
        let found = match stat(layer, step) {
            Err(Errno::NOENT) if opaque => return Ok(Answer::Hidden),
            Err(Errno::NOENT) => return Ok(Answer::AskBelow),
            found => found?,
        };
        let kind = FileType::from_raw_mode(found.st_mode);
        match step == path {
            _ if is_whiteout(&found) => return Ok(Answer::Hidden),
            true => return Ok(Answer::Here(kind)),
            false if kind != FileType::Directory => return Ok(Answer::Hidden),
            false => opaque |= is_opaque(layer, step)?,
        }
    }
    Ok(Answer::Here(FileType::Directory))
}

/// The status of `path` in one layer; a symlink is never followed.
pub fn stat(layer: &OwnedFd, path: &Path) -> Result<Stat> {
    let (parent, Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL);
    };
    let parent = open(layer, parent.unwrap_or(Path::new("")), OFlags::PATH)?;
    statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// The names in one directory of one layer, sorted.
pub fn names(layer: &OwnedFd, path: &Path) -> Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(open(layer, path, OFlags::RDONLY)?)? {
        let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The mark of a deleted file, overlayfs.rst.
pub fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// The mark of a directory that shows nothing of those below it.
pub fn is_opaque(layer: &OwnedFd, path: &Path) -> Result<bool> {
    let directory = open(layer, path, OFlags::RDONLY)?;
    let marked = |attribute: &str| {
        let mut value = [0; 1];
        fgetxattr(&directory, attribute, &mut value[..]).is_ok() && value == *b"y"
    };
    Ok(marked("user.overlay.opaque") || marked("trusted.overlay.opaque"))
}

/// Directory by directory: the kernel takes no path of more than 4096 bytes at once, and the command
/// can make longer ones.
fn open(layer: &OwnedFd, path: &Path, access: OFlags) -> Result<OwnedFd> {
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let directory = |from: &OwnedFd, name: &Path, access| {
        let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(from.as_fd(), name, flags, Mode::empty(), within)
    };
    let mut reached = directory(layer, Path::new("."), OFlags::PATH)?;
    for name in path {
        reached = directory(&reached, Path::new(name), OFlags::PATH)?;
    }
    directory(&reached, Path::new("."), access)
}
