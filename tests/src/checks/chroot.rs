//! Step 1: one directory is the whole file tree, and nothing of the host comes along.

use std::fs::{self, File};

use anyhow::{Context as _, Result, ensure};
use nix::fcntl::{FcntlArg, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{SigHandler, Signal, signal};

use super::scene::{detach_below, text};
use super::{Check, Context, Run, expect};
use crate::process::Directory;
use crate::steps::LAST_WITH_ROOT;

const STEP: Check = Check { step: 1, ..Check::DEFAULT };

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "root-is-the-directory",
        asks: "Is /proc/PID/root the very directory ROOT, by device and inode?",
        look_at: "chroot::enter; chroot(2)",
        exercise: "1.1",
        until: 7, // then an overlay of it
        run: root_is_the_directory,
        ..STEP
    },
    Check {
        name: "files-are-the-roots",
        asks: "Does / hold the names that ROOT holds, and no other?",
        look_at: "chroot::enter; chroot(2)",
        exercise: "1.1",
        run: files_are_the_roots,
        ..STEP
    },
    Check {
        name: "working-directory-is-inside",
        asks: "Is the command's working directory / in the root, so that `..` leads nowhere else?",
        look_at: "chroot::enter; chroot(2), getcwd(2)",
        exercise: "1.1",
        run: working_directory_is_inside,
        ..STEP
    },
    Check {
        name: "workdir-flag",
        asks: "Does the command start in the directory of -w, and not at all if there is none, or if it is outside?",
        look_at: "exec.rs: enter_workdir; chdir(2), getcwd(2)",
        exercise: "1.3",
        until: LAST_WITH_ROOT, // then it is made, as Docker does
        run: workdir_flag,
        ..STEP
    },
    Check {
        name: "no-descriptor-above-2",
        asks: "Are 0, 1 and 2 all the descriptors that the command has, whatever was left open outside?",
        look_at: "exec.rs: close_descriptors; close_range(2)",
        exercise: "1.2",
        run: no_descriptor_above_2,
        ..STEP
    },
    Check {
        name: "environment-is-exact",
        asks: "Does the command get PATH, HOME and TERM, and nothing else of the host's environment?",
        look_at: "exec.rs: environment; environ(7)",
        exercise: "1.4",
        run: environment_is_exact,
        ..STEP
    },
    Check {
        name: "environment-flag",
        asks: "Does -e set, replace and pass on variables?",
        look_at: "exec.rs: environment, assignment; environ(7)",
        exercise: "1.4",
        run: environment_flag,
        ..STEP
    },
    Check {
        name: "found-on-the-path-inside",
        asks: "Is a bare name looked for on the PATH in the root, and not on the host's?",
        look_at: "exec.rs: execute, candidates; execve(2)",
        exercise: "1.5",
        run: found_on_the_path_inside,
        ..STEP
    },
    Check {
        name: "arguments-as-given",
        asks: "Does the command get its arguments as they were given, spaces and dashes included?",
        look_at: "exec.rs: execute; execve(2)",
        exercise: "1.5",
        before: Some("a command without a container gets its arguments as well"),
        run: arguments_as_given,
        ..STEP
    },
    Check {
        name: "exit-codes",
        asks: "Is the exit code the command's own, 125 without a container, 126 if it cannot be executed, 127 if it is not found?",
        look_at: "exec.rs: execute, outcome.rs: CommandError; execve(2)",
        exercise: "1.5",
        run: exit_codes,
        ..STEP
    },
    Check {
        name: "error-names-act-object-and-reason",
        asks: "Is an error one line with the act, the object, the kernel's words and the error's name? And is there none if all is well?",
        look_at: "chroot::enter: the context of the error, chroot::report; errno(3)",
        exercise: "1.1",
        until: LAST_WITH_ROOT, // then the image is looked up first
        run: error_names_act_object_and_reason,
        ..STEP
    },
    Check {
        name: "signals-are-as-new",
        asks: "Does the command start with no signal blocked or ignored?",
        look_at: "chroot::exec in main.rs, exec.rs: default_sigpipe; signal(7), execve(2)",
        exercise: "1",
        run: signals_are_as_new,
        ..STEP
    },
];

fn root_is_the_directory(context: &Context) -> Result<()> {
    let container = context.start(&[])?;
    let process = container.process()?;
    let found = process.root.get().context("/proc/PID/root cannot be read")?;
    let wanted = Directory::read(&context.scene.root(), String::new())?;
    ensure!(found.is(&wanted), "the root is {found:?}, not {wanted:?}");
    Ok(())
}

