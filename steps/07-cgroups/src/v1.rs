//! cgroup v1, on hosts that still have it: a hierarchy for every controller, so a container has
//! a directory in each that it is limited by. The kernel offers no safe delegation: root only.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{self, AccessFlags, Pid};

use crate::files::{put, text};

/// Whether we could make a directory in `dir`.
pub fn may_create(dir: &Path) -> bool {
    unistd::eaccess(dir, AccessFlags::W_OK).is_ok()
}

/// A new v1 cpuset has no processors and no memory nodes, and nobody can join it: it gets its
/// parent's, cpuset(7).
pub fn fill_cpuset(dir: &Path) -> Result<()> {
    let parent = dir.parent().context("a cgroup has no parent")?;
    ["cpuset.cpus", "cpuset.mems"]
        .iter()
        .try_for_each(|file| put(&dir.join(file), text(&parent.join(file))?.trim()))
}

/// Stops (or lets go on) all processes of a cgroup of the freezer hierarchy. It may take a moment,
/// and FREEZING needs writing again: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst
pub fn freeze(dir: &Path, frozen: bool) -> Result<()> {
    let state = dir.join("freezer.state");
    let wanted = if frozen { "FROZEN" } else { "THAWED" };
    let start = Instant::now();
    put(&state, wanted)?;
    while text(&state)?.trim() != wanted {
        ensure!(start.elapsed() < Duration::from_secs(5), "not {wanted} after 5 s");
        std::thread::sleep(Duration::from_millis(1));
        put(&state, wanted)?;
    }
    Ok(())
}

/// SIGKILL to every process of the cgroup; one that forks meanwhile is caught when this is
/// repeated. A process that the v1 freezer holds does not die before it is thawed.
pub fn signal_all(dir: &Path) {
    let pids = text(&dir.join("cgroup.procs")).unwrap_or_default();
    // 0 stands for a process outside of our pid namespace, and for kill(2) it is our own group.
    for pid in pids.lines().filter_map(|line| line.parse().ok()).filter(|&pid| pid > 0) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = put(&dir.join("freezer.state"), "THAWED");
}
