//! Where things are: the checkout, its work directory `.workshop/`, the programs that cargo built.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// The checkout that this program is in, below `target/`; else, as in the lab, the one that it was built
/// in: two directories above its manifest.
pub fn checkout() -> Result<PathBuf> {
    let us = this_program()?;
    let is_checkout = |dir: &&Path| dir.join("scripts/workshop/Cargo.toml").is_file();
    if let Some(checkout) = us.ancestors().find(is_checkout) {
        return Ok(checkout.to_owned());
    }
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    ours.canonicalize().context("the checkout is not where the workshop was built")
}

/// Everything that is made at run time is in here.
pub fn work() -> Result<PathBuf> {
    Ok(checkout()?.join(".workshop"))
}

/// The file that this process was started from.
pub fn this_program() -> Result<PathBuf> {
    env::current_exe().context("cannot find this program")
}

/// Where cargo puts programs: beside this one.
pub fn programs() -> Result<PathBuf> {
    let us = this_program()?;
    let directory = us.parent().context("this program is in no directory")?;
    Ok(directory.to_owned())
}

/// The default root directory.
pub fn rootfs() -> Result<PathBuf> {
    Ok(work()?.join("rootfs"))
}

/// Makes the default root directory, if there is none yet.
pub fn make_rootfs() -> Result<PathBuf> {
    let rootfs = rootfs()?;
    if rootfs.join("bin/sh").symlink_metadata().is_ok() {
        return Ok(rootfs);
    }
    let script = checkout()?.join("scripts/rootfs");
    let output = Command::new(&script).arg(&rootfs).output();
    let output = output.with_context(|| format!("cannot run {}", script.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("cannot make a root directory: {}", said.trim().trim_start_matches("error: "));
    }
    Ok(rootfs)
}
