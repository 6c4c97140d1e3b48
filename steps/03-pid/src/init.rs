//! Process 1's duties, done by us: orphans are its children and it must reap them, signals
//! must reach the command, and when process 1 ends the kernel kills all the others.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{ForkResult, fork};

use crate::Args;
use crate::signals::{Children, Signals};

/// With `--init`, returns in a new process that becomes the command; this one stays process 1.
pub fn init(args: &Args) -> Result<()> {
    match args.init {
        true => stay_behind(),
        false => Ok(()),
    }
}

/// Stays process 1, and returns in a new process, fork(2), that becomes the command.
///
/// First this process is made not dumpable, PR_SET_DUMPABLE(2const), and signals are held, so that
/// none is lost. The new process restores the signals. This one closes its descriptors, supervises
/// the command and all orphans, and exits with the code that this gives; an error is reported.
///
/// Exercise 3.4
fn stay_behind() -> Result<()> {
    // Through /proc/1/exe the command could reach our program. The kernel refuses that for a
    // process that is not dumpable, but to the host's own root (before step 6), ptrace(2).
    prctl::set_dumpable(false).context("cannot make init undumpable")?;
    let signals = Signals::hold()?;
    // SAFETY: this process has one thread, so the child may do whatever it could do.
    match unsafe { fork() }.context("cannot fork the command from init")? {
        ForkResult::Child => signals.restore(),
        ForkResult::Parent { child } => {
            close_descriptors()?;
            let code = signals.supervise(child, Children::Orphans);
            let code = code.unwrap_or_else(|error| chroot::report(&error));
            std::process::exit(code.into())
        }
    }
}

/// What /proc/1/fd would show. Only exit(2) ends this process, so nothing closes them again.
fn close_descriptors() -> Result<()> {
    // SAFETY: no descriptor above 2 is used from here on but those that are opened later.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    Errno::result(closed).context("cannot close init's descriptors")?;
    Ok(())
}
