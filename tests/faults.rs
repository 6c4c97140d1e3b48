//! Whatever happens to a step, and whenever: killed before and after each of its system calls, its
//! child killed likewise, or a call that fails. Nothing stays behind; there is one line of error, or
//! the container is exactly what it always is.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use evidence::run::{Outcome, Running, run};
use evidence::stage::{self, Stage, Test};
use evidence::tracer::{Stop, Traced};
use nix::errno::Errno;
use nix::libc;
use nix::unistd::geteuid;

const TESTS: &[Test] = &[
    ("SIGKILL of the parent at every system call", parent_killed),
    ("SIGKILL of the parent while the command runs", parent_killed_late),
    ("SIGKILL of the child at every system call", child_killed),
    ("a system call of the parent fails", parent_fails),
    ("a system call of the child fails", child_fails),
];

/// The last step's parent is stopped at every call, its child at so many, evenly spread, and the other
/// steps at fewer.
const SPREAD_OF_CHILD: usize = 160;
const SPREAD: usize = 20;

fn main() -> ExitCode {
    stage::main(TESTS)
}

/// The steps that have a parent and a child, with all flags that have something to clear away.
fn steps(stage: &Stage) -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let root = geteuid().is_root();
    let known = stage.steps().iter().filter(|step| !["chroot", "uts"].contains(step));
    known.map(move |&step| {
        let at = stage::ROOT_STEPS.iter().position(|it| *it == step).unwrap_or_default();
        let mut flags = vec!["--init"];
        if at >= 3 {
            flags.extend(["--tmpfs", "/mnt/tmp"]);
        }
        if at >= 6 && root {
            flags.extend(["--memory", "64m", "--pids-limit", "50"]);
        }
        if at >= 7 {
            flags.push("--diff");
        }
        (step, flags)
    })
}

/// Which of `stops` to try: `most` of them for the last step.
fn chosen(step: &str, stops: usize, most: usize) -> impl Iterator<Item = usize> {
    let most = if step == "seccomp" { most } else { SPREAD };
    (1..=stops).step_by(stops.div_ceil(most))
}

fn container(stage: &Stage, step: &str, flags: &[&str], command: &[&str]) -> Result<Command> {
    let name = format!("t{}", std::process::id());
    let named = [&["--name", &name][..], flags].concat();
    stage.container(step, &named, command)
}

/// How often the parent stops in a run that nobody disturbs.
fn count(mut command: Command) -> Result<usize> {
    let (_running, traced) = Traced::start(&mut command)?;
    let mut stops = 0;
    while traced.go_on()? == Stop::Call {
        stops += 1;
    }
    Ok(stops)
}

fn parent_killed(stage: &Stage) -> Result<()> {
    for (step, flags) in steps(stage) {
        let stops = count(container(stage, step, &flags, &["true"])?)?;
        ensure!(stops > 20, "{step} has only {stops} stops");
        for number in chosen(step, stops, stops) {
            let what = || format!("{step}, parent killed at stop {number} of {stops}");
            let before = stage.snapshot()?;
            let (running, traced) = Traced::start(&mut container(stage, step, &flags, &["true"])?)?;
            if traced.go_to(number)? {
                traced.kill()?;
                running.end()?.expect(137).with_context(what)?;
            }
            before.settle().with_context(what)?;
        }
    }
    Ok(())
}

/// From the call that lets the child through to the one in which the parent waits for it.
fn parent_killed_late(stage: &Stage) -> Result<()> {
    for (step, flags) in steps(stage) {
        for number in 0.. {
            let what = || format!("{step}, parent killed {number} stops after the signalfd");
            let before = stage.snapshot()?;
            let mut command = container(stage, step, &flags, &["sleep", "1000"])?;
            let (running, traced) = Traced::start(&mut command)?;
            go_to_call(&traced, libc::SYS_signalfd4)?;
            let mut last = false;
            for _ in 0..number {
                ensure!(traced.go_on()? == Stop::Call, "the parent does not wait: {}", what());
                last = traced.call()?.is_some_and(|(call, _)| call == libc::SYS_read);
            }
            traced.kill()?;
            running.end()?.expect(137).with_context(what)?;
            before.settle().with_context(what)?;
            if last {
                break;
            }
        }
    }
    Ok(())
}

fn go_to_call(traced: &Traced, call: libc::c_long) -> Result<()> {
    loop {
        match traced.go_on()? {
            Stop::Call if traced.call()?.is_some_and(|(it, _)| it == call) => return Ok(()),
            Stop::Ended => bail!("it ended without system call {call}"),
            _ => {}
        }
    }
}

fn child_killed(stage: &Stage) -> Result<()> {
    for (step, flags) in steps(stage) {
        let stops = count_child(stage, step, &flags)?;
        for number in chosen(step, stops, SPREAD_OF_CHILD) {
            let what = || format!("{step}, child killed at stop {number} of {stops}");
            let before = stage.snapshot()?;
            let (running, parent) = Traced::start(&mut container(stage, step, &flags, &["true"])?)?;
            let child = parent.child(libc::SYS_clone3)?;
            if child.go_to(number)? {
                child.kill()?;
                nix::sys::wait::waitpid(child.pid(), None)?;
            } else {
                child.let_go()?;
            }
            let outcome = running.end().with_context(what)?;
            match outcome.code() {
                125 => drop(outcome.expect_error(&[125]).with_context(what)?),
                0 | 137 => {}
                code => bail!("{}: exit code {code}: {outcome}", what()),
            }
            before.check().with_context(what)?;
        }
    }
    Ok(())
}

