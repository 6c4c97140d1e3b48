//! Step 3: process 1 of a PID namespace, and a parent that looks after it.

use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setsid, write};

use super::chroot::leak;
use super::run::{Running, family, gone, pids};
use super::uts::own_namespace;
use super::{Check, Context, expect};
use crate::Process;
use crate::tracer::Stop;
use crate::wait::wait_for;

const STEP: Check = Check { step: 3, ..Check::DEFAULT };

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "own-pid-namespace",
        asks: "Is /proc/PID/ns/pid another than the host's?",
        look_at: "main.rs: clone.namespace(pid::NAMESPACE); pid_namespaces(7)",
        exercise: "3",
        run: |context| own_namespace("pid", &context.start(&[])?),
        ..STEP
    },
    Check {
        name: "command-is-process-1",
        asks: "Is the command number 1 inside, in NSpid too, and without a parent?",
        look_at: "lib.rs: Clone3::clone3; clone3(2), pid_namespaces(7)",
        exercise: "3.1",
        run: command_is_process_1,
        ..STEP
    },
    Check {
        name: "death-becomes-128-plus-n",
        asks: "When signal n ends the command, does the parent exit with 128+n, and else with its code?",
        look_at: "main.rs: child.wait; waitpid(2)",
        exercise: "3",
        run: death_becomes_128_plus_n,
        ..STEP
    },
    Check {
        name: "signals-are-forwarded",
        asks: "Do seven signals that the parent gets reach the command?",
        look_at: "signals.rs: forward; kill(2), signalfd(2)",
        exercise: "3.5",
        run: |context| signals_are_forwarded(context, false),
        ..STEP
    },
    Check {
        name: "terminal-signals-come-once",
        asks: "Does the command get Ctrl-C once, which the terminal sends to it and to the parent?",
        look_at: "signals.rs: forward: SI_KERNEL; signalfd(2), credentials(7)",
        exercise: "3.5",
        run: terminal_signals_come_once,
        ..STEP
    },
    Check {
        name: "waits-at-the-gate",
        asks: "Is the child held back until its parent, which is stopped for that, has opened the gate?",
        look_at: "gate.rs: wait; pipe(7), read(2)",
        exercise: "3.2",
        run: waits_at_the_gate,
        ..STEP
    },
    Check {
        name: "dies-with-its-parent",
        asks: "Is the command gone when its parent is killed with SIGKILL?",
        look_at: "gate.rs: die_with_parent; PR_SET_PDEATHSIG(2const)",
        exercise: "3.3",
        run: dies_with_its_parent,
        ..STEP
    },
    Check {
        name: "dies-with-its-parent-at-any-moment",
        asks: "Is nothing left of a container whose parent is killed while it is being made, and is it made if the parent lives?",
        look_at: "gate.rs: wait, at the end of the pipe; pipe(7), PR_SET_PDEATHSIG(2const)",
        exercise: "3.2",
        before: Some("with one process there is nothing that could be left"),
        run: dies_with_its_parent_at_any_moment,
        ..STEP
    },
    Check {
        name: "nothing-outlives-process-1",
        asks: "Are processes that the command left behind gone when it has ended?",
        look_at: "main.rs: clone.namespace(pid::NAMESPACE); pid_namespaces(7)",
        exercise: "3",
        run: |context| nothing_outlives_process_1(context, false),
        ..STEP
    },
    Check {
        name: "init-is-in-front",
        asks: "With --init, is the command another process than 1, its child, and does 1 keep no descriptor of the host?",
        look_at: "main.rs: pid::init, init.rs: stay_behind; fork(2), close_range(2)",
        exercise: "3.4",
        run: init_is_in_front,
        ..STEP
    },
    Check {
        name: "init-reaps-orphans",
        asks: "With --init, are orphans that have ended reaped, where a command that does not care leaves them?",
        look_at: "init.rs: stay_behind: Children::Orphans; waitpid(2)",
        exercise: "3.4",
        run: init_reaps_orphans,
        ..STEP
    },
    Check {
        name: "init-forwards-signals",
        asks: "With --init, do the signals reach the command behind it?",
        look_at: "signals.rs: forward, init.rs: stay_behind; kill(2), signalfd(2)",
        exercise: "3.5",
        run: |context| signals_are_forwarded(context, true),
        ..STEP
    },
    Check {
        name: "init-passes-the-exit-code-on",
        asks: "With --init, is the exit code the command's, or 128+n for its signal?",
        look_at: "init.rs: stay_behind; wait(2), _exit(2)",
        exercise: "3.4",
        run: init_passes_the_exit_code_on,
        ..STEP
    },
    Check {
        name: "init-takes-all-with-it",
        asks: "With --init, are processes that the command left behind gone when it has ended?",
        look_at: "init.rs: stay_behind; pid_namespaces(7)",
        exercise: "3.4",
        run: |context| nothing_outlives_process_1(context, true),
        ..STEP
    },
];

