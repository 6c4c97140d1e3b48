//! What no image needs any more is removed: mark what can be reached from index.json, sweep the
//! rest. A layer that a container stands on stays.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result};
use chroot::Hint;

use super::{OURS, Store, lock};
use crate::unpack::remove;

/// How much went.
#[derive(Default)]
pub struct Pruned {
    pub images: usize,
    pub layers: usize,
    /// Layers that running containers use.
    pub kept: usize,
    pub bytes: u64,
}

impl Store {
    /// Removes images without a name, or all of them, then whatever no image needs.
    pub fn prune(&self, all: bool) -> Result<Pruned> {
        // With all of them gone it does not matter if the list of them is damaged.
        let images = if all { self.images().unwrap_or_default() } else { self.images()? };
        match all {
            true => self.forget_images()?,
            false => self.change(|images| images.retain(|it| it.name.is_some()))?,
        }
        let mut pruned = self.sweep()?;
        pruned.images = images.len() - self.images()?.len();
        Ok(pruned)
    }

    /// Removes whatever no image needs. Waits until nobody adds anything.
    pub fn sweep(&self) -> Result<Pruned> {
        let _lock = self.lock_exclusive()?;
        let needed = self.needed()?;
        let mut pruned = Pruned::default();
        self.each("blobs/sha256", |path, name| match needed.contains(name) {
            true => Ok(()),
            false => remove_counted(path, &mut pruned.bytes),
        })?;
        self.each("layers", |path, name| match needed.contains(name) {
            true => Ok(()),
            false => self.remove_layer(path, name, &mut pruned),
        })?;
        self.each("partial", |_, name| self.remove_tree("partial", name))?;
        // Nobody adds anything, so nobody holds one of these but the one for the store.
        self.each("locks", |_, name| match ["store", "index"].contains(&name) {
            true => Ok(()),
            false => self.remove_tree("locks", name),
        })?;
        Ok(pruned)
    }

    /// Removes the store itself, which holds nothing any more, and the directory that was made for
    /// it.
    pub fn remove(self) -> Result<()> {
        let act = || format!("cannot remove {}", self.path.display());
        fs::remove_dir_all(&self.path).with_context(act)?;
        let parent = self.path.parent().filter(|it| it.ends_with(OURS));
        // Somebody may keep another store there.
        let _ = parent.map(fs::remove_dir);
        Ok(())
    }

    /// The names of all blobs and unpacked layers of all images.
    fn needed(&self) -> Result<HashSet<String>> {
        let mut needed = HashSet::new();
        for named in self.images()? {
            needed.insert(named.descriptor.digest.hex().to_string());
            // What cannot be read is no reason to remove what may belong to it.
            let title = named.title();
            let image = self.load(named).map_err(|error| {
                error.context(Hint(format!("pull it again, or remove it: rm {title}")))
            })?;
            let parts = image.manifest.layers.iter().chain([&image.manifest.config]);
            let digests = parts.map(|it| &it.digest).chain(&image.chain);
            needed.extend(digests.map(|it| it.hex().to_string()));
        }
        Ok(needed)
    }

    fn remove_layer(&self, path: &Path, name: &str, pruned: &mut Pruned) -> Result<()> {
        // Held until it is gone: whoever wants to use it meanwhile finds that it is.
        let Some(_unused) = lock::claim_unused(path) else {
            pruned.kept += 1;
            return Ok(());
        };
        pruned.layers += 1;
        self.remove_tree("layers", name)
    }

    fn each(&self, directory: &str, mut act: impl FnMut(&Path, &str) -> Result<()>) -> Result<()> {
        let path = self.path.join(directory);
        let entries =
            fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", path.display()))?;
            act(&entry.path(), &entry.file_name().to_string_lossy())?;
        }
        Ok(())
    }

    /// Removes a file or a tree of the store.
    pub fn remove_tree(&self, directory: &str, name: &str) -> Result<()> {
        let act = || format!("cannot remove {directory}/{name} from the store");
        let parent = File::open(self.path.join(directory)).with_context(act)?;
        remove::tree(parent.as_fd(), OsStr::new(name)).with_context(act)
    }
}

fn remove_counted(path: &Path, bytes: &mut u64) -> Result<()> {
    *bytes += fs::symlink_metadata(path).map_or(0, |it| it.len());
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
}
