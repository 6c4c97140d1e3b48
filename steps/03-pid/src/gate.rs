//! The gate: a pipe that holds the child back until the parent has done its part, and that
//! tells the child when there is no parent any more.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd;

/// The child's end.
pub struct Gate(File);

/// The parent's end. It stays open as long as the parent lives.
pub struct Release(File);

/// A new gate and what opens it.
pub fn pipe() -> Result<(Gate, Release)> {
    let (read, write): (OwnedFd, OwnedFd) =
        unistd::pipe2(OFlag::O_CLOEXEC).context("cannot make the gate pipe")?;
    Ok((Gate(read.into()), Release(write.into())))
}

impl Release {
    /// Lets the child through.
    pub fn open(&mut self) -> Result<()> {
        self.0.write_all(b"!").context("cannot release the child")
    }
}

impl AsFd for Gate {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Gate {
    /// Blocks until the parent has opened the gate. From its first moment the child dies with the
    /// parent: that is armed before it blocks.
    ///
    /// read(2) gives one byte when the gate is opened. It gives 0, the end of the pipe, when the
    /// parent is gone, pipe(7): then the child must not run, so it is an error.
    ///
    /// Exercise 3.2
    pub fn wait(&self) -> Result<()> {
        self.die_with_parent()?;
        match (&self.0).read(&mut [0]).context("cannot read the gate")? {
            0 => bail!("the parent ended before the container was ready"),
            _ => Ok(()),
        }
    }

    /// Asks the kernel to kill this process (SIGKILL) when its parent dies,
    /// PR_SET_PDEATHSIG(2const).
    ///
    /// A parent that died before that left no signal behind, but its end of the pipe is closed:
    /// poll(2), which need not wait, says POLLHUP, and that is an error.
    /// A change of user or group ids disarms the signal: call this again after one.
    ///
    /// Exercise 3.3
    pub fn die_with_parent(&self) -> Result<()> {
        prctl::set_pdeathsig(Signal::SIGKILL).context("cannot arm the parent-death signal")?;
        let mut gate = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
        poll(&mut gate, PollTimeout::ZERO).context("cannot poll the gate")?;
        match gate[0].revents() {
            Some(events) if events.contains(PollFlags::POLLHUP) => bail!("the parent is gone"),
            _ => Ok(()),
        }
    }
}
