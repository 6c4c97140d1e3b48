//! One container under check: started, looked at while its command waits, ended. Whatever happens,
//! it is over when the `Running` is dropped.

use std::cell::RefCell;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use super::Context;
use super::scene::detach_below;
use crate::steps::{self, LAST_WITH_ROOT};
use crate::tracer::Traced;
use crate::wait::{PATIENCE, Signs, in_time};
use crate::{Probe, Process};

/// Who checks are made as, when root wants to be an ordinary user: nobody's id, with no range of ids.
pub const ORDINARY: u32 = 54_321;

/// Which step knows a flag. One that is too young runs without it: that is how a check is shown to
/// fail before its step.
#[rustfmt::skip]
const FLAGS: [(&str, usize); 25] = [
    ("-e", 1), ("-w", 1),
    ("--name", 2), ("--hostname", 2), ("--domainname", 2),
    ("--init", 3),
    ("-v", 4), ("--tmpfs", 4), ("--read-only", 4),
    ("--network", 5), ("--ip", 5),
    ("--user", 6),
    ("--memory", 7), ("--memory-swap", 7), ("--cpus", 7), ("--cpu-weight", 7), ("--cpuset-cpus", 7),
    ("--pids-limit", 7), ("--io-max", 7), ("--hugetlb", 7),
    ("--layer", 8), ("--upper", 8), ("--diff", 8),
    ("--security-opt", 9),
    ("--entrypoint", 14),
];

/// What is to be started.
pub struct Run<'a> {
    context: Context<'a>,
    flags: Vec<String>,
    root: PathBuf,
    command: Command,
    ordinary: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(context: Context<'a>) -> Run<'a> {
        let mut command = Command::new(context.scene.program(context.step));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        if context.step > LAST_WITH_ROOT {
            command.env("IMAGE_STORE", context.scene.nowhere());
        }
        Run { context, flags: Vec::new(), root: context.scene.root(), command, ordinary: false }
    }

    /// With a flag, if the step knows it.
    pub fn flag(mut self, flag: &str) -> Self {
        if self.knows(flag) {
            self.flags.push(flag.into());
        }
        self
    }

    /// With a flag and its value, if the step knows it.
    pub fn option(mut self, flag: &str, value: impl ToString) -> Self {
        if self.knows(flag) {
            self.flags.extend([flag.into(), value.to_string()]);
        }
        self
    }

    fn knows(&self, flag: &str) -> bool {
        let known = FLAGS.iter().find(|(name, _)| *name == flag);
        known.is_some_and(|(_, step)| self.context.step >= *step)
    }

    /// In another root directory.
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = root.into();
        self
    }

    /// With an environment variable outside.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// In another working directory outside.
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.command.current_dir(dir.into());
        self
    }

    /// As an ordinary user, also if we are root.
    pub fn ordinary(mut self) -> Self {
        self.ordinary = true;
        if geteuid().is_root() {
            self.command.uid(ORDINARY).gid(ORDINARY);
        }
        self
    }

    /// Runs `act` between fork and exec, in the new process: only calls that are async-signal-safe.
    pub fn first(mut self, act: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> Self {
        // SAFETY: that is what the caller promises.
        unsafe { self.command.pre_exec(act) };
        self
    }

    /// Starts `act` with these deeds, and returns when it has done them and waits.
    pub fn start(self, deeds: &[&str]) -> Result<Running> {
        let command: Vec<&str> =
            ["/bin/act"].iter().chain(deeds).chain(&["ready"]).copied().collect();
        let running = self.spawn(&command)?;
        running.until_ready()?;
        Ok(running)
    }

    /// Runs `act` with these deeds to its end.
    pub fn run(self, deeds: &[&str]) -> Result<Ended> {
        let command: Vec<&str> = ["/bin/act"].iter().chain(deeds).copied().collect();
        self.spawn(&command)?.end()
    }

    /// Runs any command to its end.
    pub fn command(self, command: &[&str]) -> Result<Ended> {
        self.spawn(command)?.end()
    }

    /// Starts any command; the step stands still at its exec, traced by this thread.
    pub fn traced(self, command: &[&str]) -> Result<(Running, Traced)> {
        let running = self.first(|| Ok(ptrace::traceme()?)).spawn(command)?;
        let traced = Traced::at_exec(running.parent())?;
        Ok((running, traced))
    }

    /// Starts any command.
    pub fn spawn(mut self, command: &[&str]) -> Result<Running> {
        let step = self.context.step;
        if self.knows("--network")
            && !self.flags.iter().any(|flag| flag == "--network" || flag == "--ip")
        {
            self.flags.extend(["--network".into(), "none".into()]);
        }
        detach_below(&self.root)?;
        let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let user = (self.ordinary && geteuid().is_root()).then_some(ORDINARY);
        let arguments = self.context.scene.arguments(step, &self.flags, &self.root, user)?;
        self.command.args(arguments).args(command);
        self.command.stdin(Stdio::piped()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        let mut child =
            self.command.spawn().with_context(|| format!("cannot start {}", steps::name(step)))?;
        let stdin = child.stdin.take();
        Ok(Running {
            child,
            stdin,
            stdout: RefCell::new(stdout),
            stderr: RefCell::new(stderr),
            over: None,
        })
    }
}

/// A container whose command may still run.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: RefCell<File>,
    stderr: RefCell<File>,
    over: Option<ExitStatus>,
}