fn files_are_the_roots(context: &Context) -> Result<()> {
    let ended = context.container().run(&["ls /", "read /etc/marker", "ls /../.."])?;
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(context.scene.root())? {
        names.push(text(entry?.file_name()));
    }
    names.sort();
    let wanted = format!("ok {}", names.join(" "));
    expect("the names in /", ended.answer(0)?, &wanted)?;
    expect("the file /etc/marker", ended.answer(1)?, r#"ok "of the root directory\n""#)?;
    expect("the names in /../..", ended.answer(2)?, &wanted)
}

fn working_directory_is_inside(context: &Context) -> Result<()> {
    // From a directory outside and one inside: the first is where chroot(2) alone would leave us.
    for from in ["/".into(), context.scene.root().join("etc")] {
        let container = context.container().current_dir(from).start(&["probe"])?;
        let cwd = container.probe(0)?.cwd;
        expect(
            "the working directory",
            cwd.get().context("/proc/PID/cwd is not below its root")?,
            &"/".to_string(),
        )?;
        let process = container.process()?;
        let (cwd, root) =
            (process.cwd.get().context("no cwd")?, process.root.get().context("no root")?);
        ensure!(cwd.is(root), "the working directory {cwd:?} is not the root {root:?}");
    }
    Ok(())
}

fn workdir_flag(context: &Context) -> Result<()> {
    let ended = context.container().option("-w", "/usr/local").run(&["ls ."])?;
    expect("the names in the directory of -w", ended.answer(0)?, "ok bin")?;
    // A relative one begins in the root: who has not gone there is outside of it still.
    let ended = context.container().option("-w", "usr/local").run(&["ls ."])?;
    expect("the names in the relative directory of -w", ended.answer(0)?, "ok bin")?;
    let ended = context.container().option("-w", "/no/such").run(&["ls ."])?;
    ended.expect_code(125)?;
    workdir_outside(context).context("-w leads outside by a descriptor that somebody left open")
}

/// The way of CVE-2024-21626: the directory is the host's, and its name one of the container's /proc.
fn workdir_outside(context: &Context) -> Result<()> {
    const LEFT_OPEN: i32 = 700;
    let own = context.scene.own_root()?;
    let mut run = leak(context.container().root(&own.path), LEFT_OPEN)?;
    // From step 4 on there is a /proc in every container.
    if context.step < 4 {
        let proc = own.path.join("proc");
        let no_flags = MsFlags::empty();
        run = run.first(move || Ok(mount(Some("proc"), &proc, Some("proc"), no_flags, NOTHING)?));
    }
    let ended = run.option("-w", format!("/proc/self/fd/{LEFT_OPEN}")).run(&["ls ."]);
    detach_below(&own.path)?;
    ended?.expect_code(125)
}

const NOTHING: Option<&str> = None;

/// Lets the descriptor of a directory of the host fall into the container's hands.
pub(super) fn leak(run: Run, lowest: i32) -> Result<Run> {
    let outside = File::open("/")?;
    Ok(run.first(move || {
        // A duplicate stays open across execve(2).
        fcntl(&outside, FcntlArg::F_DUPFD(lowest))?;
        Ok(())
    }))
}

fn no_descriptor_above_2(context: &Context) -> Result<()> {
    let run = leak(leak(leak(context.container(), 3)?, 90)?, 900)?;
    let container = run.start(&["probe"])?;
    let numbers =
        |all: &[crate::process::Descriptor]| all.iter().map(|one| one.number).collect::<Vec<_>>();
    expect(
        "descriptors, seen from inside",
        &numbers(&container.probe(0)?.descriptors),
        &vec![0, 1, 2],
    )?;
    let process = container.process()?;
    let outside = process.descriptors.get().context("/proc/PID/fd cannot be read")?;
    expect("descriptors in /proc/PID/fd", &numbers(outside), &vec![0, 1, 2])
}

fn environment(run: Run) -> Result<Vec<String>> {
    let container = run.start(&[])?;
    let process = container.process()?;
    let mut all = process.environment.get().context("/proc/PID/environ cannot be read")?.clone();
    all.sort();
    Ok(all)
}

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn environment_is_exact(context: &Context) -> Result<()> {
    let run = context
        .container()
        .env("SECRET", "of the host")
        .env("TERM", "vt220")
        .env("HOME", "/home/me");
    expect("the environment", &environment(run)?, &owned(&["HOME=/root", PATH, "TERM=vt220"]))
}

fn environment_flag(context: &Context) -> Result<()> {
    let run = context.container().env("GIVEN", "outside").env("TERM", "dumb");
    let run =
        run.option("-e", "A=1").option("-e", "A=2=3").option("-e", "HOME=/").option("-e", "GIVEN");
    let run = run.option("-e", "ABSENT").option("-e", "EMPTY=");
    let wanted = owned(&["A=2=3", "EMPTY=", "GIVEN=outside", "HOME=/", PATH, "TERM=dumb"]);
    expect("the environment", &environment(run)?, &wanted)
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| line.to_string()).collect()
}

