//! A copy of the steps and the book in which something is changed.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use book::place::{Place, read, write};
use tempfile::TempDir;

pub struct Copy {
    pub place: Place,
    _directory: TempDir,
}

impl Copy {
    pub fn new() -> Result<Copy> {
        let directory = TempDir::with_prefix("book-copy-")?;
        let here = Place::here()?;
        let checkout = directory.path().to_owned();
        fs::create_dir(checkout.join("book"))?;
        let parts = [
            "steps",
            "book/src",
            "book/theme",
            "book/book.toml",
            "book/man-pages.txt",
            "book/other-flags.txt",
        ];
        for part in parts {
            let done = Command::new("cp")
                .arg("-r")
                .arg(here.checkout.join(part))
                .arg(checkout.join(part))
                .status();
            ensure!(done.context("cannot run cp")?.success(), "cannot copy {part}");
        }
        Ok(Copy { place: Place { book: checkout.join("book"), checkout }, _directory: directory })
    }

    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        write(&self.place.checkout.join(file), text)
    }

    /// Puts one text in the place of another, which must be there.
    pub fn replace(&self, file: &str, old: &str, new: &str) -> Result<()> {
        let text = read(&self.place.checkout.join(file))?;
        ensure!(text.contains(old), "{file} has no {old:?}");
        self.write(file, &text.replace(old, new))
    }

    pub fn append(&self, file: &str, more: &str) -> Result<()> {
        let text = read(&self.place.checkout.join(file))?;
        self.write(file, &(text + more))
    }
}
