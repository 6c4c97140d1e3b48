//! Locks between processes, flock(2): two pulls of one image do the work once, and nothing is
//! removed under somebody's feet. The kernel takes a lock away with its last descriptor, however we
//! end.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use chroot::HintExt;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Store;
use crate::digest::Digest;

/// Held until it is dropped.
pub struct Lock {
    _file: File,
}

impl Store {
    /// For whoever adds to the store: many may at once, but none while something is removed.
    pub fn lock_shared(&self) -> Result<Lock> {
        self.lock("store", FlockOperation::LockShared)
    }

    /// For whoever removes.
    pub fn lock_exclusive(&self) -> Result<Lock> {
        self.lock("store", FlockOperation::LockExclusive)
    }

    /// For whoever unpacks this layer.
    pub fn lock_layer(&self, chain: &Digest) -> Result<Lock> {
        self.lock(chain.hex(), FlockOperation::LockExclusive)
    }

    /// For whoever changes index.json.
    pub(super) fn lock_index(&self) -> Result<Lock> {
        self.lock("index", FlockOperation::LockExclusive)
    }

    fn lock(&self, name: &str, operation: FlockOperation) -> Result<Lock> {
        let path = self.path.join("locks").join(name);
        let act = || format!("cannot lock {}", path.display());
        let file = open(&path).with_context(act)?;
        if operation == FlockOperation::LockExclusive && name == "store" && !is_free(&file) {
            chroot::tell("note: waiting until nobody pulls");
        }
        wait(&file, operation).with_context(act)?;
        Ok(Lock { _file: file })
    }
}

/// A file to lock, made if it is missing.
pub fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn is_free(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Waits for a lock on `file`.
pub fn wait(file: &File, operation: FlockOperation) -> rustix::io::Result<()> {
    loop {
        match flock(file, operation) {
            Err(Errno::INTR) => {}
            locked => return locked,
        }
    }
}

/// Whether `path` still names `file`: whoever had the lock before us may have renamed it.
pub fn names(path: &Path, file: &File) -> bool {
    let inode = |it: std::io::Result<std::fs::Metadata>| it.map(|it| (it.dev(), it.ino())).ok();
    inode(std::fs::metadata(path)) == inode(file.metadata())
}

/// A lock on a directory that is in use, until the descriptor is closed.
pub fn use_directory(path: &Path) -> Result<File> {
    let act = || format!("cannot use the layer {}", path.display());
    let directory = File::open(path);
    let directory =
        directory.with_context(act).hint(nix::errno::Errno::ENOENT, "pull the image again")?;
    wait(&directory, FlockOperation::LockShared).with_context(act)?;
    ensure!(names(path, &directory), "{}: it was just removed", act());
    Ok(directory)
}

/// A lock on a directory that nobody uses.
pub fn claim_unused(path: &Path) -> Option<File> {
    let directory = File::open(path).ok()?;
    flock(&directory, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(directory)
}
