//! A blob on its way into the store. What has come of it stays when we are killed, and the next
//! pull goes on from there; it gets its name only when its size and digest are right.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::FlockOperation;

use super::{Store, lock};
use crate::digest::Verifier;
use crate::manifest::Descriptor;
use crate::source::Source;

const BUFFER: usize = 128 << 10;

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
        let come = come.inspect_err(|_| remove_if_empty(&path))?;
        if let Err(error) = come.and_then(|()| verifier.finish(&descriptor.digest)) {
            // What is wrong will not become right.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
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

fn remove_if_empty(path: &Path) {
    if fs::metadata(path).is_ok_and(|it| it.len() == 0) {
        let _ = fs::remove_file(path);
    }
}

/// All that is missing. The outer error is one after which the rest may still come; the inner one
/// says that the content is wrong.
fn receive(
    partial: &mut File,
    verifier: &mut Verifier,
    descriptor: &Descriptor,
    source: &dyn Source,
    progress: &dyn Fn(u64) -> Result<()>,
) -> Result<Result<()>> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match partial.read(&mut buffer).context("cannot read what has come of it")? {
            0 => break,
            length if verifier.update(&buffer[..length]).is_err() => {
                return Ok(Err(anyhow::anyhow!("more than there is of it had come ({length})")));
            }
            length => progress(length as u64)?,
        }
    }
    if verifier.seen() == descriptor.size && descriptor.size > 0 {
        return Ok(Ok(()));
    }
    let mut input = source.blob(descriptor, verifier.seen())?;
    loop {
        let length = input.read(&mut buffer).context("cannot receive it")?;
        if length == 0 {
            return Ok(Ok(()));
        }
        if let Err(error) = verifier.update(&buffer[..length]) {
            return Ok(Err(error));
        }
        partial.write_all(&buffer[..length]).context("cannot write it")?;
        progress(length as u64)?;
    }
}
