//! Several checks at once, each in a process of its own: whatever a broken step, or a broken check, does
//! there stays there. When a signal ends us, all their containers are ended, and nothing is left.

use std::{
    fs::File,
    io::{Read, Write, pipe},
    os::fd::{AsFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    process::exit,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use evidence::{checks::Check, host};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork},
};

use super::{Report, here::told, signals::Signals};

/// A check at work, and the pipe that its report comes through.
struct AtWork {
    check: &'static Check,
    process: Pid,
    pipe: File,
    said: Vec<u8>,
}

/// Checks wait half of the time, for containers to start and to end. The lab has one processor.
fn at_once() -> usize {
    4 * thread::available_parallelism().map_or(1, usize::from).min(4)
}

/// Hands over each report as it comes. Returns the signal that ended it, if one did. Whoever a broken
/// step has left behind is ended too. This process must have one thread.
pub fn side_by_side(
    checks: &[&'static Check],
    signals: &mut Signals,
    act: &dyn Fn(&Check) -> Report,
    on: &dyn Fn(Report),
) -> Result<Option<Signal>> {
    // Who loses its parent becomes ours, and is found.
    prctl::set_child_subreaper(true).context("cannot become a subreaper")?;
    let ended = all(checks, signals, act, on);
    end();
    ended
}

fn all(
    checks: &[&'static Check],
    signals: &mut Signals,
    act: &dyn Fn(&Check) -> Report,
    on: &dyn Fn(Report),
) -> Result<Option<Signal>> {
    let mut waiting = checks.iter();
    let mut working: Vec<AtWork> = Vec::new();
    loop {
        while working.len() < at_once()
            && let Some(check) = waiting.next()
        {
            working.push(AtWork::start(check, act)?);
        }
        if working.is_empty() {
            return Ok(None);
        }
        let ready = wait(signals, &working)?;
        if ready[0] {
            for check in &working {
                // It starts nothing more.
                let _ = kill(check.process, Signal::SIGSTOP);
            }
            return Ok(Some(signals.next()?));
        }
        for number in (0..working.len()).rev().filter(|number| ready[number + 1]) {
            if working[number].has_ended()? {
                on(working.remove(number).report());
            }
        }
    }
}

/// Whether the signals have something for us, and then each pipe.
fn wait(signals: &Signals, working: &[AtWork]) -> Result<Vec<bool>> {
    let pipes = working.iter().map(|it| it.pipe.as_fd());
    let files = std::iter::once(signals.as_fd()).chain(pipes);
    let mut files: Vec<_> = files.map(|file| PollFd::new(file, PollFlags::POLLIN)).collect();
    match poll(&mut files, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno).context("cannot wait for the checks"),
    }
    Ok(files.iter().map(|file| file.any().unwrap_or(false)).collect())
}

impl AtWork {
    fn start(check: &'static Check, act: &dyn Fn(&Check) -> Report) -> Result<AtWork> {
        let (read, mut write) = pipe().context("cannot make a pipe")?;
        // SAFETY: this process has one thread; the child leaves by `exit`.
        match unsafe { fork() }.context("cannot fork a check")? {
            ForkResult::Parent { child } => {
                let pipe = OwnedFd::from(read).into();
                Ok(AtWork { check, process: child, pipe, said: Vec::new() })
            }
            ForkResult::Child => {
                if let Ok(report) = catch_unwind(AssertUnwindSafe(|| act(check))) {
                    let _ = write.write_all(&serde_json::to_vec(&report).unwrap_or_default());
                }
                exit(0)
            }
        }
    }

    /// Takes what the pipe has. At its end the check is over.
    fn has_ended(&mut self) -> Result<bool> {
        let mut buffer = [0; 16 << 10];
        let length = self.pipe.read(&mut buffer).context("cannot read from a check")?;
        self.said.extend(&buffer[..length]);
        Ok(length == 0)
    }

    fn report(self) -> Report {
        while waitpid(self.process, None) == Err(Errno::EINTR) {}
        let broken =
            || told(self.check, 0.0, Err(anyhow!("the check broke off: that is our mistake")));
        serde_json::from_slice(&self.said).unwrap_or_else(|_| broken())
    }
}

/// Who removes what a container leaves, once its parent is gone.
const CLEARS_UP: [&str; 2] = ["container-guard", "cgroup-keeper"];

/// How long that may take; a broken one may never be done.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends all that still runs of ours, until there is none.
fn end() {
    let start = Instant::now();
    while let Ok(below @ [_, ..]) = host::descendants().as_deref() {
        let spared = |name: &str| start.elapsed() < PATIENCE && CLEARS_UP.contains(&name);
        for process in below.iter().rev().filter(|process| !spared(&process.name)) {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(5));
    }
}
