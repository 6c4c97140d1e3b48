//! A root directory as an image, for step 14: an OCI image layout of one layer. What is ours in it becomes
//! root's, as in most images, and its config says nothing that the command line could not.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;
use serde_json::json;
use tar::{Builder, Header};

use crate::oci::{Layer, Layout};
use crate::run::{run, run_within};

/// A root directory may be large, and the machine be in use.
const PATIENCE: Duration = Duration::from_secs(120);

/// Writes the image of `root` into the directory `to`, which is made.
pub fn save(root: &Path, to: &Path) -> Result<()> {
    let layer = layer(root).with_context(|| format!("cannot pack {}", root.display()))?;
    let written = Layout::new(to).and_then(|layout| {
        let image = layout.manifest(&[Layer::plain(&layer)], json!({}), architecture())?;
        layout.write_index(&[image])
    });
    written.with_context(|| format!("cannot write {}", to.display()))
}

/// Has step 14's program import what [`save`] has written, under a name.
pub fn import(mut program: Command, layout: &Path, store: &Path, name: &str) -> Result<()> {
    program.arg("--store").arg(store).arg("import").arg(layout).arg(name);
    let outcome = run_within(&mut program, PATIENCE)?;
    let said = || explained(program.get_program().as_ref(), &outcome.stderr);
    ensure!(outcome.code() == 0, "{}", said());
    Ok(())
}

/// The line of error in what step 14's program said when it failed. One that still has the main.rs of
/// the step before takes every subcommand for a root directory, and says what leads nowhere.
pub fn explained(program: &Path, said: &str) -> String {
    if !knows_subcommands(program) {
        return "error: step 14 is not wired in main.rs yet: it has no subcommands".into();
    }
    let error = said.lines().find(|line| line.starts_with("error: "));
    error.unwrap_or(said.trim()).to_string()
}

/// Whether it can list what a new store holds: that needs none of the exercises. One that panics has a
/// main.rs of its own, and a mistake in it.
fn knows_subcommands(program: &Path) -> bool {
    let Ok(dir) = tempfile::tempdir() else { return false };
    let mut list = Command::new(program);
    let listed = run(list.arg("list").env("IMAGE_STORE", dir.path().join("store")));
    listed.is_ok_and(|it| it.code() == 0 || it.stderr.contains("panicked at"))
}

/// As Go and the OCI specifications call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A tar of all that is in `root`.
fn layer(root: &Path) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    add(&mut tar, root, Path::new(""))?;
    tar.into_inner().context("cannot end the archive")
}

/// What is in one directory, and below it.
fn add(tar: &mut Builder<Vec<u8>>, root: &Path, below: &Path) -> Result<()> {
    let directory = root.join(below);
    let act = || format!("cannot read {}", directory.display());
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&directory).with_context(act)? {
        names.push(below.join(entry.with_context(act)?.file_name()));
    }
    // The same directory is the same layer.
    names.sort();
    names.iter().try_for_each(|name| add_one(tar, root, name))
}

fn add_one(tar: &mut Builder<Vec<u8>>, root: &Path, name: &Path) -> Result<()> {
    let path = root.join(name);
    let act = || format!("cannot pack {}", path.display());
    let status = path.symlink_metadata().with_context(act)?;
    let kind = status.file_type();
    if kind.is_socket() {
        return Ok(());
    }
    let mut header = Header::new_gnu();
    header.set_metadata(&status);
    if status.uid() == geteuid().as_raw() {
        header.set_uid(0);
        header.set_gid(0);
    }
    if kind.is_symlink() {
        let target = fs::read_link(&path).with_context(act)?;
        header.set_size(0);
        return tar.append_link(&mut header, name, target).with_context(act);
    }
    if kind.is_file() {
        let content = File::open(&path).with_context(act)?;
        return tar.append_data(&mut header, name, content).with_context(act);
    }
    header.set_size(0);
    tar.append_data(&mut header, name, io::empty()).with_context(act)?;
    match kind.is_dir() {
        true => add(tar, root, name),
        false => Ok(()),
    }
}
