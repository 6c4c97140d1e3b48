//! Runs a step as a person would, to its end but never for ever, and says how it ended.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::geteuid;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::host;
use crate::stage::{self, ROOT_STEPS, Stage};

/// Whoever takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// As a shell has it: 128+n for signal n.
    pub fn code(&self) -> i32 {
        let signal = self.status.signal().map(|signal| 128 + signal);
        self.status.code().or(signal).unwrap_or(-1)
    }

    /// It ended with `code`.
    pub fn expect(self, code: i32) -> Result<Outcome> {
        ensure!(self.code() == code, "exit code {} instead of {code}: {self}", self.code());
        Ok(self)
    }

    /// It said what is wrong as every step must: one line `error: `, perhaps one `hint: `.
    pub fn expect_error(self, codes: &[i32]) -> Result<Outcome> {
        ensure!(codes.contains(&self.code()), "exit code not in {codes:?}: {self}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        let hints = lines.iter().skip(1).all(|line| line.starts_with("hint: "));
        let well_said = lines.first().is_some_and(|line| line.starts_with("error: "));
        ensure!(well_said && hints && lines.len() <= 2, "not one line of error: {self}");
        ensure!(!self.stderr.contains("panicked"), "a panic: {self}");
        Ok(self)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}, stdout {:?}, stderr {:?}", self.status, self.stdout, self.stderr)
    }
}

/// A program that runs, with what it says kept in memory.
pub struct Running {
    child: Child,
    stdout: File,
    stderr: File,
}

impl Running {
    /// Starts `command` without a standard input.
    pub fn start(command: &mut Command) -> Result<Running> {
        let (stdout, stderr) = (memory()?, memory()?);
        let program = command.get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(stdout.try_clone()?)
            .stderr(stderr.try_clone()?)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        host::started(child.id() as i32);
        Ok(Running { child, stdout, stderr })
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits until its standard output holds `text`.
    pub fn says(&mut self, text: &str) -> Result<()> {
        let start = Instant::now();
        loop {
            let said = read(&self.stdout)?;
            if said.contains(text) {
                return Ok(());
            }
            let ended = self.child.try_wait()?.is_some();
            if ended || start.elapsed() > PATIENCE {
                let stderr = read(&self.stderr)?;
                bail!("it does not say {text:?} but {said:?}, stderr {stderr:?}, ended: {ended}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for its end.
    pub fn end(self) -> Result<Outcome> {
        self.end_within(PATIENCE)
    }

    fn end_within(mut self, patience: Duration) -> Result<Outcome> {
        if !self.has_ended(patience)? {
            self.child.kill()?;
            self.child.wait()?;
            let (stdout, stderr) = (read(&self.stdout)?, read(&self.stderr)?);
            bail!("it hangs; stdout {stdout:?}, stderr {stderr:?}");
        }
        let status = self.child.wait()?;
        let (stdout, stderr) = (read(&self.stdout)?, read(&self.stderr)?);
        Ok(Outcome { status, stdout, stderr })
    }

    fn has_ended(&self, patience: Duration) -> Result<bool> {
        let pid = Pid::from_raw(self.pid()).context("no process id")?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("cannot open a pidfd")?;
        ends_within(&pidfd, patience)
    }
}

/// Whether the process of `pidfd` ends before `patience` does.
pub fn ends_within(pidfd: &OwnedFd, patience: Duration) -> Result<bool> {
    let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    Ok(poll(&mut ended, timeout).context("cannot wait")? > 0)
}

fn memory() -> Result<File> {
    let file =
        memfd_create("output", MFdFlags::MFD_CLOEXEC).context("cannot make a memory file")?;
    Ok(file.into())
}

/// The program shares our descriptor's position, and writes there: so this opens the file anew.
fn read(file: &File) -> Result<String> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let bytes = fs::read(path).context("cannot read what it said")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs `command` to its end.
pub fn run(command: &mut Command) -> Result<Outcome> {
    Running::start(command)?.end()
}

/// The same for what may take longer than a container does.
pub fn run_within(command: &mut Command, patience: Duration) -> Result<Outcome> {
    Running::start(command)?.end_within(patience)
}

impl Stage {
    /// The program of a step.
    pub fn step(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(stage::programs()?.join(name));
        command.env("TMPDIR", self.temporary()).current_dir(self.work());
        Ok(command)
    }

    /// A step with flags, in the root directory that all share, up to the command.
    pub fn container(&self, name: &str, flags: &[&str], command: &[&str]) -> Result<Command> {
        let mut step = self.step(name)?;
        step.args(flags).arg(self.root()?).args(command);
        Ok(step)
    }

    /// The same, run to its end.
    pub fn run<A: AsRef<OsStr>>(&self, name: &str, args: &[A]) -> Result<Outcome> {
        run(self.step(name)?.args(args))
    }

    /// The steps that whoever we are may run: the first five need root.
    pub fn steps(&self) -> &'static [&'static str] {
        if geteuid().is_root() { &ROOT_STEPS } else { &ROOT_STEPS[5..] }
    }
}
