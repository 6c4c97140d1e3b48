//! What step 4 mounts, each on its own: nothing is attached outside of a mount namespace that ends
//! with the trial.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use mount::{Flags, Root, tree};
use nix::sched::CloneFlags;
use rustix::fs::{AtFlags, statat};
use std::os::fd::AsFd;

use super::namespaces::{self, enter};

/// An empty directory on a new tmpfs, which only this process sees.
pub fn scratch() -> Result<PathBuf> {
    namespaces::mount()?;
    let place = Some(env::temp_dir()).filter(|dir| dir.is_dir()).unwrap_or("/".into());
    mount::scratch(tree::open(&place)?.as_fd())?;
    Ok(place)
}

/// By step 1's own function.
pub fn chroot() -> Result<String> {
    let place = env::temp_dir();
    let inside = fs::metadata(&place).with_context(|| format!("no {}", place.display()))?;
    chroot::enter(&place)?;
    ensure!(fs::metadata("/")?.ino() == inside.ino(), "/ is still the old one");
    Ok(String::new())
}

pub fn tmpfs() -> Result<String> {
    let place = scratch()?;
    fs::write(place.join("file"), "").context("cannot write to it")?;
    Ok(String::new())
}

pub fn proc() -> Result<String> {
    namespaces::mount()?;
    enter(CloneFlags::CLONE_NEWPID, "PID")?;
    in_child(|| {
        let proc = filesystem("proc", &[])?;
        statat(&proc, "1/status", AtFlags::empty()).context("process 1 is not in it")?;
        Ok(())
    })
}

pub fn sysfs() -> Result<String> {
    namespaces::mount()?;
    enter(CloneFlags::CLONE_NEWNET, "network")?;
    filesystem("sysfs", &[])?;
    Ok(String::new())
}

pub fn devpts() -> Result<String> {
    namespaces::mount()?;
    filesystem("devpts", &[("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")])?;
    Ok(String::new())
}

/// By step 4's own functions.
pub fn pivot() -> Result<String> {
    let root = scratch()?;
    fs::write(root.join("here"), "")?;
    Root::bind(&root)?.pivot(false)?;
    ensure!(Path::new("/here").exists(), "/ is still the old one");
    Ok(String::new())
}

/// All of them in one process, as a container has them.
pub fn all() -> Result<String> {
    enter(CloneFlags::CLONE_NEWPID, "PID")?;
    enter(CloneFlags::CLONE_NEWNET, "network")?;
    in_child(|| {
        let root = scratch()?;
        filesystem("sysfs", &[])?;
        filesystem("devpts", &[("newinstance", "")])?;
        filesystem("proc", &[])?;
        Root::bind(&root)?.pivot(false)
    })
}

fn filesystem(fstype: &str, options: &[(&str, &str)]) -> Result<std::os::fd::OwnedFd> {
    let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
    tree::filesystem(fstype, &options.iter().map(owned).collect::<Vec<_>>(), Flags::empty())
}

/// The first process of a new PID namespace is the next child, unshare(2): the calls are its.
fn in_child(calls: impl FnOnce() -> Result<()>) -> Result<String> {
    use super::super::trial::{Outcome, throw_away};
    match throw_away(|| calls().map(|()| String::new())) {
        Outcome::Fails { reason, .. } => Err(anyhow::Error::msg(reason)),
        outcome => Ok(outcome.words().to_string()),
    }
}
