//! Stops a program at each of its system calls, before and after, ptrace(2), so that a test can kill
//! it there or let the call fail. Only the one process is stopped; all others run free: `follow` is for
//! a program with all that it makes.

pub mod follow;

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::run::Running;

/// A process that stands still until it is told to go on.
pub struct Traced(Pid);

/// A system call that is about to be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    pub number: i64,
    pub arguments: [u64; 6],
}

/// Why it stands still, or that it has ended.
#[derive(Debug, PartialEq)]
pub enum Stop {
    /// Before or after a system call.
    Call,
    /// It has made a process, which stands still too.
    Fork(Pid),
    /// It has become another program.
    Exec,
    Ended,
}

impl Traced {
    /// Starts `command`, which stands still before the first call of its own.
    pub fn start(command: &mut Command) -> Result<(Running, Traced)> {
        // SAFETY: between fork and exec, one system call.
        unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
        let running = Running::start(command)?;
        let traced = Traced::at_exec(running.pid())?;
        Ok((running, traced))
    }

    /// The process that we have started, which has asked to be traced before its exec.
    pub fn at_exec(pid: i32) -> Result<Traced> {
        let traced = Traced(Pid::from_raw(pid));
        match wait(traced.0)? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            status => bail!("it does not stop at its exec: {status:?}"),
        }
        ptrace::setoptions(traced.0, Options::PTRACE_O_TRACESYSGOOD)?;
        Ok(traced)
    }

    /// Lets it run until it makes a process by `call`, then lets it go and gives that process.
    /// Others that it makes before run free.
    pub fn child(self, call: i64) -> Result<Traced> {
        let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEFORK;
        ptrace::setoptions(self.0, options)?;
        let mut last = 0;
        loop {
            match self.go_on()? {
                Stop::Call => last = self.call()?.map_or(last, |(number, _)| number),
                Stop::Exec => {}
                Stop::Ended => bail!("it ended without call {call}"),
                Stop::Fork(child) => {
                    let child = Traced(child);
                    wait(child.0)?;
                    if last == call {
                        let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC;
                        ptrace::setoptions(child.0, options)?;
                        self.let_go()?;
                        return Ok(child);
                    }
                    child.let_go()?;
                }
            }
        }
    }

    /// Lets it run to its next stop.
    pub fn go_on(&self) -> Result<Stop> {
        let mut signal = None;
        loop {
            match ptrace::syscall(self.0, signal) {
                Err(Errno::ESRCH) => {}
                done => done.context("cannot let a process go on")?,
            }
            signal = match wait(self.0)? {
                WaitStatus::PtraceSyscall(_) => return Ok(Stop::Call),
                WaitStatus::PtraceEvent(_, _, event)
                    if event == Event::PTRACE_EVENT_EXEC as i32 =>
                {
                    return Ok(Stop::Exec);
                }
                WaitStatus::PtraceEvent(..) => {
                    let child = ptrace::getevent(self.0).context("cannot ask for the child")?;
                    return Ok(Stop::Fork(Pid::from_raw(child as i32)));
                }
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ok(Stop::Ended),
                WaitStatus::Stopped(_, signal) => Some(signal),
                _ => None,
            };
        }
    }

    /// Lets it run to the stop `number` (from 1); false if it ends, or becomes another program, before that.
    pub fn go_to(&self, number: usize) -> Result<bool> {
        let mut at = 0;
        while at < number {
            match self.go_on()? {
                Stop::Call => at += 1,
                Stop::Fork(_) => {}
                Stop::Exec | Stop::Ended => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The system call that it is about to make: its number and first argument; `None` after one.
    pub fn call(&self) -> Result<Option<(i64, u64)>> {
        Ok(entry(self.0)?.map(|entry| (entry.number, entry.arguments[0])))
    }

    /// It stands before a call: this does not take place, and gives it `errno`. Linux on x86_64 keeps the
    /// number of the call and its result in registers that a tracer can write.
    #[cfg(target_arch = "x86_64")]
    pub fn fail(&self, errno: Errno) -> Result<()> {
        let mut registers = ptrace::getregs(self.0)?;
        registers.orig_rax = u64::MAX;
        ptrace::setregs(self.0, registers)?;
        if self.go_on()? == Stop::Call {
            let mut registers = ptrace::getregs(self.0)?;
            registers.rax = -i64::from(errno as i32) as u64;
            ptrace::setregs(self.0, registers)?;
        }
        Ok(())
    }

    /// Not written for this processor.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn fail(&self, errno: Errno) -> Result<()> {
        crate::stage::skip(&format!("cannot make a call give {errno} on this processor"))
    }

    /// It runs on, and is not stopped any more.
    pub fn let_go(self) -> Result<()> {
        match ptrace::detach(self.0, None) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno).context("cannot let a process go"),
        }
    }

    /// SIGKILL, where it stands.
    pub fn kill(&self) -> Result<()> {
        kill(self.0, Signal::SIGKILL).context("cannot kill a process")
    }

    pub fn pid(&self) -> Pid {
        self.0
    }
}

/// The system call that `pid` is about to make; `None` after one.
///
/// Before a call, x86_64 has ENOSYS for its result. PTRACE_GET_SYSCALL_INFO would say it plainly,
/// but User-Mode Linux does not have it.
#[cfg(target_arch = "x86_64")]
fn entry(pid: Pid) -> Result<Option<Entry>> {
    let it = ptrace::getregs(pid).context("cannot read the registers")?;
    let arguments = [it.rdi, it.rsi, it.rdx, it.r10, it.r8, it.r9];
    let before = it.rax == -i64::from(libc::ENOSYS) as u64;
    Ok(before.then_some(Entry { number: it.orig_rax as i64, arguments }))
}

/// The system call that `pid` is about to make; `None` after one.
#[cfg(not(target_arch = "x86_64"))]
fn entry(pid: Pid) -> Result<Option<Entry>> {
    let info = ptrace::syscall_info(pid).context("cannot ask for the system call")?;
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return Ok(None);
    }
    // SAFETY: `op` says that this is the member of the union that the kernel has filled.
    let call = unsafe { info.u.entry };
    Ok(Some(Entry { number: call.nr as i64, arguments: call.args }))
}

/// What the system call gave that `pid` has just made; an error is a negative errno.
#[cfg(target_arch = "x86_64")]
fn result(pid: Pid) -> Result<i64> {
    Ok(ptrace::getregs(pid).context("cannot read the registers")?.rax as i64)
}

/// What the system call gave that `pid` has just made; an error is a negative errno.
#[cfg(not(target_arch = "x86_64"))]
fn result(pid: Pid) -> Result<i64> {
    let info = ptrace::syscall_info(pid).context("cannot ask for the system call")?;
    // SAFETY: after a call, this is the member of the union that the kernel has filled.
    Ok(unsafe { info.u.exit.sval })
}

/// Also for processes that another one has made (__WALL).
fn wait(pid: Pid) -> Result<WaitStatus> {
    loop {
        match waitpid(pid, Some(WaitPidFlag::__WALL)) {
            Err(Errno::EINTR) => {}
            status => return status.context("cannot wait for a traced process"),
        }
    }
}
