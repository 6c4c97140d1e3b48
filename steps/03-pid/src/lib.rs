//! Step 3, pid: a process that is number 1 of its own, and the parent that looks after it.
//! `Clone3` makes it together with its namespaces, the gate holds it back until the parent is
//! ready, `Child::wait` carries signals in and the exit code out.

mod child;
mod gate;
mod group;
mod guard;
mod init;
mod signals;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result};
use chroot::HintExt;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

pub use child::Child;
pub use gate::Gate;
pub use init::init;

use guard::Guard;
use signals::Signals;

/// See pid_namespaces(7).
pub const NAMESPACE: CloneFlags = CloneFlags::CLONE_NEWPID;

/// From clone3(2); libc's constant is an `int`, and this bit does not fit into one.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// Who is process 1.
#[derive(clap::Args)]
#[group(skip)]
pub struct Args {
    /// Put an init in front of the command that reaps orphans and forwards signals
    #[arg(long)]
    pub init: bool,
}

/// The arguments of one `clone3(2)`: which namespaces the new process gets, and where it starts.
#[derive(Default)]
pub struct Clone3<'a> {
    flags: u64,
    cgroup: Option<BorrowedFd<'a>>,
}

impl<'a> Clone3<'a> {
    /// The new process gets a new namespace of this kind; empty flags change nothing.
    pub fn namespace(&mut self, namespace: CloneFlags) {
        self.flags |= namespace.bits() as u64;
    }

    /// The new process starts in the cgroup (v2) whose directory `cgroup` is open on.
    pub fn into_cgroup(&mut self, cgroup: Option<BorrowedFd<'a>>) {
        self.cgroup = cgroup;
    }

    /// Makes the process. It runs `contain`, whose value becomes its exit code.
    ///
    /// All namespaces are made at once; if one cannot be had there is no process at all, and so
    /// never a container that shares more than it says.
    pub fn spawn(&self, contain: impl FnOnce(&Gate) -> Result<u8>) -> Result<Child> {
        let signals = Signals::hold()?;
        let (gate, release) = gate::pipe()?;
        let own_group = !group::is_for_us_alone();
        match self.clone3()? {
            None => {
                drop(release);
                let outcome = group::leave(own_group)
                    .and_then(|()| signals.restore())
                    .and_then(|()| contain(&gate));
                let code = outcome.unwrap_or_else(|error| chroot::report(&error));
                std::process::exit(code.into())
            }
            Some((pid, pidfd)) => {
                let mut child = Child::new(pid, release, signals);
                // A container with a cgroup is killed by the cgroup's keeper.
                if self.cgroup.is_none() {
                    child.guard(Guard::start(gate.as_fd(), pidfd)?);
                }
                Ok(child)
            }
        }
    }

    /// Makes the process: `None` in the new one; in the parent its process id, and a pidfd for it.
    ///
    /// One clone3(2), through syscall(2), with all of `flags`, and CLONE_PIDFD, which stores the
    /// pidfd where the field `pidfd` points. At its end the parent gets SIGCHLD (`exit_signal`).
    /// With a cgroup the process starts there: CLONE_INTO_CGROUP. EPERM and ENOSPC get a hint each.
    ///
    /// Exercise 3.1
    fn clone3(&self) -> Result<Option<(Pid, OwnedFd)>> {
        let mut pidfd: RawFd = -1;
        // SAFETY: zero is a valid value of every field.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = self.flags | libc::CLONE_PIDFD as u64;
        args.pidfd = &raw mut pidfd as u64;
        args.exit_signal = libc::SIGCHLD as u64;
        if let Some(cgroup) = self.cgroup {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = cgroup.as_raw_fd() as u64;
        }
        // SAFETY: without CLONE_VM this is fork(2): the child has a copy of all memory. This
        // process has one thread, so no lock can be left held in the copy.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &args, size_of_val(&args)) };
        let pid = Errno::result(pid)
            .context("cannot clone a process into new namespaces")
            .hint(Errno::EPERM, "it needs CAP_SYS_ADMIN: use sudo, or a step with user namespaces")
            .hint(Errno::ENOSPC, "a limit in /proc/sys/user/max_*_namespaces is reached")?;
        // SAFETY: in the parent the kernel has made this descriptor for us.
        Ok((pid != 0).then(|| (Pid::from_raw(pid as i32), unsafe { OwnedFd::from_raw_fd(pidfd) })))
    }
}
