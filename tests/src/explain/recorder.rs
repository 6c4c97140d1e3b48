//! Hears what a program does, and picks the failure that counts when a process gives up with 125,
//! 126 or 127: the last one with an errno that its own message names, or else the last one. So
//! neither a first attempt counts (a directory of PATH, a newer option) nor what fails while it
//! clears up.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;
use syscalls::Sysno;

use super::failed::{Contexts, Failed, FsContext};
use super::{Explanation, FILES, cgroup, exec, explanation, file, idmap, memory};
use crate::tracer::Entry;
use crate::tracer::follow::Event;

/// Calls whose failure is of interest whatever they are about.
const WATCHED: [&str; 32] = [
    "pivot_root",
    "chroot",
    "mount",
    "umount2",
    "move_mount",
    "open_tree",
    "mount_setattr",
    "fsopen",
    "fsconfig",
    "fsmount",
    "clone",
    "clone3",
    "unshare",
    "setns",
    "sethostname",
    "setdomainname",
    "execve",
    "execveat",
    "seccomp",
    "prctl",
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setgroups",
    "capset",
    "mknod",
    "mknodat",
    "chdir",
    "fchdir",
];

/// What a process has come to.
#[derive(Default)]
struct Story {
    failures: Vec<Failure>,
    /// The last words on stderr.
    said: String,
    /// It is another program than the one that we have started.
    executed: bool,
}

/// How little a failure needs to count.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Weight {
    /// A file is asked for: the program's message must name it, and the errno.
    File,
    /// A file of a cgroup is asked for: the message must name the errno.
    Question,
    /// That it happened last.
    Act,
}

/// One failure, and the program that was to be executed, if that is what failed.
struct Failure {
    errno: Errno,
    /// The path that it was about.
    path: String,
    weight: Weight,
    explanation: Explanation,
    program: Option<String>,
    /// A program that is not there: where PATH is tried, others say more.
    absent: bool,
}

/// See the file's head.
pub struct Recorder {
    stories: HashMap<Pid, Story>,
    contexts: Contexts,
    log: Option<File>,
    found: Option<Explanation>,
    /// Exit codes that are no failure of ours: the parent passes on its command's.
    passed_on: Vec<i32>,
}

impl Recorder {
    pub fn new() -> Recorder {
        Recorder {
            stories: HashMap::new(),
            contexts: Contexts::new(),
            log: kernel_log(),
            found: None,
            passed_on: Vec::new(),
        }
    }

    pub fn into_explanation(self) -> Option<Explanation> {
        self.found
    }

    pub fn hear(&mut self, event: Event) {
        match event {
            Event::Call { pid, entry, result } => self.call(pid, &entry, result),
            Event::Fork { pid, child } => {
                let executed = self.stories.get(&pid).is_some_and(|story| story.executed);
                self.stories.entry(child).or_default().executed = executed;
            }
            Event::Exec { pid } => {
                self.stories.insert(pid, Story { executed: true, ..Story::default() });
            }
            Event::Exit { pid, code } => self.exit(pid, code),
        }
    }

    fn call(&mut self, pid: Pid, entry: &Entry, result: i64) {
        let Some(call) = Sysno::new(entry.number as usize) else { return };
        if (-4095..0).contains(&result) {
            self.failure(pid, call, entry, Errno::from_raw(-result as i32));
        } else {
            self.success(pid, call, &entry.arguments, result);
        }
    }

    /// What later failures are about: filesystem contexts, and what is said on stderr.
    fn success(&mut self, pid: Pid, call: Sysno, arguments: &[u64; 6], result: i64) {
        let of = |index: usize| memory::string(pid, arguments[index]).unwrap_or_default();
        match call.name() {
            "fsopen" => {
                let context = FsContext { fstype: of(0), options: Vec::new() };
                self.contexts.insert((pid.as_raw(), result as i32), context);
            }
            "fsconfig" if arguments[2] != 0 => {
                let key = (pid.as_raw(), arguments[0] as i32);
                let value = if arguments[3] == 0 { String::new() } else { of(3) };
                self.contexts.entry(key).or_default().options.push((of(2), value));
            }
            "write" | "writev" if arguments[0] == 2 => {
                let text = spoken(pid, call, arguments);
                let said = &mut self.stories.entry(pid).or_default().said;
                said.push_str(&text);
            }
            _ => {}
        }
    }

    fn failure(&mut self, pid: Pid, call: Sysno, entry: &Entry, errno: Errno) {
        let name = call.name();
        if !WATCHED.contains(&name) && !FILES.contains(&name) {
            return;
        }
        let mut failed =
            Failed { pid, call, arguments: entry.arguments, errno, context: None, log: Vec::new() };
        let executed = self.stories.get(&pid).is_some_and(|story| story.executed);
        let Some(weight) = weight(&failed, executed) else { return };
        if ["fsconfig", "fsmount"].contains(&name) {
            failed.context = self.contexts.get(&(pid.as_raw(), failed.int(0))).cloned();
            failed.log = context_log(&failed);
        }
        failed.log.extend(self.log.as_mut().map(lines).unwrap_or_default());
        let failure = Failure {
            program: exec::program(&failed),
            absent: exec::is_absent(&failed),
            errno,
            path: file::path(&failed).unwrap_or_default(),
            weight,
            explanation: explanation(&failed),
        };
        let story = self.stories.entry(pid).or_default();
        let said_more = failure.absent
            && story.failures.last().is_some_and(|it| it.program == failure.program && !it.absent);
        if !said_more {
            story.failures.push(failure);
        }
    }

