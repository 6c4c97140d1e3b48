//! Processes of ours that still run: programs of the steps and attacks, the lab's kernel, and whatever
//! has its root directory in `.workshop/`. What runs in a container dies with its parent.

use std::{
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::Report;
use crate::{checkout, steps::Step};

pub fn clean(report: &mut Report) -> Result<()> {
    let ours = Ours { work: checkout::work()?, programs: checkout::programs()? };
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let directory = entry?.path();
        let name = directory.file_name().and_then(|name| name.to_str());
        let Some(pid) = name.and_then(|name| name.parse().ok()) else {
            continue;
        };
        if ours.has(&directory) {
            report.note(&format!("process {pid}, {}", command(&directory)), end(pid));
        }
    }
    Ok(())
}

struct Ours {
    work: PathBuf,
    programs: PathBuf,
}

impl Ours {
    /// Whether this /proc/PID is a process that the workshop left.
    fn has(&self, directory: &Path) -> bool {
        let link = |name: &str| fs::read_link(directory.join(name)).unwrap_or_default();
        let executable = link("exe");
        self.has_program(&executable)
            || executable.starts_with(&self.work)
            || link("root").starts_with(&self.work)
    }

    /// The program of a step, or an attack. One that was built again since is ` (deleted)`.
    fn has_program(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = name.trim_end_matches(" (deleted)");
        let step = Step::all().any(|step| step.name() == name);
        let in_programs = path.parent() == Some(&self.programs);
        let in_examples = path.parent() == Some(&self.programs.join("examples"));
        (step && in_programs) || (name.starts_with("attack") && in_examples)
    }
}

fn command(directory: &Path) -> String {
    let line = fs::read(directory.join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ").trim().to_string()
}

/// SIGTERM, and SIGKILL to what is still there after two seconds.
fn end(pid: i32) -> Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        match kill(Pid::from_raw(pid), signal) {
            Err(nix::errno::Errno::ESRCH) => return Ok(()),
            result => result.context("cannot end it")?,
        }
        let deadline = Instant::now() + Duration::from_secs(2);
        while alive(pid) && Instant::now() < deadline {
            sleep(Duration::from_millis(20));
        }
        if !alive(pid) {
            return Ok(());
        }
    }
    bail!("it does not end")
}

/// A zombie has ended: it waits for its parent only.
fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim().chars().next());
    state.is_some_and(|state| state != 'Z')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_we_built_is_ours() {
        let ours = Ours { work: "/w/.workshop".into(), programs: "/w/target/debug".into() };
        let has = |path: &str| ours.has_program(Path::new(path));
        assert!(has("/w/target/debug/mount") && has("/w/target/debug/pid (deleted)"));
        assert!(has("/w/target/debug/examples/attack-pid"));
        assert!(!has("/usr/bin/mount") && !has("/w/target/debug/workshop"));
    }
}
