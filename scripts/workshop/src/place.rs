//! Where a step runs: here, here as root by sudo, or in the lab. Steps 1 to 5 need root; who has none
//! and cannot get it by sudo is taken into the lab, and told so in one line.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{IsTerminal, stdin},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Error, Result, bail};
use nix::unistd::{geteuid, getgroups};

use crate::{checkout, image, lab, steps::Step};

/// Where something runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Here,
    Sudo,
    Lab,
}

/// Who chooses: the reader by hand, or we.
#[derive(clap::Args, Clone, Copy)]
pub struct Choice {
    /// On this host, whatever it can do (with sudo where root is needed)
    #[arg(long, conflicts_with = "lab")]
    pub host: bool,
    /// In the lab
    #[arg(long)]
    pub lab: bool,
    /// Right here, with what is already built: how we start ourselves with sudo and in the lab
    #[arg(long, hide = true, conflicts_with_all = ["host", "lab"])]
    pub here: bool,
}

impl Choice {
    /// The place for something that needs root, or does not.
    pub fn place(self, needs_root: bool) -> Result<Place> {
        let root = geteuid().is_root() || !needs_root;
        match self {
            Choice { lab: true, .. } => Ok(Place::Lab),
            _ if self.here || root => Ok(Place::Here),
            _ if self.host && !installed("sudo") => bail!("this needs root, and there is no sudo"),
            _ if self.host || sudo() => Ok(Place::Sudo),
            _ => Ok(Place::Lab),
        }
    }

    /// The place for one step, and why if it is not the obvious one: it is tried, not guessed,
    /// whether this host gives what the step needs. `limits`: whether cgroups must be to be had.
    pub fn decide(self, step: Step, limits: bool) -> Result<(Place, Option<String>)> {
        let place = self.place(step.needs_root())?;
        if place == Place::Lab {
            let reason = format!("{step} needs root and there is none");
            return Ok((place, (!self.lab).then_some(reason)));
        }
        if self.here || self.host {
            return Ok((place, None));
        }
        match place.trial(step, limits)? {
            None => Ok((place, None)),
            reason => Ok((Place::Lab, reason)),
        }
    }

    /// [`Choice::decide`], and a line that says so when it is the lab.
    pub fn place_of(self, step: Step) -> Result<Place> {
        let (place, reason) = self.decide(step, step.name() == "cgroups")?;
        explain(reason);
        Ok(place)
    }
}

/// Says in one line why something runs in the lab.
pub fn explain(reason: Option<String>) {
    if let Some(reason) = reason {
        eprintln!("note: {reason}: so this runs in the lab (--host insists)");
    }
}

impl Place {
    /// A command that runs `program` there.
    pub fn command(self, program: &Path) -> Result<Command> {
        let (carrier, arguments) = match self {
            Place::Here => return Ok(Command::new(program)),
            Place::Sudo => ("sudo".into(), vec!["--"]),
            Place::Lab => (checkout::this_program()?, vec!["lab", "--"]),
        };
        let mut command = Command::new(carrier);
        command.args(arguments).arg(program);
        Ok(command)
    }

    /// Becomes `program` there. The terminal, signals and the exit code are the program's own.
    pub fn become_program(self, program: &Path, arguments: &[OsString]) -> Result<i32> {
        if self == Place::Lab {
            return lab(&[&[program.into()], arguments].concat());
        }
        let mut command = self.command(program)?;
        let error = command.args(arguments).exec();
        Err(Error::new(error).context(format!("cannot execute {}", program.display())))
    }

    /// Starts ourselves again there, with these arguments and `--here`.
    pub fn become_us(self, arguments: &[&str]) -> Result<i32> {
        let us = checkout::this_program()?;
        let arguments = arguments.iter().chain(&["--here"]).map(OsString::from);
        self.become_program(&us, &arguments.collect::<Vec<_>>())
    }

    /// Runs `true` in a container of the step: no reason, or why the container cannot be made.
    pub fn trial(self, step: Step, limits: bool) -> Result<Option<String>> {
        let flags: &[&str] = if limits { &["--pids-limit", "99"] } else { &[] };
        let arguments = match image::arguments(step, flags) {
            Ok(arguments) => arguments,
            Err(error) => return Ok(Some(crate::describe(&error))),
        };
        let mut command = self.command(&checkout::programs()?.join(step.name()))?;
        let output = command.args(arguments).arg("true").stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot run {step}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said.lines().next().unwrap_or("the container cannot be made");
        let reason = reason.trim_start_matches("error: ").to_string();
        Ok((output.status.code() == Some(125)).then_some(reason))
    }
}

/// Runs a command, or a shell, in the lab.
pub fn lab(command: &[OsString]) -> Result<i32> {
    lab::run(&lab::Request::new(&checkout::checkout()?, command))
}

/// Whether sudo makes us root: without a word, or with a password that somebody can type and that
/// is likely to be accepted.
fn sudo() -> bool {
    installed("sudo") && (silent_sudo() || (stdin().is_terminal() && administrator()))
}

/// Whether sudo makes us root without a word.
pub fn silent_sudo() -> bool {
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    sudo.status().is_ok_and(|status| status.success())
}

/// Whether we are in one of the groups that distributions let use sudo. /etc/group is read here:
/// the C library would load its name services for it, which a static program cannot.
pub fn administrator() -> bool {
    let ours: Vec<String> =
        getgroups().unwrap_or_default().iter().map(|gid| gid.to_string()).collect();
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    groups.lines().any(|line| {
        let mut fields = line.split(':');
        let (name, gid) = (fields.next().unwrap_or_default(), fields.nth(1).unwrap_or_default());
        matches!(name, "sudo" | "wheel" | "admin") && ours.iter().any(|our| our == gid)
    })
}

fn installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| fs::metadata(directory.join(program)).is_ok())
}
