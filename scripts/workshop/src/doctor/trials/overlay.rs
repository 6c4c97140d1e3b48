//! Overlay filesystems as step 8 mounts them: on a tmpfs of the trial's own.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use mount::{Flags, tree};
use std::os::fd::AsFd;

use super::mounts::scratch;

/// Lower layers with a directory in the lowest, an upper and a work directory; on them an overlay,
/// mounted at the path that is returned.
fn mounted(layers: usize, options: &[(&str, &str)]) -> Result<PathBuf> {
    let place = scratch()?;
    let lower: Vec<PathBuf> = (0..layers).map(|n| place.join(format!("lower{n}"))).collect();
    let (upper, work, merged) = (place.join("upper"), place.join("work"), place.join("merged"));
    for directory in lower.iter().chain([&upper, &work, &merged, &lower[layers - 1].join("old")]) {
        fs::create_dir(directory).context("cannot make a directory for it")?;
    }
    fs::write(lower[layers - 1].join("old/file"), "")?;
    let tree = overlay(&lower, &upper, &work, options)?;
    tree::attach(tree.as_fd(), tree::open(&merged)?.as_fd())?;
    Ok(merged)
}

/// One option a layer where there are many, else the old way, which every kernel knows.
fn overlay(lower: &[PathBuf], upper: &Path, work: &Path, more: &[(&str, &str)]) -> Result<OwnedFd> {
    let text = |path: &Path| path.display().to_string();
    let key = if lower.len() > 1 { "lowerdir+" } else { "lowerdir" };
    let mut options: Vec<_> = lower.iter().map(|dir| (key.to_string(), text(dir))).collect();
    options.push(("upperdir".into(), text(upper)));
    options.push(("workdir".into(), text(work)));
    options.extend(more.iter().map(|(key, value)| (key.to_string(), value.to_string())));
    tree::filesystem("overlay", &options, Flags::empty())
}

/// A change must land in the upper layer.
fn writable(merged: &Path) -> Result<String> {
    fs::write(merged.join("new"), "").context("cannot write to it")?;
    let upper = merged.with_file_name("upper/new");
    ensure!(upper.exists(), "what is written does not go to the upper layer");
    Ok(String::new())
}

pub fn owned() -> Result<String> {
    writable(&mounted(1, &[("userxattr", "")])?)
}

pub fn as_root() -> Result<String> {
    writable(&mounted(1, &[])?)
}

pub fn many_layers() -> Result<String> {
    writable(&mounted(100, &[("userxattr", "")])?)
}

/// The directory's place is taken by a whiteout; its new namesake must not show the old content.
pub fn whiteout() -> Result<String> {
    let merged = mounted(1, &[("userxattr", "")])?;
    fs::remove_dir_all(merged.join("old")).context("cannot remove a directory")?;
    fs::create_dir(merged.join("old")).context("cannot make it anew")?;
    ensure!(!merged.join("old/file").exists(), "the old content shows through");
    Ok(String::new())
}
