//! What the command did to the file tree, read from the upper directory: `docker diff`'s letters.
//! Only what was touched is in there, so the cost is that of the changes, not of the image.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::FileType;

use crate::lower::{self, Lower};

/// One changed path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub path: PathBuf,
    pub kind: Kind,
}

/// What happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Added,
    Changed,
    Deleted,
}

impl fmt::Display for Change {
    /// `C /etc`; a name cannot forge a line: what is not to be seen is escaped.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let letter = match self.kind {
            Kind::Added => 'A',
            Kind::Changed => 'C',
            Kind::Deleted => 'D',
        };
        write!(f, "{letter} /")?;
        for character in self.path.to_string_lossy().chars() {
            match character {
                '"' | '\'' => write!(f, "{character}")?,
                _ => write!(f, "{}", character.escape_debug())?,
            }
        }
        Ok(())
    }
}

/// The changes in `upper` against the lower layers (from the top down), sorted by path.
pub fn changes(upper: OwnedFd, lower: Vec<OwnedFd>) -> Result<Vec<Change>> {
    let mut walk = Walk { upper, lower: Lower(lower), changes: Vec::new() };
    walk.directory(Path::new(""))?;
    walk.changes.sort();
    Ok(walk.changes)
}

struct Walk {
    upper: OwnedFd,
    lower: Lower,
    changes: Vec<Change>,
}

impl Walk {
    fn directory(&mut self, path: &Path) -> Result<()> {
        for name in lower::names(&self.upper, path)? {
            self.entry(&path.join(name))?;
        }
        Ok(())
    }

    /// Adds what became of one entry of the upper directory, and of all below it.
    ///
    /// A whiteout has deleted `path`; else it was changed if the lower layers have it, and added if
    /// not. A directory is gone through too. One that is opaque, overlayfs.rst, where the lower
    /// layers have a directory, has `hidden` what they hold.
    ///
    /// Exercise 8.3
    fn entry(&mut self, path: &Path) -> Result<()> {
        let stat = lower::stat(&self.upper, path)?;
        let before = self.lower.file_type(path)?;
        let kind = match before {
            _ if lower::is_whiteout(&stat) => Kind::Deleted,
            Some(_) => Kind::Changed,
            None => Kind::Added,
        };
        self.changes.push(Change { path: path.into(), kind });
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Ok(());
        }
        if before == Some(FileType::Directory) && lower::is_opaque(&self.upper, path)? {
            self.hidden(path)?;
        }
        self.directory(path)
    }

    /// Adds what an opaque directory has deleted: every name that the lower layers show in `path`
    /// and that the upper directory does not hold there itself, overlayfs.rst.
    ///
    /// Exercise 8.4
    fn hidden(&mut self, path: &Path) -> Result<()> {
        let kept = lower::names(&self.upper, path)?;
        for name in self.lower.names(path)? {
            if !kept.contains(&name) {
                self.changes.push(Change { path: path.join(name), kind: Kind::Deleted });
            }
        }
        Ok(())
    }
}
