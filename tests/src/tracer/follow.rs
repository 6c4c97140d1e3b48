//! Follows a program through fork, clone and exec, with all that it makes: every system call is
//! told after it was made, while the process that made it stands still and can be looked at.

use std::collections::HashMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, geteuid};

use super::{Entry, entry, result};

/// What a process has done.
#[derive(Debug)]
pub enum Event {
    /// A system call, and what it gave: an error is a negative errno.
    Call { pid: Pid, entry: Entry, result: i64 },
    /// It has made another process, or a thread.
    Fork { pid: Pid, child: Pid },
    /// It has become another program.
    Exec { pid: Pid },
    /// It has ended by itself.
    Exit { pid: Pid, code: i32 },
}

/// What we know of a process.
#[derive(Default)]
struct Followed {
    /// The call that it is in.
    call: Option<Entry>,
    /// Its first SIGSTOP is only to tell that it is there.
    expected: bool,
}

/// Runs `command` to its end and tells `on` what it and its descendants do. Whoever is left then
/// runs on alone. `started` is told the process id.
///
/// Tracing is the calling thread's: its caller has no other children of this thread.
pub fn follow(
    command: &mut Command,
    started: impl FnOnce(Pid),
    on: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()> {
    // SAFETY: between fork and exec, one system call.
    unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
    let program = command.get_program().to_owned();
    let child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
    let first = Pid::from_raw(child.id() as i32);
    started(first);
    next(Some(first))?;
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK;
    ptrace::setoptions(first, options).context("cannot follow the program")?;
    go_on(first, None)?;
    let mut all = HashMap::from([(first, Followed::default())]);
    loop {
        let status = next(None)?;
        step(&mut all, status, on)?;
        if !all.contains_key(&first) {
            return Ok(());
        }
    }
}

/// One stop of one process: what it has done is told, and it goes on.
fn step(
    all: &mut HashMap<Pid, Followed>,
    status: WaitStatus,
    on: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()> {
    let Some(pid) = status.pid() else { return Ok(()) };
    let mut signal = None;
    match status {
        WaitStatus::Exited(_, code) => {
            all.remove(&pid);
            return on(Event::Exit { pid, code });
        }
        WaitStatus::Signaled(..) => {
            all.remove(&pid);
            return Ok(());
        }
        WaitStatus::PtraceSyscall(_) if !call(all.entry(pid).or_default(), pid, on)? => {
            all.remove(&pid);
            return Ok(());
        }
        WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => on(Event::Exec { pid })?,
        WaitStatus::PtraceEvent(..) => fork(all, pid, on)?,
        // The child may be there before its parent tells of it.
        WaitStatus::Stopped(_, Signal::SIGSTOP) if !all.contains_key(&pid) => {
            all.insert(pid, Followed::default());
        }
        WaitStatus::Stopped(_, Signal::SIGSTOP) if all[&pid].expected => {
            all.entry(pid).or_default().expected = false;
        }
        WaitStatus::Stopped(_, other) => signal = Some(other),
        _ => {}
    }
    go_on(pid, signal)
}

/// It has made a process, or a thread, which we know by now or will soon.
fn fork(
    all: &mut HashMap<Pid, Followed>,
    pid: Pid,
    on: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()> {
    // Killed where it stood, it does not say.
    let Ok(child) = ptrace::getevent(pid) else { return Ok(()) };
    let child = Pid::from_raw(child as i32);
    all.entry(child).or_insert(Followed { call: None, expected: true });
    on(Event::Fork { pid, child })
}

/// It stands before or after a system call. False: it was let go.
fn call(it: &mut Followed, pid: Pid, on: &mut dyn FnMut(Event) -> Result<()>) -> Result<bool> {
    match it.call.take() {
        None => {
            // One that was killed where it stood has no registers any more.
            it.call = entry(pid).unwrap_or(None);
            let gains = it.call.is_some_and(|call| gains_rights(pid, &call));
            if gains {
                // The kernel gives a traced program no rights by its set-user-ID bit.
                let _ = ptrace::detach(pid, None);
            }
            Ok(!gains)
        }
        Some(entry) => {
            if let Ok(result) = result(pid) {
                on(Event::Call { pid, entry, result })?;
            }
            Ok(true)
        }
    }
}

/// Whether the call executes a set-user-ID program (newuidmap) whose rights tracing would take.
fn gains_rights(pid: Pid, call: &Entry) -> bool {
    use std::os::unix::fs::MetadataExt;
    if call.number != libc::SYS_execve || geteuid().is_root() {
        return false;
    }
    let Ok(path) = crate::explain::memory::string(pid, call.arguments[0]) else { return false };
    // In a root directory of its own there is no set-user-ID program that would work for us.
    let file = fs::metadata(path);
    file.is_ok_and(|file| file.mode() & (libc::S_ISUID | libc::S_ISGID) != 0)
}

fn go_on(pid: Pid, signal: Option<Signal>) -> Result<()> {
    match ptrace::syscall(pid, signal) {
        // It was killed while it stood still.
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno).context("cannot let a process go on"),
    }
}

/// The next stop of one process or of any; only of those that this thread traces (__WNOTHREAD).
fn next(pid: Option<Pid>) -> Result<WaitStatus> {
    let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    loop {
        match waitpid(pid, Some(flags)) {
            Err(Errno::EINTR) => {}
            status => return status.context("cannot wait for a traced process"),
        }
    }
}