fn found_on_the_path_inside(context: &Context) -> Result<()> {
    context.container().command(&["performer", "exit 3"])?.expect_code(3)?;
    let run = context.container().option("-e", "PATH=/nowhere:/bin");
    run.command(&["act", "exit 4"])?.expect_code(4)?;
    // On the host's PATH there is one; in the root there is none.
    let own = context.scene.own_root()?;
    let outside = own.directory("outside")?;
    fs::hard_link(own.path.join("bin/act"), outside.join("only-outside"))?;
    let run = context.container().root(&own.path).env("PATH", &text(&outside));
    run.command(&["only-outside", "exit 5"])?.expect_code(127)
}

fn arguments_as_given(context: &Context) -> Result<()> {
    let given = ["two words", "", "--help", "-w", "/", "--", "\u{e9}\n"];
    let container = context.start(&given)?;
    let process = container.process()?;
    let found = process.command.get().context("/proc/PID/cmdline cannot be read")?;
    expect("the arguments", &found[1..found.len() - 1], &owned(&given)[..])
}

fn exit_codes(context: &Context) -> Result<()> {
    for code in [0, 7, 255] {
        context.container().run(&[&format!("exit {code}")])?.expect_code(code)?;
    }
    context.container().command(&["/no/such/program"])?.expect_code(127)?;
    context.container().command(&["nosuchprogram"])?.expect_code(127)?;
    context.container().command(&["/etc/marker"])?.expect_code(126)?;
    context.container().command(&["/etc"])?.expect_code(126)?;
    context.container().root("/no/such/root").run(&[])?.expect_code(125)?;
    context.container().root(context.scene.root().join("etc/marker")).run(&[])?.expect_code(125)
}

fn error_names_act_object_and_reason(context: &Context) -> Result<()> {
    let ended = context.container().root("/no/such/root").run(&[])?;
    let line = ended.stderr.lines().next().unwrap_or_default();
    let complete = line.starts_with("error: cannot ")
        && line.contains("/no/such/root")
        && line.ends_with("No such file or directory (ENOENT)");
    ensure!(complete, "the error is {line:?}");
    let more: Vec<&str> = ended.stderr.lines().skip(1).collect();
    ensure!(more.iter().all(|line| line.starts_with("hint: ")), "more lines follow: {more:?}");
    let ended = context.container().run(&["exit 0"])?;
    expect("the errors of a command that runs", &*ended.stderr, "")?;
    ended.expect_code(0)
}

/// Signals that our own caller ignores (nohup(1) does that) are ignored inside as well.
fn signals_are_as_new(context: &Context) -> Result<()> {
    let ignore = || {
        // SAFETY: no handler of ours is involved.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) }.map(drop).map_err(Into::into)
    };
    let container = context.container().first(ignore).start(&[])?;
    let found = signal_sets(&format!("/proc/{}/status", container.command()?))?;
    let (_, ours) = signal_sets("/proc/self/status")?;
    let sigpipe = 1 << (libc::SIGPIPE - 1);
    // 32 and 33 are the C library's own: its posix_spawn(3) leaves them ignored.
    let known = !(0b11 << 31);
    let (blocked, ignored) = (found.0, found.1 & known);
    let wanted = (0, ours & !sigpipe & known);
    expect("the signals that are blocked and ignored", &(blocked, ignored), &wanted)
}

/// SigBlk and SigIgn: bit n-1 is signal n, proc_pid_status(5).
fn signal_sets(file: &str) -> Result<(u64, u64)> {
    let status = fs::read_to_string(file)?;
    let set = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        u64::from_str_radix(line.context("no signals in status")?.trim(), 16)
            .context("no signal set")
    };
    Ok((set("SigBlk:")?, set("SigIgn:")?))
}
