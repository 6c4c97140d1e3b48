//! Signals on their way in, the exit code on its way out. All are held back (blocked) and read
//! one at a time from a signalfd(2), so that nothing happens between two instructions.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, raise, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::Pid;
use rustix::process::{self, WaitOptions};

const FORWARDED: [Signal; 9] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGTSTP,
    Signal::SIGCONT,
];

/// Which processes are reaped: the parent's one child, or, as init, every orphan too.
#[derive(Clone, Copy, PartialEq)]
pub enum Children {
    Only,
    Orphans,
}

/// The signals that are held, and the mask from before.
pub struct Signals {
    held: SigSet,
    before: SigSet,
    /// What the child gets in the place of SIGTERM.
    pub(crate) stop: Signal,
}

impl Signals {
    /// Holds every signal that is forwarded, and SIGCHLD, before the child exists: none is lost.
    pub fn hold() -> Result<Signals> {
        let mut held = SigSet::from_iter(FORWARDED);
        held.add(Signal::SIGCHLD);
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&held), Some(&mut before))
            .context("cannot block signals")?;
        Ok(Signals { held, before, stop: Signal::SIGTERM })
    }

    /// Back to the mask from before: a blocked signal stays blocked across execve(2).
    pub fn restore(&self) -> Result<()> {
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None)
            .context("cannot restore the signal mask")
    }

    /// Passes signals on to `child` until it has ended; gives its exit code.
    pub fn supervise(&self, child: Pid, children: Children) -> Result<u8> {
        let signals = SignalFd::with_flags(&self.held, SfdFlags::SFD_CLOEXEC)
            .context("cannot make a signalfd")?;
        loop {
            if let Some(code) = reap(child, children)? {
                return Ok(code);
            }
            let signal = signals.read_signal().context("cannot read the signalfd")?;
            // SIGCHLD says no more than that `reap` has something to do.
            if let Some(mut signal) = signal.filter(|it| it.ssi_signo != libc::SIGCHLD as u32) {
                if signal.ssi_signo == libc::SIGTERM as u32 {
                    signal.ssi_signo = self.stop as u32;
                }
                forward(&signal, child, children)?;
            }
        }
    }
}

/// Sends `child` the signal that we got, kill(2); that it has ended (ESRCH) is no error.
///
/// A signal from the terminal (`ssi_code` SI_KERNEL) went to its whole foreground process group:
/// the command has it already, and must not get it twice. Ctrl-Z is the exception: process 1
/// ignores SIGTSTP, pid_namespaces(7), so `Children::Only` is for `stop_both`. Not so behind an
/// init: that command stops by itself, and could have been continued before our stop comes. A SIGTSTP
/// that kill(2) sent is forwarded like any other.
///
/// Exercise 3.5
fn forward(signal: &siginfo, child: Pid, children: Children) -> Result<()> {
    let from_terminal = signal.ssi_code == libc::SI_KERNEL;
    let signal = Signal::try_from(signal.ssi_signo as i32).context("an unknown signal came")?;
    let sent = match signal {
        Signal::SIGTSTP if from_terminal && children == Children::Only => stop_both(child),
        _ if from_terminal => return Ok(()),
        _ => kill(child, signal),
    };
    match sent {
        // EPERM: it has become another user's through a setuid program. That is its right.
        Err(Errno::ESRCH | Errno::EPERM) => Ok(()),
        sent => sent.with_context(|| format!("cannot forward {signal} to process {child}")),
    }
}

/// Collects what has changed: `child`'s exit code once it has ended. rustix's waitpid takes any
/// signal's number; nix's has no name for the real-time ones, and would lose their status.
fn reap(child: Pid, children: Children) -> Result<Option<u8>> {
    loop {
        let changed = match children {
            Children::Only => {
                let child = process::Pid::from_raw(child.as_raw());
                process::waitpid(child, WaitOptions::NOHANG)
            }
            Children::Orphans => process::wait(WaitOptions::NOHANG),
        };
        let (pid, status) = match changed {
            Ok(Some(changed)) => changed,
            Ok(None) => return Ok(None),
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno).context("cannot wait for the child"),
        };
        if pid.as_raw_pid() == child.as_raw() {
            let signal = status.terminating_signal().map(|signal| 128 + signal);
            return Ok(status.exit_status().or(signal).map(|code| code as u8));
        }
    }
}

/// The child gets the stop that it cannot ignore. The shell outside watches us, not the child: it
/// sees a stopped job only if we stop too. Its `fg` continues us here, and we the child.
fn stop_both(child: Pid) -> nix::Result<()> {
    kill(child, Signal::SIGSTOP)?;
    raise(Signal::SIGSTOP)?;
    kill(child, Signal::SIGCONT)
}
