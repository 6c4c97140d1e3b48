//! `workshop xray`: the picture of one container, taken from outside while it sleeps.

use std::{
    fs,
    io::{Read, stdout},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    str::FromStr,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use evidence::{
    Process, Xray,
    paint::{self, Paint},
};
use nix::{
    sys::{
        prctl::set_pdeathsig,
        signal::{Signal, kill},
    },
    unistd::Pid,
};

use crate::{build, checkout, image, place::Choice, steps::Step};

#[derive(clap::Args)]
pub struct Args {
    /// A step (1 to 9 or 14, or its name), or any process: its PID; what could be a step is written pid:7
    #[arg(value_name = "N|PID")]
    subject: Subject,
    /// For programs
    #[arg(long)]
    json: bool,
    /// For pages
    #[arg(long, conflicts_with = "json")]
    svg: bool,
    #[command(flatten)]
    choice: Choice,
}

/// What the picture is of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Subject {
    Step(Step),
    Process(i32),
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Subject, String> {
        let pid = text.strip_prefix("pid:").unwrap_or(text).parse();
        match (text.parse(), pid) {
            (Ok(step), _) => Ok(Subject::Step(step)),
            (_, Ok(pid)) => Ok(Subject::Process(pid)),
            (Err(reason), _) => Err(format!("{reason}; a process is a number")),
        }
    }
}

pub fn xray(args: &Args) -> Result<i32> {
    let picture = match args.subject {
        Subject::Process(pid) => of_process(pid)?,
        Subject::Step(step) if args.choice.here => of_step(step)?,
        Subject::Step(step) => return build_and_show(step, args),
    };
    show(&picture, args)
}

/// Builds the step; then takes the picture where the step can run.
fn build_and_show(step: Step, args: &Args) -> Result<i32> {
    build::steps(&[step], &mut |_| {})?;
    checkout::make_rootfs()?;
    let flags = [("--json", args.json), ("--svg", args.svg)];
    let flags = flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag);
    let arguments: Vec<&str> = ["xray", step.name()].into_iter().chain(flags).collect();
    args.choice.place_of(step)?.become_us(&arguments)
}

fn show(picture: &Xray, args: &Args) -> Result<i32> {
    crate::end_with_reader();
    match args {
        Args { json: true, .. } => println!("{}", serde_json::to_string_pretty(picture)?),
        Args { svg: true, .. } => print!("{}", picture.svg()),
        _ => print!("\n{}\n", picture.table(Paint(paint::wanted(&stdout())))),
    }
    Ok(0)
}

fn of_process(pid: i32) -> Result<Xray> {
    let process = Process::read(pid).with_context(|| format!("cannot read process {pid}"))?;
    let host = Process::own().context("cannot read /proc/self")?;
    Ok(Xray::of(&format!("process {pid}"), &process, &host))
}

/// Starts a container in which a command sleeps, takes the picture, and ends it.
pub fn of_step(step: Step) -> Result<Xray> {
    let mut container = Container::start(step)?;
    let process = container.command_process()?;
    let host = Process::own().context("cannot read /proc/self")?;
    Ok(Xray::of(&step.to_string(), &process, &host))
}

/// What sleeps inside: nothing else on this machine is likely to sleep exactly this long.
const SLEEP: [&str; 2] = ["sleep", "3599"];

/// How long a container may take to start its command.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running container; it ends when this is dropped, or when we end in any other way.
struct Container {
    step: Step,
    parent: Child,
    command: Option<Pid>,
}

impl Container {
    fn start(step: Step) -> Result<Container> {
        let program = checkout::programs()?.join(step.name());
        let mut command = Command::new(&program);
        command.args(image::arguments(step, &[])?).args(SLEEP);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // SAFETY: prctl(2) is all that happens between fork and exec.
        unsafe { command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?)) };
        let parent = command.spawn();
        let parent = parent.with_context(|| format!("cannot run {}", program.display()))?;
        Ok(Container { step, parent, command: None })
    }

    /// Waits until the command is executed: then every wall stands.
    fn command_process(&mut self) -> Result<Process> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(process) = self.find()? {
                self.command = Some(Pid::from_raw(process.pid));
                return Ok(process);
            }
            if self.parent.try_wait()?.is_some() {
                let complaint = self.complaint();
                bail!("{} ended: {complaint}", self.step);
            }
            sleep(Duration::from_millis(5));
        }
        bail!("{} did not start its command in {} s", self.step, PATIENCE.as_secs())
    }

    /// The process, among the parent and its descendants, that is the command.
    fn find(&self) -> Result<Option<Process>> {
        for pid in descendants(self.parent.id() as i32)? {
            if let Ok(line) = fs::read(format!("/proc/{pid}/cmdline"))
                && line == format!("{}\0{}\0", SLEEP[0], SLEEP[1]).into_bytes()
            {
                return Ok(Process::read(pid).ok());
            }
        }
        Ok(None)
    }

    fn complaint(&mut self) -> String {
        let mut text = String::new();
        let _ = self.parent.stderr.take().map(|mut stderr| stderr.read_to_string(&mut text));
        text.trim().trim_start_matches("error: ").to_string()
    }
}

impl Drop for Container {
    /// Ends the command first, so that the parent clears up behind it as after any other end.
    fn drop(&mut self) {
        if let Some(command) = self.command {
            let _ = kill(command, Signal::SIGKILL);
        }
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.parent.try_wait(), Ok(None)) && Instant::now() < deadline {
            sleep(Duration::from_millis(2));
        }
        let _ = self.parent.kill();
        let _ = self.parent.wait();
    }
}

/// A process and everything below it, by the parents that /proc/PID/stat names.
fn descendants(top: i32) -> Result<Vec<i32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        if let Some(parent) = parent(pid) {
            parents.push((pid, parent));
        }
    }
    let mut all = vec![top];
    let mut next = 0;
    while let Some(&one) = all.get(next) {
        all.extend(parents.iter().filter(|(_, parent)| *parent == one).map(|(pid, _)| pid));
        next += 1;
    }
    Ok(all)
}

/// The fourth field; the second, the name, is in brackets and may contain anything.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_are_steps() {
        let step = |name: &str| Ok(Subject::Step(name.parse().unwrap()));
        assert_eq!("4".parse(), step("mount"));
        assert_eq!("mount".parse(), step("mount"));
        assert_eq!("pid:4".parse(), Ok(Subject::Process(4)));
        assert_eq!("400".parse(), Ok(Subject::Process(400)));
        assert!("four".parse::<Subject>().is_err());
    }
}