    /// Ours end with 1 or 101 (a panic) too, when they do not call the steps' `main`.
    fn exit(&mut self, pid: Pid, code: i32) {
        let Some(story) = self.stories.remove(&pid) else { return };
        let gave_up = (125..=127).contains(&code) || (!story.executed && [1, 101].contains(&code));
        if !gave_up || self.found.is_some() {
            return;
        }
        let passed_on = self.passed_on.contains(&code);
        let loader = exec::missing_library(code, &story.said);
        self.found = loader.or_else(|| story.counts(passed_on));
        if self.found.is_none() {
            self.passed_on.push(code);
        }
    }
}

impl Story {
    /// The failure that counts. `passed_on`: the exit code may be another's, so a message is
    /// needed.
    fn counts(mut self, passed_on: bool) -> Option<Explanation> {
        let said = &self.said;
        let named = |it: &Failure| names(said, it.errno);
        let told = |it: &Failure| named(it) && !it.path.is_empty() && said.contains(&it.path);
        let all = &self.failures;
        let which = all
            .iter()
            .rposition(told)
            .or_else(|| all.iter().rposition(|it| it.weight > Weight::File && named(it)))
            .or_else(|| all.iter().rposition(|it| it.weight == Weight::Act && !passed_on))?;
        Some(self.failures.swap_remove(which).explanation)
    }
}

/// Whether a message names the errno: as the steps do, `(EINVAL)`, or as Rust does, `(os error
/// 22)`.
fn names(said: &str, errno: Errno) -> bool {
    let mut words = said.split(|it: char| !it.is_alphanumeric());
    said.contains(&format!("(os error {})", errno as i32))
        || words.any(|word| word == format!("{errno:?}"))
}

/// How much a failure weighs; `None`: it is no more than a question that was answered with no.
fn weight(failed: &Failed, executed: bool) -> Option<Weight> {
    let again = [Errno::EINTR, Errno::EAGAIN];
    let name = failed.call.name();
    // Numbers above are the kernel's own: the call is made again after a signal.
    if again.contains(&failed.errno) || failed.errno as i32 > 511 {
        return None;
    }
    let opens = ["openat", "open"].contains(&name);
    let on_cgroup = FILES.contains(&name) && cgroup::concerns(failed);
    match name {
        "prctl" => (failed.int(0) == libc::PR_SET_SECCOMP).then_some(Weight::Act),
        "write" | "pwrite64" => (on_cgroup || idmap::is_map(failed)).then_some(Weight::Act),
        _ if opens && on_cgroup => Some(Weight::Question),
        _ if on_cgroup => Some(Weight::Act),
        _ if FILES.contains(&name) => (!executed).then_some(Weight::File),
        _ => Some(Weight::Act),
    }
}

/// What is written: one buffer, or several.
fn spoken(pid: Pid, call: Sysno, arguments: &[u64; 6]) -> String {
    let parts = match call.name() {
        "write" => vec![arguments[1], arguments[2]],
        _ => {
            memory::words(pid, arguments[1], 2 * arguments[2].min(64) as usize).unwrap_or_default()
        }
    };
    let part = |part: &[u64]| memory::bytes(pid, part[0], part[1].min(4096) as usize);
    let bytes = parts.chunks_exact(2).filter_map(|it| part(it).ok()).flatten().collect::<Vec<u8>>();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The kernel's log from now on, dmesg(1), where we may read it.
fn kernel_log() -> Option<File> {
    let mut options = OpenOptions::new();
    let mut log = options.read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg").ok()?;
    log.seek(SeekFrom::End(0)).ok()?;
    Some(log)
}

/// The log of a filesystem context, fsopen(2); pidfd_getfd(2) makes its descriptor ours.
fn context_log(failed: &Failed) -> Vec<String> {
    use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
    let context = || -> Option<OwnedFd> {
        let pidfd = pidfd_open(Pid::from_raw(failed.pid.as_raw())?, PidfdFlags::empty()).ok()?;
        let number = Some(failed.int(0)).filter(|number| *number >= 0)?;
        pidfd_getfd(pidfd, number, PidfdGetfdFlags::empty()).ok()
    };
    context().map(|context| lines(&mut File::from(context))).unwrap_or_default()
}

/// Each read gives one message, and an error when there is none: of the kernel's log it is
/// `numbers;text`, of a context's `e text`.
fn lines(log: &mut File) -> Vec<String> {
    let (mut all, mut buffer) = (Vec::new(), [0; 8192]);
    while let Ok(length @ 1..) = log.read(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]);
        let first = text.lines().next().unwrap_or_default();
        let text = first.split_once(';').map_or(first, |(_, text)| text);
        all.push(text.trim_start_matches("e ").trim().to_string());
    }
    all
}
