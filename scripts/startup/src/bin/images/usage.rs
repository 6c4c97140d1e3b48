//! One command, from its start to its exit: the clock around it, and what wait4(2) says of it and of
//! all that it waited for. The peak is at least what we had ourselves when we started it.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// What was measured of one command.
pub struct Row {
    pub name: String,
    wall: Vec<Duration>,
    cpu: Vec<Duration>,
    pub peak_kib: u64,
}

impl Row {
    pub fn new(name: &str) -> Row {
        Row { name: name.into(), wall: Vec::new(), cpu: Vec::new(), peak_kib: 0 }
    }

    /// The median.
    pub fn wall_ms(&self) -> f64 {
        median(&self.wall)
    }

    pub fn cpu_ms(&self) -> f64 {
        median(&self.cpu)
    }

    /// Runs it once more; `log` is for what it says.
    pub fn once(&mut self, command: &mut Command, log: &Path) -> Result<()> {
        let file = fs::File::create(log).context("cannot make a log")?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let begin = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {}", self.name))?;
        // SAFETY: zero is a valid value of every field.
        let (mut status, mut usage): (i32, libc::rusage) = (0, unsafe { std::mem::zeroed() });
        // SAFETY: both are ours to be written; the child is not waited for anywhere else.
        unsafe { libc::wait4(child.id() as i32, &mut status, 0, &mut usage) };
        let wall = begin.elapsed();
        let said = || fs::read_to_string(log).unwrap_or_default();
        ensure!(status == 0, "{} failed, wait status {status}: {}", self.name, said().trim());
        self.wall.push(wall);
        self.cpu.push(duration(usage.ru_utime) + duration(usage.ru_stime));
        self.peak_kib = self.peak_kib.max(usage.ru_maxrss as u64);
        Ok(())
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000)
}

fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

/// A command with an environment that says nothing of whoever measures.
pub fn command(program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("HOME", home).env("PATH", path);
    command
}

/// The same, done at once: what is not measured.
pub fn done(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", said.trim());
    Ok(())
}

pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).exists());
    if !found {
        eprintln!("left out: {program} is not installed");
    }
    found
}
