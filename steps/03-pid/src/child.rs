//! The parent's side of the child: let it go, look after it, and leave nothing of it behind.

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::gate::Release;
use crate::guard::Guard;
use crate::signals::{Children, Signals};

/// A process that waits at the gate or runs. Dropped before it ended, it is killed.
pub struct Child {
    pid: Pid,
    /// Open as long as we live: its end tells the child and the guard that we are gone.
    release: Option<Release>,
    guard: Option<Guard>,
    signals: Signals,
    ended: bool,
}

impl Child {
    pub(crate) fn new(pid: Pid, release: Release, signals: Signals) -> Child {
        Child { pid, release: Some(release), guard: None, signals, ended: false }
    }

    pub(crate) fn guard(&mut self, guard: Guard) {
        self.guard = Some(guard);
    }

    /// The process id that the host knows it by.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Opens the gate: all that the parent does for the container is done.
    pub fn release(&mut self) -> Result<()> {
        self.release.as_mut().map_or(Ok(()), Release::open)
    }

    /// A SIGTERM that comes for the child reaches it as `signal`: not every program ends well by SIGTERM.
    pub fn stop_with(&mut self, signal: Signal) {
        self.signals.stop = signal;
    }

    /// Forwards signals until the child has ended; gives its exit code, or 128+n for signal n.
    pub fn wait(&mut self) -> Result<u8> {
        let code = self.signals.supervise(self.pid, Children::Only);
        // If we cannot look after it, it ends here, before what it stands on is taken away.
        self.ended = code.is_ok();
        self.end();
        code
    }

    /// Process 1 takes its whole pid namespace with it, pid_namespaces(7).
    fn end(&mut self) {
        if !self.ended {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
            self.ended = true;
        }
        self.release = None;
        if let Some(guard) = self.guard.take() {
            guard.end();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}
