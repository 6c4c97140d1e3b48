//! Why a system call failed: a man page gives several reasons for one errno, and here it is said
//! which of them holds. The program is followed, and at each failure the process is looked at where
//! it stands: its mounts, root, namespaces, maps and capabilities, not its words.
//! What was not found out is said to be open.

mod cgroup;
mod exec;
mod failed;
mod file;
mod identity;
mod idmap;
pub mod memory;
mod mount;
mod mount_new;
mod namespace;
mod overlay;
mod pivot;
mod place;
mod recorder;
mod rights;
mod seccomp;
mod show;

use std::fmt;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::tracer::follow::follow;
use failed::Failed;
use recorder::Recorder;

/// Why a system call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The call as strace(1) writes it: `pivot_root(".", ".")`.
    pub call: String,
    /// `EINVAL`
    pub errno: String,
    /// Which of the man page's reasons holds here, and what was looked at.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
    /// `pivot_root(2)`
    pub page: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{} failed: {}", self.call, self.errno)?;
        writeln!(f, "  why: {}", self.reason)?;
        if !self.fix.is_empty() {
            writeln!(f, "  fix: {}", self.fix)?;
        }
        write!(f, "  see: {}", self.page)
    }
}

/// A reason that holds, and what to do about it.
struct Found {
    reason: String,
    fix: String,
}

/// What a look at one reason gave: it holds, it does not, or (an error) it cannot be seen.
type Look = Result<Option<Found>>;

/// A reason as the man page has it, and how to find out whether it holds.
type Cause = (&'static str, fn(&Failed) -> Look);

fn found(reason: impl Into<String>, fix: impl Into<String>) -> Look {
    Ok(Some(Found { reason: reason.into(), fix: fix.into() }))
}

/// Whoever takes longer hangs, and is killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the command under ptrace, following its children, and explains the system call whose
/// failure ended it. `None`: none failed that matters.
pub fn explain(command: &mut Command) -> Result<Option<Explanation>> {
    explain_within(command, PATIENCE)
}

/// The same, with as much time as `patience` gives it.
pub fn explain_within(command: &mut Command, patience: Duration) -> Result<Option<Explanation>> {
    let (sender, started) = mpsc::channel();
    thread::scope(|scope| {
        // A thread of its own: it waits for its own children and for nobody else's.
        let tracer = scope.spawn(move || {
            let mut recorder = Recorder::new();
            let start = |pid: nix::unistd::Pid| {
                // Whoever is to be told may have gone already.
                let _ = sender.send(pid.as_raw());
            };
            follow(command, start, &mut |event| {
                recorder.hear(event);
                Ok(())
            })?;
            Ok(recorder.into_explanation())
        });
        if let Ok(pid) = started.recv() {
            guard(pid, patience)?;
        }
        tracer.join().map_err(|_| anyhow!("the tracer panicked"))?
    })
}

/// Kills the program when its time is over.
fn guard(pid: i32, patience: Duration) -> Result<()> {
    let pid = Pid::from_raw(pid).context("no process id")?;
    // It has ended already: nobody is to be killed.
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    if !crate::run::ends_within(&pidfd, patience)? {
        pidfd_send_signal(&pidfd, Signal::KILL).context("cannot end a program that hangs")?;
    }
    Ok(())
}

/// Explains one failure.
fn explanation(failed: &Failed) -> Explanation {
    let causes = causes(failed);
    let (mut out, mut open) = (Vec::new(), Vec::new());
    let (call, page) = (show::call(failed), page(failed));
    let errno = format!("{:?}", failed.errno);
    for (candidate, look) in causes {
        match look(failed) {
            Ok(Some(Found { reason, fix })) => {
                return Explanation { call, errno, reason, fix, page };
            }
            Ok(None) => out.push(candidate),
            Err(error) => open.push(format!("{candidate} ({error:#})")),
        }
    }
    let (reason, fix) = match memory::open(failed.pid) {
        Ok(_) => (
            unknown(failed, &page, &out, &open),
            format!("read ERRORS of {page} with this in mind"),
        ),
        Err(error) => hidden(&error),
    };
    Explanation { call, errno, reason, fix, page }
}

/// What the arguments point to cannot be seen.
fn hidden(error: &anyhow::Error) -> (String, String) {
    let reason = format!(
        "what it was called with cannot be seen ({error:#}): a process that has become another \
         user is not dumpable, and its memory is for root alone to read, ptrace(2)"
    );
    (reason, "explain the same as root, or without another user".into())
}

/// Nothing holds that could be looked at: what is left, and what is not.
fn unknown(failed: &Failed, page: &str, out: &[&str], open: &[String]) -> String {
    let errno = crate::answer::describe(failed.errno);
    let mut text = format!("which of the reasons for {errno} in {page} holds was not found out.");
    if !open.is_empty() {
        text += &format!(" Still open: {}.", open.join("; "));
    }
    if !out.is_empty() {
        text += &format!(" Ruled out: {}.", out.join("; "));
    }
    if let Some(line) = failed.log.last() {
        text += &format!(" The kernel's log says: {line}");
    }
    text
}

/// All reasons that we know for the failure, in the kernel's order.
fn causes(failed: &Failed) -> Vec<Cause> {
    match failed.call.name() {
        "pivot_root" => pivot::causes(failed.errno),
        "mount" | "umount2" | "move_mount" | "open_tree" | "mount_setattr" => mount::causes(failed),
        "fsopen" | "fsconfig" | "fsmount" => mount_new::causes(failed),
        "clone" | "clone3" | "unshare" | "setns" => namespace::causes(failed),
        "execve" | "execveat" => exec::causes(failed.errno),
        "seccomp" | "prctl" => seccomp::causes(failed.errno),
        "write" | "pwrite64" if idmap::is_map(failed) => idmap::causes(failed),
        name if FILES.contains(&name) && cgroup::concerns(failed) => cgroup::causes(failed),
        name if FILES.contains(&name) => file::causes(failed.errno),
        _ => identity::causes(failed),
    }
}

/// Calls about files: they matter where they change a cgroup or the map of a user namespace, or
/// where the program itself says so.
const FILES: [&str; 9] =
    ["write", "pwrite64", "openat", "open", "mkdir", "mkdirat", "rmdir", "unlinkat", "creat"];

/// The man page that tells the reasons.
fn page(failed: &Failed) -> String {
    match failed.call.name() {
        "umount2" => "umount(2)".into(),
        "clone3" => "clone(2)".into(),
        "write" | "pwrite64" if idmap::is_map(failed) => "user_namespaces(7)".into(),
        name if FILES.contains(&name) && cgroup::concerns(failed) => "cgroups(7)".into(),
        "openat" => "open(2)".into(),
        "mkdirat" => "mkdir(2)".into(),
        "mknodat" => "mknod(2)".into(),
        "prctl" => "seccomp(2)".into(),
        "setresuid" | "setresgid" | "setuid" | "setgid" | "setgroups" => {
            format!("{}(2), user_namespaces(7)", failed.call.name())
        }
        "execveat" => "execve(2)".into(),
        name => format!("{name}(2)"),
    }
}