/// How a container ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code, if no signal ended the step itself.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// The lines that were printed, of the command's deeds and of the step.
    pub lines: Vec<String>,
    pub stderr: String,
}

impl Running {
    /// Returns when the command has done its deeds and waits.
    pub fn until_ready(&self) -> Result<()> {
        let start = Instant::now();
        let signs = Signs::of(self.parent())?.and(&self.stdout.borrow())?;
        while !self.said()?.iter().any(|line| line == "ready") {
            self.must_run()?;
            in_time("the command to say that it is ready", start)?;
            signs.wait();
        }
        Ok(())
    }

    /// An error, with what the step said, if it has ended.
    pub fn must_run(&self) -> Result<()> {
        if gone(self.parent()) {
            bail!("{}", self.complaint()?);
        }
        Ok(())
    }

    fn complaint(&self) -> Result<String> {
        Ok(format!("the container ended before its command was ready: {}", self.stderr()?))
    }

    /// What the step has said of errors so far.
    pub fn stderr(&self) -> Result<String> {
        Ok(read(&self.stderr)?.trim().to_string())
    }

    /// The process that we started: the parent outside. In steps 1 and 2 it becomes the command.
    pub fn parent(&self) -> i32 {
        self.child.id() as i32
    }

    /// The command: the process that has become `act`.
    pub fn command(&self) -> Result<i32> {
        let is_act = |pid: &i32| {
            fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("act"))
        };
        let found = family(self.parent()).into_iter().find(is_act);
        found.context("the command is not among the processes that were started")
    }

    /// What /proc says of the command.
    pub fn process(&self) -> Result<Process> {
        Ok(Process::read(self.command()?)?)
    }

    /// Process 1 of a PID namespace below ours.
    pub fn init(&self) -> Result<i32> {
        let is_init = |pid: &i32| {
            let process = Process::read(*pid).ok();
            let status = process.as_ref().and_then(|process| process.status.get());
            status.is_some_and(|status| status.ns_pids.len() > 1 && status.ns_pids.ends_with(&[1]))
        };
        let found = family(self.parent()).into_iter().find(is_init);
        found.context("none of the processes that were started is number 1 of a PID namespace")
    }

    /// What was printed so far, by line.
    pub fn said(&self) -> Result<Vec<String>> {
        Ok(read(&self.stdout)?.lines().map(str::to_string).collect())
    }

    /// The answer to the deed of this number, from 0.
    pub fn answer(&self, deed: usize) -> Result<String> {
        let said = self.said()?;
        said.get(deed).cloned().with_context(|| format!("{}: {said:?}", unanswered(deed)))
    }

    /// The answer to a deed that was `probe`.
    pub fn probe(&self, deed: usize) -> Result<Probe> {
        parse_probe(&self.answer(deed)?)
    }

    /// Sends the parent a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.parent()), signal)?)
    }

    /// Lets the command go on, and waits for the step's end.
    pub fn end(mut self) -> Result<Ended> {
        drop(self.stdin.take());
        self.wait()
    }

    /// Waits for the step's end, whatever brings it about.
    pub fn wait(&mut self) -> Result<Ended> {
        let start = Instant::now();
        self.end_within(PATIENCE)?;
        in_time("the container to end", start)?;
        let status = self.over.unwrap_or_default();
        Ok(Ended {
            code: status.code(),
            signal: status.signal(),
            lines: self.said()?,
            stderr: read(&self.stderr)?,
        })
    }

    /// Waits for the step's end, and not longer than this.
    fn end_within(&mut self, time: Duration) -> Result<()> {
        let start = Instant::now();
        self.over = self.child.try_wait()?;
        if self.over.is_some() {
            return Ok(());
        }
        let signs = Signs::of(self.parent())?;
        while self.over.is_none() && start.elapsed() < time {
            signs.wait();
            self.over = self.child.try_wait()?;
        }
        Ok(())
    }
}

