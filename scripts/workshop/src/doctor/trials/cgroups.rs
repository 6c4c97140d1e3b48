//! The limits of step 7, one at a time, by its own functions: they find our place in whatever
//! hierarchies there are, v1, v2 or both, and remove what they make.

use anyhow::{Context, Result, ensure};
use cgroups::{Base, Cgroup, Io, Limits, Max, Quota};
use evidence::checks::disk;
use nix::sys::signal::Signal;

use super::super::trial::untried;

/// Makes a cgroup with one limit, and removes it.
fn with(limits: Limits) -> Result<String> {
    Cgroup::create(&name(), &limits)?.remove()?;
    layout()
}

/// No other process of this host has this name.
fn name() -> String {
    format!("doctor-{}", std::process::id())
}

/// Which hierarchies there are.
fn layout() -> Result<String> {
    let base = Base::find()?;
    Ok(match (&base.v2, base.v1.is_empty()) {
        (Some(_), true) => "cgroup v2",
        (Some(_), false) => "cgroup v1 and v2",
        (None, _) => "cgroup v1",
    }
    .into())
}

pub fn pids() -> Result<String> {
    with(Limits { pids: Some(Max::At(64)), ..Limits::default() })
}

pub fn memory() -> Result<String> {
    with(Limits { memory: Some(64 << 20), ..Limits::default() })
}

pub fn cpu() -> Result<String> {
    let half = Quota { time: 50_000, period: 100_000 };
    with(Limits { cpu_quota: Some(half), ..Limits::default() })
}

pub fn cpuset() -> Result<String> {
    // The first processor that we may run on: 0 need not be one.
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let first: String =
        line.unwrap_or("0").trim().chars().take_while(char::is_ascii_digit).collect();
    with(Limits { cpuset_cpus: Some(first), ..Limits::default() })
}

pub fn io() -> Result<String> {
    let Some((_, device)) = disk() else { return untried("there is no disk to limit") };
    let most = vec![("rbps".to_string(), Max::At(1 << 30))];
    with(Limits { io: vec![Io { device, most }], ..Limits::default() })
}

/// A process that waits in a cgroup of its own: stopped, and killed with it.
pub fn freeze_and_kill() -> Result<String> {
    let group = Cgroup::create(&name(), &Limits::default())?;
    let mut clone = pid::Clone3::default();
    clone.into_cgroup(group.descriptor());
    let mut child = clone.spawn(|gate| gate.wait().map(|()| 0))?;
    // The child still waits: without a v2 cgroup it has not joined, and stays out of this.
    group.freeze()?;
    group.thaw()?;
    group.kill()?;
    if group.descriptor().is_some() {
        let code = child.wait()?;
        ensure!(code == 128 + Signal::SIGKILL as u8, "the process in it lives on");
    }
    drop(child);
    group.remove()?;
    layout()
}
