//! A blob on its way into the store. What has come of it stays when we are killed, and the next
//! pull goes on from there; it gets its name only when its size and digest are right.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::FlockOperation;

use super::{Store, lock};
use crate::digest::{Verifier, Wrong};
use crate::manifest::Descriptor;
use crate::source::Source;

impl Store {
    /// The blob that `descriptor` names, from the store or else from `source`. `progress` is told
    /// how many bytes have come.
    pub fn fetch(
        &self,
        descriptor: &Descriptor,
        source: &dyn Source,
        progress: &dyn Fn(u64) -> Result<()>,
    ) -> Result<File> {
        if let Some(blob) = self.blob(descriptor)? {
            return Ok(blob);
        }
        let path = self.path.join("partial").join(descriptor.digest.hex());
        let mut partial =
            claim(&path).with_context(|| format!("cannot write {}", path.display()))?;
        // Another pull of the same blob may have been faster.
        if let Some(blob) = self.blob(descriptor)? {
            let _ = fs::remove_file(&path);
            return Ok(blob);
        }
        let mut verifier = Verifier::new(descriptor.size);
        let come = receive(&mut partial, &mut verifier, descriptor, source, progress);
        let come = come.and_then(|()| verifier.finish(&descriptor.digest));
        come.inspect_err(|error| clean(&path, error))?;
        fs::rename(&path, self.blob_path(&descriptor.digest))
            .with_context(|| format!("cannot give {} its name", path.display()))?;
        self.blob(descriptor)?.context("it is gone again")
    }

    /// Forgets a blob that turned out to be of no use.
    pub fn forget(&self, descriptor: &Descriptor) {
        let _ = fs::remove_file(self.blob_path(&descriptor.digest));
    }
}

/// The file at `path`, for us alone.
fn claim(path: &Path) -> Result<File> {
    loop {
        let file = lock::open(path)?;
        lock::wait(&file, FlockOperation::LockExclusive)?;
        if lock::names(path, &file) {
            return Ok(file);
        }
    }
}

/// What has come stays for the next time; not if it is nothing, or wrong.
fn clean(path: &Path, error: &anyhow::Error) {
    let is_empty = || fs::metadata(path).is_ok_and(|it| it.len() == 0);
    if error.is::<Wrong>() || is_empty() {
        let _ = fs::remove_file(path);
    }
}

/// What has come of it already, and then all that is missing.
fn receive(
    partial: &mut File,
    verifier: &mut Verifier,
    descriptor: &Descriptor,
    source: &dyn Source,
    progress: &dyn Fn(u64) -> Result<()>,
) -> Result<()> {
    verifier.pass(partial, |piece| progress(piece.len() as u64))?;
    if verifier.seen() == descriptor.size && descriptor.size > 0 {
        return Ok(());
    }
    let mut rest = source.blob(descriptor, verifier.seen())?;
    verifier.pass(&mut rest, |piece| {
        partial.write_all(piece).context("cannot write it")?;
        progress(piece.len() as u64)
    })
}
