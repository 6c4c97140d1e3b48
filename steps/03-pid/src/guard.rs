//! The guard: a small process that outlives the parent just long enough to kill the container.
//! The parent-death signal alone is not enough: the command loses it when it changes its user,
//! and may clear it, PR_SET_PDEATHSIG(2const).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, setpgid};
use rustix::process::pidfd_send_signal;

/// The parent's handle on its guard.
pub struct Guard(Pid);

impl Guard {
    /// Starts a guard that kills the process of `pidfd` when nobody holds the other end of the
    /// pipe `gate` any more: that end is the parent's alone.
    pub fn start(gate: BorrowedFd, pidfd: OwnedFd) -> Result<Guard> {
        // What is blocked at fork(2) stays blocked in the child: only SIGKILL ends a guard early.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        // SAFETY: this process has one thread, so the child may do whatever it could do.
        let guard = match unsafe { fork() }.context("cannot fork the guard")? {
            ForkResult::Child => watch(gate, pidfd.as_fd()),
            ForkResult::Parent { child } => Guard(child),
        };
        before.thread_set_mask()?;
        Ok(guard)
    }

    /// Ends it: the container has ended.
    pub fn end(&self) {
        let _ = kill(self.0, Signal::SIGKILL);
        while waitpid(self.0, None) == Err(Errno::EINTR) {}
    }
}

fn watch(gate: BorrowedFd, pidfd: BorrowedFd) -> ! {
    let _ = prctl::set_name(c"container-guard");
    let ourselves = Pid::from_raw(0);
    let _ = setpgid(ourselves, ourselves);
    hold_only(gate, pidfd);
    let mut gate = [PollFd::new(gate, PollFlags::empty())];
    while poll(&mut gate, PollTimeout::NONE) == Err(Errno::EINTR) {}
    let _ = pidfd_send_signal(pidfd, rustix::process::Signal::KILL);
    // SAFETY: ends the process without running what the parent has left to run at its exit.
    unsafe { libc::_exit(0) }
}

/// Closes all other descriptors, 0, 1 and 2 too: nobody is to wait for a pipe's end because of us.
fn hold_only(one: BorrowedFd, other: BorrowedFd) {
    let low = one.as_raw_fd().min(other.as_raw_fd()) as libc::c_uint;
    let high = one.as_raw_fd().max(other.as_raw_fd()) as libc::c_uint;
    for (first, last) in [(0, low - 1), (low + 1, high - 1), (high + 1, libc::c_uint::MAX)] {
        if first <= last {
            // SAFETY: of the descriptors that this closes none is used here any more.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    }
}
