//! `workshop clean`: everything that the workshop left on this host, gone. Each thing is named as it
//! goes; what cannot be removed is named too, with the reason. `my/` and target/ stay.

mod cgroups;
mod images;
mod links;
mod processes;

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, Result};
use evidence::mountinfo;
use nix::{
    mount::{MntFlags, umount2},
    unistd::geteuid,
};

use crate::{checkout, image, lab};

/// What was done, and what could not be.
#[derive(Default)]
pub struct Report {
    removed: usize,
    failed: usize,
}

impl Report {
    /// Notes one thing: `what` was removed, or was not.
    pub fn note(&mut self, what: &str, result: Result<()>) {
        match result {
            Ok(()) => {
                self.removed += 1;
                println!("  removed  {what}");
            }
            Err(error) => {
                self.failed += 1;
                println!("  left     {what}: {}", crate::describe(&error));
            }
        }
    }
}

pub fn clean() -> Result<i32> {
    let work = checkout::work()?;
    let mut report = Report::default();
    match lab::kept::end() {
        Ok(false) => {}
        ended => report.note("the lab that was kept for checks", ended.map(drop)),
    }
    // In this order: a process holds its cgroup, its link and its mounts.
    processes::clean(&mut report)?;
    cgroups::clean(&mut report)?;
    links::clean(&mut report)?;
    mounts(&work, &mut report)?;
    images::clean(&mut report)?;
    temporary(&std::env::temp_dir(), &mut report);
    image::clean();
    if work.exists() {
        report.note(&work.display().to_string(), remove(&work));
    }
    match report {
        Report { removed: 0, failed: 0 } => println!("  Nothing of the workshop is left here."),
        Report { failed: 0, .. } => println!("  That was all. my/ and target/ stay."),
        Report { failed, .. } => println!("  {failed} left: try `sudo cargo workshop clean`."),
    }
    Ok(i32::from(report.failed > 0))
}

/// This user's directories of attacks and labs that were killed, known by a file that each has.
fn temporary(parent: &Path, report: &mut Report) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let attack = name.starts_with("attack-") && path.join("root/attack").exists();
        let lab = name.starts_with("lab-") && path.join("workshop").exists() && !boots_from(&path);
        let compare = name.starts_with("compare-") && path.join("root/probe").exists();
        let images = name.starts_with(image::TEMPORARY) && path.join("oci-layout").exists();
        let own = entry.metadata().is_ok_and(|status| status.uid() == geteuid().as_raw());
        if own && (attack || lab || compare || images) {
            report.note(&path.display().to_string(), remove(&path));
        }
    }
}

/// Whether a lab runs in this directory, perhaps of another checkout: the kernel's command line names it.
fn boots_from(directory: &Path) -> bool {
    let guest = format!("GUEST={}", directory.display()).into_bytes();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| line.split(|byte| *byte == 0).any(|word| word == guest))
}

/// Removes a directory, also one with overlayfs's `work/work` in it, which nobody may enter.
fn remove(path: &Path) -> Result<()> {
    fs::remove_dir_all(path)
        .or_else(|_| {
            open_up(path);
            fs::remove_dir_all(path)
        })
        .context("cannot remove it all")
}

/// Gives us every right on all directories from `path` down, as far as they are ours.
fn open_up(path: &Path) {
    let _ = fs::set_permissions(path, Permissions::from_mode(0o700));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Mounts below our directory, the innermost first: removing must not reach through them.
fn mounts(work: &Path, report: &mut Report) -> Result<()> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
    for mount in mountinfo::parse(&text).iter().rev() {
        if Path::new(&mount.point).starts_with(work) {
            let result = umount2(mount.point.as_str(), MntFlags::MNT_DETACH);
            report.note(&format!("mount on {}", mount.point), result.context("cannot unmount"));
        }
    }
    Ok(())
}