impl Drop for Running {
    /// Lets the command go on, and does not wait long for it.
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.end_within(Duration::from_secs(2));
        if self.over.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Ended {
    /// The answer to the deed of this number.
    pub fn answer(&self, deed: usize) -> Result<&str> {
        let line = self.lines.get(deed).map(String::as_str);
        line.with_context(|| format!("{}: {self}", unanswered(deed)))
    }

    /// An error unless the step ended with this code.
    pub fn expect_code(&self, code: i32) -> Result<()> {
        ensure!(self.code == Some(code), "expected exit code {code}: {self}");
        Ok(())
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(out, "it ended with exit code {code}")?,
            (None, signal) => write!(out, "signal {} ended it", signal.unwrap_or_default())?,
        }
        if !self.lines.is_empty() {
            write!(out, "; it printed {:?}", self.lines)?;
        }
        match self.stderr.trim() {
            "" => Ok(()),
            said => write!(out, "; {said}"),
        }
    }
}

/// In the words of who knows nothing of deeds.
fn unanswered(deed: usize) -> String {
    match deed {
        0 => "the command in the container said nothing".into(),
        _ => format!("the command in the container did not come to its act {}", deed + 1),
    }
}

/// Reads what `probe` answered.
pub fn parse_probe(answer: &str) -> Result<Probe> {
    let json =
        answer.strip_prefix("ok ").with_context(|| format!("no answer of the probe: {answer}"))?;
    serde_json::from_str(json).context("cannot understand the probe")
}

/// From its first byte, wherever writers or readers are.
fn read(file: &RefCell<File>) -> Result<String> {
    use std::os::unix::fs::FileExt;
    let file = file.borrow();
    let mut bytes = vec![0; file.metadata()?.len() as usize];
    let length = file.read_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

/// A process and all that descend from it, ancestors first.
pub fn family(pid: i32) -> Vec<i32> {
    let mut all = vec![pid];
    let mut next = 0;
    while next < all.len() {
        all.extend(children(all[next]));
        next += 1;
    }
    all
}

/// See proc_pid_task(5); the file is missing from kernels without CONFIG_PROC_CHILDREN.
fn children(pid: i32) -> Vec<i32> {
    match fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")) {
        Ok(list) => list.split_whitespace().filter_map(|word| word.parse().ok()).collect(),
        Err(_) => pids().into_iter().filter(|child| parent(*child) == Some(pid)).collect(),
    }
}

fn parent(pid: i32) -> Option<i32> {
    Process::read(pid).ok()?.status.get().map(|status| status.parent)
}

/// All processes.
pub fn pids() -> Vec<i32> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Whether a process is gone, or only its exit code is left.
pub fn gone(pid: i32) -> bool {
    let state = |text: String| text.rsplit_once(") ").map(|(_, rest)| rest.starts_with(['Z', 'X']));
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |text| state(text).unwrap_or(true))
}
