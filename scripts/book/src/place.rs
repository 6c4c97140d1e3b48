//! Where things are: the steps whose code is shown, the book, and its chapters.

use std::{
    fmt::Display,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Error, Result, anyhow};
use workshop::{checkout, steps::Step};

/// The steps and the book that is made of them.
#[derive(Clone, Debug)]
pub struct Place {
    /// The directory with `steps/` in it.
    pub checkout: PathBuf,
    /// The directory with `book.toml` in it.
    pub book: PathBuf,
}

impl Place {
    /// This checkout's.
    pub fn here() -> Result<Place> {
        let checkout = checkout::checkout()?;
        Ok(Place { book: checkout.join("book"), checkout })
    }

    /// The package of a step.
    pub fn package(&self, step: Step) -> PathBuf {
        self.checkout.join("steps").join(step.directory())
    }

    /// A path as a reader of the repository names it.
    pub fn named(&self, path: &Path) -> String {
        path.strip_prefix(&self.checkout).unwrap_or(path).display().to_string()
    }

    /// Where the chapters are.
    pub fn chapters(&self) -> PathBuf {
        self.book.join("src")
    }

    /// What the build writes.
    pub fn output(&self) -> PathBuf {
        self.book.join("book")
    }
}

/// Where cargo puts programs: beside this one, or above it if it is a test.
pub fn programs() -> Result<PathBuf> {
    let beside = checkout::programs()?;
    Ok(if beside.ends_with("deps") { beside.join("..").canonicalize()? } else { beside })
}

/// The text of a file.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file, and the directories that it is in.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let act = || format!("cannot write {}", path.display());
    fs::create_dir_all(path.parent().context("a file is in no directory")?).with_context(act)?;
    fs::write(path, text).with_context(act)
}

/// An error in a line of a chapter: `book/src/04-mount.md:12: …`
pub fn at(chapter: &Path, line: usize, error: impl Display) -> Error {
    anyhow!("book/src/{}:{line}: {error}", chapter.display())
}
