//! Programs for a lab that runs already. Its kernel remembers files by their paths, so a program that was
//! built again is handed over under a path that it has never seen; gone when this is dropped.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::checkout;

pub struct HandOver(TempDir);

impl HandOver {
    /// A new directory with these programs.
    pub fn new(programs: &[&Path]) -> Result<HandOver> {
        let parent = checkout::work()?.join("handed-over");
        let make = || fs::create_dir_all(&parent).and_then(|()| TempDir::new_in(&parent));
        let directory =
            make().with_context(|| format!("cannot make a directory in {}", parent.display()))?;
        let hand_over = HandOver(directory);
        for program in programs {
            let name = program.file_name().context("a program without a name")?;
            link(program, &hand_over.0.path().join(name))
                .with_context(|| format!("cannot hand {} over", program.display()))?;
        }
        Ok(hand_over)
    }

    pub fn directory(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A second name, or a copy where that is on another file system or somebody else's.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
}
