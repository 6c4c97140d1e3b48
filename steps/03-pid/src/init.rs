//! Process 1's duties, done by us: orphans are its children and it must reap them, signals
//! must reach the command, and when process 1 ends the kernel kills all the others.

use anyhow::{Context, Result};
use nix::sys::prctl;
use nix::unistd::{ForkResult, fork};

use crate::Args;
use crate::signals::{Children, Signals};

/// With `--init`, returns in a new process that becomes the command; this one stays process 1.
///
/// Exercise 3.3
pub fn init(args: &Args) -> Result<()> {
    if !args.init {
        return Ok(());
    }
    // Through /proc/1/exe and /proc/1/fd the command could reach our program and our files;
    // the kernel refuses that for a process that is not dumpable, proc_pid_exe(5).
    prctl::set_dumpable(false).context("cannot make init undumpable")?;
    let signals = Signals::hold()?;
    // SAFETY: this process has one thread, so the child may do whatever it could do.
    match unsafe { fork() }.context("cannot fork the command from init")? {
        ForkResult::Child => signals.restore(),
        ForkResult::Parent { child } => {
            let code = signals.supervise(child, Children::Orphans);
            let code = code.unwrap_or_else(|error| chroot::report(&error));
            std::process::exit(code.into())
        }
    }
}