fn command_is_process_1(context: &Context) -> Result<()> {
    let container = context.start(&["probe"])?;
    let probe = container.probe(0)?;
    expect("its own process id, and its parent's", &(probe.pid, probe.parent), &(1, 0))?;
    let process = container.process()?;
    let status = process.status.get().context("/proc/PID/status cannot be read")?;
    expect("NSpid", &status.ns_pids, &vec![process.pid, 1])
}

fn death_becomes_128_plus_n(context: &Context) -> Result<()> {
    context.container().run(&["exit 7"])?.expect_code(7)?;
    context.container().run(&["fault"])?.expect_code(128 + Signal::SIGSEGV as i32)?;
    let mut container = context.start(&[])?;
    kill(Pid::from_raw(container.command()?), Signal::SIGKILL)?;
    container.wait()?.expect_code(128 + Signal::SIGKILL as i32)
}

fn signals_are_forwarded(context: &Context, init: bool) -> Result<()> {
    use Signal::*;
    let all = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH];
    let run = if init { context.container().flag("--init") } else { context.container() };
    let container = run.spawn(&[
        "/bin/act",
        "signals 1",
        "signals 1",
        "signals 1",
        "signals 1",
        "signals 1",
        "signals 1",
        "signals 1",
    ])?;
    for (count, signal) in all.into_iter().enumerate() {
        wait_for("the command to take signals", || {
            let takes = container.said()?.len() > 2 * count;
            if !takes {
                container.must_run()?;
            }
            Ok(takes)
        })?;
        let command = container.command()?;
        ensure!(command != container.parent(), "there is no parent that could forward a signal");
        ensure!(
            init == (container.init()? != command),
            "--init: process 1 is {}",
            container.init()?
        );
        container.signal(signal)?;
        wait_for(signal.as_str(), || Ok(container.said()?.len() > 2 * count + 1 || gone(command)))?;
        expect(
            "the signal that came",
            &*container.answer(2 * count + 1)?,
            &format!("ok {signal}"),
        )?;
    }
    container.end()?.expect_code(0)
}

/// A second SIGINT melts into the first while that one is pending. So the parent stands still until the
/// command has taken the terminal's; what it forwards then comes before the SIGTERM that we send it.
fn terminal_signals_come_once(context: &Context) -> Result<()> {
    let pty = openpty(None, None).context("cannot open a pseudo-terminal")?;
    let terminal = pty.slave.as_raw_fd();
    let run = context.container().first(move || {
        setsid()?;
        // SAFETY: TIOCSCTTY takes a number; the descriptor is open.
        Errno::result(unsafe { libc::ioctl(terminal, libc::TIOCSCTTY, 0) })?;
        Ok(())
    });
    let container = run.spawn(&["/bin/act", "signals 1", "signals 1", "signals 1"])?;
    let until = |line: &str| {
        wait_for(&format!("the command to say {line}"), || {
            let said = container.said()?.iter().any(|it| it == line);
            if !said {
                container.must_run()?;
            }
            Ok(said)
        })
    };
    until("ready")?;
    ensure!(container.command()? != container.parent(), "there is no parent");
    container.signal(Signal::SIGSTOP)?;
    write(&pty.master, b"\x03").context("cannot type Ctrl-C")?;
    until("ok SIGINT")?;
    container.signal(Signal::SIGCONT)?;
    container.signal(Signal::SIGTERM)?;
    until("ok SIGTERM")?;
    let came = container.said()?.iter().filter(|line| *line == "ok SIGINT").count();
    expect("how often Ctrl-C came", &came, &1)?;
    container.signal(Signal::SIGTERM)?;
    container.end()?.expect_code(0)
}

/// The parent stands still after its clone3(2); the child, which is free, may not run the command.
fn waits_at_the_gate(context: &Context) -> Result<()> {
    let (container, parent) = context.container().traced(&["/bin/act", "ready"])?;
    while parent.call()?.is_none_or(|(number, _)| number != libc::SYS_clone3) {
        if parent.go_on()? == Stop::Ended {
            bail!("no process was made by clone3(2): {}", container.stderr()?);
        }
    }
    parent.go_on()?;
    let held = held_at_the_gate(&container);
    parent.let_go()?;
    held?;
    container.until_ready()?;
    container.end()?.expect_code(0)
}

