//! What a container could leave behind on the host: mounts, links, addresses, routes, cgroups,
//! processes, temporary files, names. A snapshot before and one after must be equal, however the
//! container ended. As root the tests stand on a stage of their own, see `stage`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, process};

use anyhow::{Context, Result, bail};
use nix::ifaddrs::getifaddrs;
use nix::sys::utsname::uname;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, geteuid};

use crate::mountinfo;

/// How long the kernel may take for what it does behind our backs: it takes a network namespace
/// apart some time after its last process has ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the host looks like: one line a thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    things: BTreeSet<String>,
    watched: Vec<PathBuf>,
}

impl Snapshot {
    /// Looks at the host now. `watched` are the directories for temporary files.
    pub fn take(watched: &[PathBuf]) -> Result<Snapshot> {
        let mut things = BTreeSet::new();
        things.extend(mounts()?);
        things.extend(network()?);
        things.extend(cgroups()?);
        things.extend(descendants()?.into_iter().map(|process| process.to_string()));
        things.extend(watched.iter().flat_map(|dir| files(dir)));
        things.insert(names()?);
        Ok(Snapshot { things, watched: watched.to_vec() })
    }

    /// The host must be now as it was then.
    pub fn check(&self) -> Result<()> {
        let differences = self.differences(&Snapshot::take(&self.watched)?);
        match differences.is_empty() {
            true => Ok(()),
            false => bail!("the host is not as it was:\n  {}", differences.join("\n  ")),
        }
    }

    /// The host must be as it was then within some seconds.
    pub fn settle(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            reap_orphans()?;
            match self.check() {
                Err(_) if start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                outcome => return outcome,
            }
        }
    }

    /// What `after` has more or less.
    pub fn differences(&self, after: &Snapshot) -> Vec<String> {
        let left = after.things.difference(&self.things).map(|thing| format!("left: {thing}"));
        let gone = self.things.difference(&after.things).map(|thing| format!("gone: {thing}"));
        left.chain(gone).collect()
    }
}

/// Without their ids: a mount that was made anew in the same place is the same to everyone.
fn mounts() -> Result<Vec<String>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("cannot read mountinfo")?;
    let lines = mountinfo::parse(&text).into_iter().map(|mount| {
        format!(
            "mount: {} on {} {:?} {:?}",
            mount.fstype, mount.point, mount.options, mount.propagation
        )
    });
    Ok(lines.collect())
}

/// Interfaces, their addresses, and the routes; an ordinary user cannot change any of them, but
/// others may be at it.
fn network() -> Result<Vec<String>> {
    let mut lines = Vec::new();
    if !geteuid().is_root() {
        return Ok(lines);
    }
    for interface in getifaddrs().context("cannot list the network interfaces")? {
        let mut line = format!("link: {}", interface.interface_name);
        if let Some(address) = interface.address.filter(|it| it.as_link_addr().is_none()) {
            write!(line, " has {address}")?;
        }
        lines.push(line);
    }
    let routes = fs::read_to_string("/proc/self/net/route").unwrap_or_default();
    for route in routes.lines().skip(1) {
        let fields: Vec<&str> = route.split_whitespace().take(3).collect();
        lines.push(format!("route: {}", fields.join(" ")));
    }
    Ok(lines)
}

/// Our containers' cgroups, in all hierarchies.
fn cgroups() -> Result<Vec<String>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("cannot read mountinfo")?;
    let mut found = Vec::new();
    for mount in mountinfo::parse(&text) {
        if matches!(mount.fstype.as_str(), "cgroup" | "cgroup2") {
            below(Path::new(&mount.point), 12, &mut found);
        }
    }
    Ok(found.iter().map(|dir| format!("cgroup: {}", dir.display())).collect())
}

fn below(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if depth == 0 || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("workshop-") && is_ours(&name) {
            found.push(entry.path());
        }
        below(&entry.path(), depth - 1, found);
    }
}

/// Process ids of programs that we have started: a container without a name is called after its
/// parent's.
static STARTED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// From now on, what is named after this process is ours.
pub fn started(pid: i32) {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner).insert(pid);
}

/// Others may be at it on this machine. Our names hold our process id, or that of a program of ours.
fn is_ours(name: &str) -> bool {
    let digits = |it: &char| it.is_ascii_digit();
    let number: String = name.chars().skip_while(|it| !digits(it)).take_while(digits).collect();
    let started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    number.parse().is_ok_and(|pid| pid == process::id() as i32 || started.contains(&pid))
}

fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| format!("file: {}", entry.path().display())).collect()
}

fn names() -> Result<String> {
    let names = uname().context("cannot ask for the host's name")?;
    Ok(format!("names: {:?} {:?}", names.nodename(), names.domainname()))
}

/// A process as its `stat` file has it.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub state: char,
    /// Its first 15 bytes.
    pub name: String,
}

impl Process {
    /// `None` when there is no such process (any more).
    pub fn read(pid: i32) -> Option<Process> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        let (before, after) = stat.rsplit_once(") ")?;
        let mut fields = after.split(' ');
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let name = before.split_once('(')?.1.to_string();
        Some(Process { pid, parent, state, name })
    }

    /// Ended, though its parent has not asked how.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let command = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        write!(f, "process: {} ({}, {}) {command}", self.pid, self.name, self.state)
    }
}

/// All that live and that we or ours have started. Who loses his parent becomes our child
/// (PR_SET_CHILD_SUBREAPER, see `stage`), so that nobody gets lost.
pub fn descendants() -> Result<Vec<Process>> {
    let all = every_process()?;
    let mut family = vec![process::id() as i32];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(all.iter().filter(|it| it.parent == parent).map(|it| it.pid));
        at += 1;
    }
    let living = all.into_iter().filter(|it| !it.has_ended() && family[1..].contains(&it.pid));
    Ok(living.collect())
}

fn every_process() -> Result<Vec<Process>> {
    let entries = fs::read_dir("/proc").context("cannot list /proc")?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids.filter_map(Process::read).collect())
}

/// Forgets our children that have ended. Not while a `std::process::Child` is still to be asked.
pub fn reap_orphans() -> Result<()> {
    let us = process::id() as i32;
    for child in every_process()?.into_iter().filter(|it| it.parent == us && it.has_ended()) {
        let _ = waitpid(Pid::from_raw(child.pid), Some(WaitPidFlag::WNOHANG));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let watched = [dir.path().to_path_buf()];
        let before = Snapshot::take(&watched).unwrap();
        fs::write(dir.path().join("forgotten"), "").unwrap();
        let mut child = process::Command::new("sleep").arg("60").spawn().unwrap();
        let differences = before.differences(&Snapshot::take(&watched).unwrap()).join("\n");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(differences.contains("/forgotten"), "{differences}");
        assert!(differences.contains("left: process:"), "{differences}");
    }
}
