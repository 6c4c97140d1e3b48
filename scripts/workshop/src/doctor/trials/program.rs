//! The steps themselves: the proof of the table. Those that are built run `true` in a container.

use anyhow::{Result, bail};
use nix::{
    sched::{CloneFlags, unshare},
    unistd::{AccessFlags, access, geteuid},
};

use super::super::trial::untried;
use crate::{checkout, image, place::Place, steps::Step};

/// Runs `true` in a container of this step, with a limit if that is what the step is about.
pub fn runs(number: u32) -> Result<String> {
    let Some(step) = Step::all().find(|step| step.number() == number) else {
        return untried("there is no such step");
    };
    let (program, rootfs) = (checkout::programs()?.join(step.name()), checkout::rootfs()?);
    if !program.exists() || !rootfs.join("bin/sh").exists() {
        return untried(&format!("not built yet: `cargo workshop run {number}` does"));
    }
    let reachable = |path| access(path, AccessFlags::X_OK | AccessFlags::R_OK).is_ok();
    if !reachable(&program) || !reachable(&rootfs) {
        return untried("this user cannot reach the program");
    }
    if geteuid().is_root() {
        // The host's links stay as they are: the step's host is this namespace.
        unshare(CloneFlags::CLONE_NEWNET)?;
    }
    let tried = Place::Here.trial(step, step.name() == "cgroups");
    if !step.takes_root() {
        image::forget_temporary();
    }
    match tried? {
        None => Ok(String::new()),
        Some(reason) => bail!(reason),
    }
}