/// Asleep for 20 ms, and not yet the command: it waits.
fn held_at_the_gate(container: &Running) -> Result<()> {
    wait_for("the child to stop at the gate", || {
        for _ in 0..20 {
            sleep(Duration::from_millis(1));
            ensure!(container.command().is_err(), "the command runs, and the gate was not opened");
            let child = *family(container.parent()).last().context("the parent is gone")?;
            ensure!(!gone(child), "the child has ended");
            if state(child) != Some('S') {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

fn dies_with_its_parent(context: &Context) -> Result<()> {
    for init in [false, true] {
        let run = if init { context.container().flag("--init") } else { context.container() };
        let mut container = run.start(&[])?;
        let command = container.command()?;
        ensure!(command != container.parent(), "the command has no parent that could die");
        // It would do the same, a moment later.
        end_guard(container.parent());
        container.signal(Signal::SIGKILL)?;
        container.wait()?;
        wait_for("the command to die with its parent", || Ok(gone(command)))?;
    }
    Ok(())
}

fn end_guard(parent: i32) {
    let is_guard = |pid: &i32| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim_end() == "container-guard"
    };
    for guard in family(parent).into_iter().filter(is_guard) {
        let _ = kill(Pid::from_raw(guard), Signal::SIGKILL);
    }
}

/// The moments are spread over the time that a container takes; its mark is in every argument list.
fn dies_with_its_parent_at_any_moment(context: &Context) -> Result<()> {
    let mark = context.scene.name();
    for turn in 0..20 {
        let run = context.container().option("-e", format!("MARK={mark}"));
        let mut container = run.spawn(&["/bin/act", "ready", &mark])?;
        sleep(Duration::from_micros(turn * 700));
        container.signal(Signal::SIGKILL)?;
        container.wait()?;
    }
    wait_for("all that was started to be gone", || Ok(marked(&mark).is_empty()))?;
    context.container().run(&["exit 7"])?.expect_code(7)
}

fn marked(mark: &str) -> Vec<i32> {
    let is_marked = |pid: &i32| {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.contains(mark) && !gone(*pid)
    };
    pids().into_iter().filter(is_marked).collect()
}

fn nothing_outlives_process_1(context: &Context, init: bool) -> Result<()> {
    let run = if init { context.container().flag("--init") } else { context.container() };
    let container = run.start(&["linger"])?;
    let command = container.command()?;
    let left = family(command).into_iter().find(|pid| *pid != command);
    let left = left.context("the command left no process behind")?;
    if init {
        ensure!(container.init()? != command, "there is no init");
    }
    container.end()?.expect_code(0)?;
    let outlived = wait_a_moment(|| gone(left));
    if !outlived {
        kill(Pid::from_raw(left), Signal::SIGKILL)?;
        bail!("process {left} outlived the container");
    }
    Ok(())
}

/// Processes die one after the other: a second is enough, but for the slowest machine.
fn wait_a_moment(holds: impl Fn() -> bool) -> bool {
    (0..1000).any(|_| {
        holds() || {
            sleep(Duration::from_millis(1));
            false
        }
    })
}

fn init_is_in_front(context: &Context) -> Result<()> {
    const LEFT_OPEN: i32 = 700;
    let run = leak(context.container().flag("--init"), LEFT_OPEN)?;
    let container = run.start(&["probe"])?;
    let probe = container.probe(0)?;
    ensure!(probe.pid > 1, "the command is process {}", probe.pid);
    expect("its parent's process id inside", &probe.parent, &1)?;
    let (init, process) = (container.init()?, container.process()?);
    let status = process.status.get().context("/proc/PID/status cannot be read")?;
    expect("its parent's process id outside", &status.parent, &init)?;
    let left_open = Path::new("/proc").join(format!("{init}/fd/{LEFT_OPEN}"));
    ensure!(
        left_open.symlink_metadata().is_err(),
        "process 1 holds a descriptor that was left open outside: the command finds it in /proc/1/fd"
    );
    Ok(())
}

fn init_reaps_orphans(context: &Context) -> Result<()> {
    let container = context.container().flag("--init").start(&["orphan"])?;
    let init = container.init()?;
    let zombies = || family(init).into_iter().filter(|pid| is_zombie(*pid)).count();
    ensure!(
        wait_a_moment(|| family(init).len() == 2),
        "{} zombies of {:?}",
        zombies(),
        family(init)
    );
    // The same without init: it is not reaped by chance.
    let container = context.start(&["orphan"])?;
    let command = container.command()?;
    ensure!(
        wait_a_moment(|| family(command).iter().any(|pid| is_zombie(*pid))),
        "no zombie without init"
    );
    Ok(())
}

fn is_zombie(pid: i32) -> bool {
    state(pid) == Some('Z')
}

fn state(pid: i32) -> Option<char> {
    let process = Process::read(pid).ok()?;
    process.status.get().map(|status| status.state)
}

fn init_passes_the_exit_code_on(context: &Context) -> Result<()> {
    let run = |deed| context.container().flag("--init").run(&[deed]);
    run("exit 9")?.expect_code(9)?;
    run("die SIGTERM")?.expect_code(128 + Signal::SIGTERM as i32)?;
    run("die SIGKILL")?.expect_code(128 + Signal::SIGKILL as i32)
}
