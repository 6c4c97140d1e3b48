//! A store of images for one check, and the program that keeps them there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::super::{Context, Run};
use crate::image::explained;
use crate::oci::{Layer, Layout, Tar};
use crate::run::{Outcome, run};

/// A directory with a store, a home, and whatever else a check puts there.
pub struct Own<'a> {
    context: Context<'a>,
    dir: TempDir,
}

impl<'a> Own<'a> {
    pub fn new(context: &Context<'a>) -> Result<Own<'a>> {
        Ok(Own { context: *context, dir: context.scene.directory()? })
    }

    /// A path in there, as text.
    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }

    /// A new directory in there.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn program(&self) -> PathBuf {
        self.context.scene.program(self.context.step)
    }

    /// `image ARGUMENT…`, to its end.
    pub fn image(&self, arguments: &[&str]) -> Result<Outcome> {
        let mut command = Command::new(self.program());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.dir.path()).env("IMAGE_STORE", self.store()).args(arguments);
        run(&mut command).with_context(|| format!("image {}", arguments[0]))
    }

    /// The same, which must succeed.
    pub fn ok(&self, arguments: &[&str]) -> Result<()> {
        let outcome = self.image(arguments)?;
        let said = || explained(&self.program(), &outcome.stderr);
        ensure!(outcome.code() == 0, "image {}: {}", arguments[0], said());
        Ok(())
    }

    /// The same, which must end with the code of a step that could not do it, and leave nothing.
    pub fn refuses(&self, arguments: &[&str]) -> Result<()> {
        let outcome = self.image(arguments)?;
        ensure!(outcome.code() == 125, "image {} is not refused: {outcome}", arguments[0]);
        self.is_empty()
    }

    /// Makes an image layout of that name, of one image.
    pub fn layout(&self, name: &str, layers: &[Layer], config: Value) -> Result<Layout> {
        let layout = Layout::new(&self.dir.path().join(name))?;
        let manifest = layout.manifest(layers, config, architecture())?;
        layout.write_index(&[manifest])?;
        Ok(layout)
    }

    /// Puts an image of that name into the store.
    pub fn import(&self, name: &str, layers: &[Layer], config: Value) -> Result<()> {
        let place = format!("layout-{name}");
        self.layout(&place, layers, config)?;
        self.ok(&["import", &self.path(&place), name])?;
        Ok(fs::remove_dir_all(self.path(&place))?)
    }

    /// A container of an image, with `act` from outside: no layer needs it.
    pub fn container(&self, name: &str) -> Run<'a> {
        let act = self.context.scene.root().join("bin/act");
        let run = self.context.container().root(name).env("HOME", &self.path(""));
        let run = run.env("IMAGE_STORE", &self.path("store"));
        run.option("-v", format!("{}:/bin/act:ro", act.display()))
    }

    /// The directory of the one layer that is unpacked.
    pub fn layer(&self) -> Result<PathBuf> {
        let layer = self.layers()?.pop();
        layer.context("nothing is unpacked in the store that IMAGE_STORE names")
    }

    /// The directories of unpacked layers.
    pub fn layers(&self) -> Result<Vec<PathBuf>> {
        entries(&self.store().join("layers"))
    }

    /// An error unless there is no image, and nothing of one.
    pub fn is_empty(&self) -> Result<()> {
        for name in ["layers", "blobs/sha256", "partial"] {
            let left = entries(&self.store().join(name))?;
            ensure!(left.is_empty(), "the store still has {left:?}");
        }
        let index = fs::read(self.store().join("index.json")).unwrap_or(b"{}".into());
        let index: Value = serde_json::from_slice(&index)?;
        match index["manifests"].as_array() {
            Some(images) if !images.is_empty() => bail!("the store still names {images:?}"),
            _ => Ok(()),
        }
    }

    /// How much of the disk is used by all that is in there.
    pub fn on_disk(&self) -> Result<u64> {
        let mut bytes = 0;
        walk(self.dir.path(), &mut |path| {
            bytes += path.symlink_metadata()?.blocks() * 512;
            Ok(true)
        })?;
        Ok(bytes)
    }

    /// A file of that name, in any place but an unpacked layer.
    pub fn stray(&self, name: &str) -> Result<Option<PathBuf>> {
        let (layers, mut found) = (self.store().join("layers"), None);
        walk(self.dir.path(), &mut |path| {
            let is_it = path.file_name().is_some_and(|it| it == name);
            found = found.take().or(is_it.then(|| path.to_path_buf()));
            Ok(path.parent() != Some(&layers))
        })?;
        Ok(found)
    }
}

/// A layer as it is, not compressed.
pub fn layer(tar: Tar) -> Layer {
    Layer::plain(&tar.end())
}

/// This machine's, as images call it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What a directory holds; a missing one holds nothing.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// Looks at a path, then at all that is in it if `look` says so.
fn walk(path: &Path, look: &mut impl FnMut(&Path) -> Result<bool>) -> Result<()> {
    if look(path)? && path.symlink_metadata()?.is_dir() {
        entries(path)?.iter().try_for_each(|path| walk(path, look))?;
    }
    Ok(())
}
