//! One thing that a step needs, and what came of trying it. It is tried in a process that is forked,
//! makes the calls and ends: what it changed of itself ends with it, and a hang is cut off.

use std::{
    fmt,
    fs::File,
    io::Read,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use anyhow::{Context, Error, Result, bail};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{Signal, killpg},
        stat::Mode,
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, dup2_stderr, dup2_stdout, fork, pipe, setpgid},
};
use serde::{Deserialize, Serialize};

/// How long one trial may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who tries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Who {
    /// Root alone: an ordinary user never does this.
    Root,
    /// An ordinary user alone: root does without.
    User,
    /// Root as it is; an ordinary user as root of a user namespace.
    Inside,
    /// Both in a user namespace, as steps 6 to 9 do it.
    Owner,
    /// Both as they are.
    Everyone,
    /// Whoever has called us, once.
    Caller,
}

/// What is lost where it fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Need {
    /// The step, and all that build on it.
    Step,
    /// This step alone.
    StepAlone,
    /// Only this, in words.
    Part(&'static str),
}

/// A row of the table.
pub struct Trial {
    /// 0: before the first step; 10: after the last.
    pub step: u32,
    /// What programs call it.
    pub name: &'static str,
    /// What people call it.
    pub what: &'static str,
    pub who: Who,
    pub need: Need,
    /// Makes the calls, in a process of its own. What it returns is evidence, for people to read.
    pub run: fn() -> Result<String>,
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    Works {
        evidence: String,
    },
    /// The hint is the step's own, where its function gave one.
    Fails {
        reason: String,
        hint: Option<String>,
    },
    Untried {
        reason: String,
    },
}

impl Outcome {
    pub fn untried(reason: impl Into<String>) -> Outcome {
        Outcome::Untried { reason: reason.into() }
    }

    pub fn fails(&self) -> bool {
        matches!(self, Outcome::Fails { .. })
    }

    /// What there is to read about it.
    pub fn words(&self) -> &str {
        match self {
            Outcome::Works { evidence: words }
            | Outcome::Fails { reason: words, .. }
            | Outcome::Untried { reason: words } => words,
        }
    }
}

impl From<Result<String>> for Outcome {
    fn from(result: Result<String>) -> Outcome {
        match result {
            Ok(evidence) => Outcome::Works { evidence },
            Err(error) => match error.downcast_ref() {
                Some(Untried(reason)) => Outcome::untried(reason.as_str()),
                None => failure(&error),
            },
        }
    }
}

fn failure(error: &Error) -> Outcome {
    let hint = error.downcast_ref().map(|chroot::Hint(hint)| hint.clone());
    Outcome::Fails { reason: words(error), hint }
}

/// The acts and the kernel's reason, in one line. A hint is no link of the chain.
fn words(error: &Error) -> String {
    // Rustix has an errno of its own, with other words.
    let rustix = error.root_cause().downcast_ref::<rustix::io::Errno>();
    let rustix = rustix.map(|errno| Errno::from_raw(errno.raw_os_error()));
    let mut acts: Vec<String> = crate::describe(error).split(": ").map(String::from).collect();
    if let (Some(errno), Some(last)) = (rustix, acts.last_mut()) {
        *last = evidence::answer::describe(errno);
    }
    acts.retain(|act| !act.is_empty());
    acts.join(": ").replace('\n', " ")
}

/// The error of a trial that cannot be made here.
#[derive(Debug)]
struct Untried(String);

impl fmt::Display for Untried {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Untried {}

/// Ends a trial that cannot be made here, and says why.
pub fn untried<T>(why: &str) -> Result<T> {
    Err(Untried(why.into()).into())
}

/// Runs `calls` in a process of its own and hears what came of it.
pub fn throw_away(calls: impl FnOnce() -> Result<String>) -> Outcome {
    let heard = in_child(calls).context("cannot try it");
    heard.unwrap_or_else(|error| failure(&error))
}

fn in_child(calls: impl FnOnce() -> Result<String>) -> Result<Outcome> {
    let (read, write) = pipe()?;
    // SAFETY: this process has one thread, so that no lock is held in the copy.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(read);
            alone();
            let outcome = Outcome::from(calls());
            let _ = serde_json::to_writer(File::from(write), &outcome);
            // SAFETY: ends the copy without what its original would do at the end.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(write);
            let said = hear(File::from(read));
            // Nothing that it started may outlive it.
            let _ = killpg(child, Signal::SIGKILL);
            waitpid(child, None)?;
            serde_json::from_slice(&said?).context("the process that tried it broke off")
        }
    }
}

/// In a process group of our own, without a word on the terminal, and not without our parent.
fn alone() {
    let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    if let Ok(null) = open("/dev/null", OFlag::O_WRONLY, Mode::empty()) {
        let _ = dup2_stdout(&null);
        let _ = dup2_stderr(&null);
    }
}

/// Reads until one outcome is whole: a process that was left behind may hold the pipe open.
fn hear(mut from: File) -> Result<Vec<u8>> {
    let (mut said, start) = (Vec::new(), Instant::now());
    let mut part = [0; 4096];
    while start.elapsed() < PATIENCE {
        let mut ready = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(100u8))? == 0 {
            continue;
        }
        let length = from.read(&mut part)?;
        said.extend(&part[..length]);
        if length == 0 || serde_json::from_slice::<Outcome>(&said).is_ok() {
            return Ok(said);
        }
    }
    bail!("it did not end within {} s", PATIENCE.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{sched::CloneFlags, unistd::getpid};

    #[test]
    fn what_a_trial_does_ends_with_it() {
        let before = std::env::current_dir().unwrap();
        let outcome = throw_away(|| {
            std::env::set_current_dir("/")?;
            Ok(getpid().to_string())
        });
        assert!(!outcome.fails() && outcome.words() != getpid().to_string(), "{outcome:?}");
        assert_eq!(std::env::current_dir().unwrap(), before);
    }

    #[test]
    fn every_end_is_heard_of() {
        let refused = throw_away(|| {
            let error = Err::<(), _>(Errno::EPERM).context("cannot do it");
            error.context(chroot::Hint("do that".into())).map(|()| String::new())
        });
        let reason = "cannot do it: Operation not permitted (EPERM)".to_string();
        assert_eq!(refused, Outcome::Fails { reason, hint: Some("do that".into()) });
        assert_eq!(throw_away(|| untried("not here")), Outcome::untried("not here"));
        // SAFETY: ends the forked process, as a crash would.
        let crashed = throw_away(|| unsafe { libc::_exit(3) });
        assert!(crashed.words().contains("broke off"), "{crashed:?}");
    }

    #[test]
    fn every_library_s_errno_is_named() {
        let outcome = throw_away(|| {
            mount::tree::filesystem("no-such-type", &[], mount::Flags::empty())?;
            Ok(String::new())
        });
        assert!(outcome.words().ends_with("(ENODEV)") || outcome.words().ends_with("(EPERM)"));
    }

    #[test]
    fn a_refusal_is_not_a_success() {
        let outcome = throw_away(|| {
            nix::sched::setns(File::open("/dev/null")?, CloneFlags::CLONE_NEWUTS)?;
            Ok(String::new())
        });
        assert!(outcome.fails(), "{outcome:?}");
    }
}