/// Up to its exec, or, with `--init`, to its end.
fn count_child(stage: &Stage, step: &str, flags: &[&str]) -> Result<usize> {
    let (running, parent) = Traced::start(&mut container(stage, step, flags, &["true"])?)?;
    let child = parent.child(libc::SYS_clone3)?;
    let mut stops = 0;
    let ended = loop {
        match child.go_on()? {
            Stop::Call => stops += 1,
            Stop::Fork(_) => {}
            other => break other == Stop::Ended,
        }
    };
    if !ended {
        child.let_go()?;
    }
    running.end()?.expect(0)?;
    Ok(stops)
}

/// Calls that do not fail, or without which no program can do anything, not even say so; and those by
/// which a step asks what it may do, and does without if the answer is no.
const SURE: [libc::c_long; 35] = [
    libc::SYS_newfstatat,
    libc::SYS_access,
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_exit_group,
    libc::SYS_exit,
    libc::SYS_execve,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_futex,
    libc::SYS_arch_prctl,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_prlimit64,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_sched_getaffinity,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_fcntl,
    libc::SYS_close,
];

/// What a container is like, in lines that are the same in every run.
const SELF_PORTRAIT: &str = "exec 2>&1; hostname; id; env; pwd; ls -a / /dev /proc/self/fd; \
    grep -E '^(Cap|NoNewPrivs|Seccomp|Groups|Sig(Blk|Ign|Pnd))' /proc/self/status; \
    cut -d' ' -f4-6 /proc/self/mountinfo; cut -d: -f1 /proc/net/dev; \
    cat /proc/self/cgroup /proc/self/uid_map; ulimit -a";

fn parent_fails(stage: &Stage) -> Result<()> {
    fails(stage, Ok)
}

/// Behind the gate: before it, the parent has its own word to say when the child ends.
fn child_fails(stage: &Stage) -> Result<()> {
    fails(stage, |parent| {
        let child = parent.child(libc::SYS_clone3)?;
        go_to_call(&child, libc::SYS_read)?;
        Ok(child)
    })
}

/// Lets every call in turn fail of the process that `find` chooses, up to its exec.
fn fails(stage: &Stage, find: fn(Traced) -> Result<Traced>) -> Result<()> {
    let mut all = Vec::new();
    for (step, flags) in steps(stage) {
        let flags: Vec<&str> = flags.into_iter().filter(|flag| *flag != "--init").collect();
        let portrait = ["sh", "-c", SELF_PORTRAIT];
        let command = || {
            let mut command = container(stage, step, &flags, &portrait)?;
            // Without newuidmap: that a user gets one id where it cannot be used is as it should be.
            command.env("PATH", "/nonexistent");
            Ok::<Command, anyhow::Error>(command)
        };
        let usual = run(&mut command()?)?;
        let mut mistakes = Vec::new();
        for number in (1..).step_by(if step == "seccomp" { 1 } else { 9 }) {
            let before = stage.snapshot()?;
            let (running, parent) = Traced::start(&mut command()?)?;
            let traced = find(parent)?;
            let Some(call) = go_to_entry(&traced, number)? else {
                traced.let_go()?;
                // If it is the parent that has ended, it has been waited for already.
                let _ = running.end();
                break;
            };
            traced.fail(Errno::ENOMEM)?;
            traced.let_go()?;
            let outcome = judge(running, &usual).and_then(|()| before.settle());
            if let Err(error) = outcome {
                mistakes.push(format!("{step}, call {number} ({call}) fails: {error:#}"));
            }
        }
        all.extend(mistakes);
    }
    ensure!(all.is_empty(), "{}", all.join("\n"));
    Ok(())
}

/// Lets it run to its `number`th call that may fail; its name, or `None` if there are not so many.
fn go_to_entry(traced: &Traced, number: usize) -> Result<Option<syscalls::Sysno>> {
    let mut at = 0;
    loop {
        match traced.go_on()? {
            Stop::Exec | Stop::Ended => return Ok(None),
            Stop::Fork(_) => {}
            Stop::Call => {
                let Some((call, argument)) = traced.call()? else { continue };
                let speaks = call == libc::SYS_write && [1, 2].contains(&argument);
                at += usize::from(!SURE.contains(&call) && !speaks);
                if at == number {
                    return Ok(syscalls::Sysno::new(call as usize));
                }
            }
        }
    }
}

/// One line of error; or, where the step could do without the call, the usual container.
fn judge(running: Running, usual: &Outcome) -> Result<()> {
    let outcome = running.end()?;
    if outcome.code() != usual.code() {
        return outcome.expect_error(&[125]).map(drop);
    }
    let [stdout, stderr] =
        [different(&usual.stdout, &outcome.stdout), different(&usual.stderr, &outcome.stderr)];
    ensure!(stdout.is_empty() && stderr.is_empty(), "another container: {stdout:?} {stderr:?}");
    Ok(())
}

fn different<'a>(one: &'a str, other: &'a str) -> Vec<&'a str> {
    let lines = |text: &'a str| text.lines().collect::<std::collections::BTreeSet<&str>>();
    lines(one).symmetric_difference(&lines(other)).copied().collect()
}
