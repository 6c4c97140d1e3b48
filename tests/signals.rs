//! Signals on their way in, exit codes on their way out, and the terminal in between: what a person
//! does with keys, what a program does with kill(2), and what an init is for.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use evidence::host;
use evidence::run::{Running, run};
use evidence::stage::{self, Stage, Test, skip};
use evidence::terminal::Terminal;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const TESTS: &[Test] = &[
    ("exit codes", exit_codes),
    ("every signal reaches the command, once", forwarded),
    ("a command without handlers", without_handlers),
    ("a signal ends the command", signal_ends),
    ("Ctrl-C comes once", control_c),
    ("Ctrl-\\ and a window's new size come once", other_keys),
    ("Ctrl-Z, fg, Ctrl-C in a shell", job_control),
    ("a shell inside has job control", shell_inside),
    ("an init reaps orphans", orphans),
    ("the container dies with its parent", dies_with_parent),
    ("the terminal is left as it was", terminal_unharmed),
];

fn main() -> ExitCode {
    stage::main(TESTS)
}

/// The steps that have a parent which looks after the container.
fn steps(stage: &Stage) -> impl Iterator<Item = &'static str> {
    stage.steps().iter().copied().filter(|step| !["chroot", "uts"].contains(step))
}

fn exit_codes(stage: &Stage) -> Result<()> {
    for step in stage.steps() {
        for code in [0, 1, 42, 125, 137, 255] {
            let script = format!("exit {code}");
            run(&mut stage.container(step, &[], &["sh", "-c", &script])?)?.expect(code)?;
        }
    }
    for step in steps(stage) {
        let script = "exit 7";
        run(&mut stage.container(step, &["--init"], &["sh", "-c", script])?)?.expect(7)?;
        for (signal, code) in [("KILL", 137), ("TERM", 143), ("SEGV", 139), ("USR1", 138)] {
            let script = format!("kill -{signal} $$; sleep 100");
            let outcome = run(&mut stage.container(step, &["--init"], &["sh", "-c", &script])?)?;
            outcome.expect(code).with_context(|| format!("{step} --init, {signal}"))?;
        }
    }
    Ok(())
}

const FORWARDED: [Signal; 7] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// Says the name of every signal that comes; ends at USR2.
const LISTENER: &str =
    "for name in INT TERM HUP QUIT USR1 WINCH; do trap \"echo got $name\" $name; done
    trap 'echo got USR2; exit 5' USR2
    echo ready; while :; do sleep 0.02; done";

fn forwarded(stage: &Stage) -> Result<()> {
    for step in steps(stage) {
        for flags in [&[][..], &["--init"]] {
            let what = || format!("{step} {}", flags.join(" "));
            let mut command = stage.container(step, flags, &["sh", "-c", LISTENER])?;
            let mut running = Running::start(&mut command)?;
            running.says("ready").with_context(what)?;
            // USR2 ends it, so that comes last.
            for signal in FORWARDED.iter().filter(|it| **it != Signal::SIGUSR2) {
                kill(Pid::from_raw(running.pid()), *signal)?;
                running.says(&format!("got {}\n", &signal.as_str()[3..])).with_context(what)?;
            }
            kill(Pid::from_raw(running.pid()), Signal::SIGUSR2)?;
            let outcome = running.end()?.expect(5).with_context(what)?;
            let got = outcome.stdout.matches("got ").count();
            ensure!(got == FORWARDED.len(), "{}: not each once: {outcome}", what());
        }
    }
    Ok(())
}

/// Process 1 of a pid namespace gets no signal that it has no handler for, pid_namespaces(7): a
/// container without an init ignores SIGTERM. That is how Docker does it, too; --init is the remedy.
fn without_handlers(stage: &Stage) -> Result<()> {
    for step in steps(stage) {
        let running = sleeper(stage, step, &[])?;
        kill(Pid::from_raw(running.pid()), Signal::SIGTERM)?;
        kill(Pid::from_raw(running.pid()), Signal::SIGINT)?;
        let child = children(running.pid())?;
        if child.is_empty() {
            bail!("{step}: the signals ended the container: {}", running.end()?);
        }
        for pid in child {
            kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        }
        running.end()?.expect(137).with_context(|| step)?;
        for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
            let running = sleeper(stage, step, &["--init"])?;
            kill(Pid::from_raw(running.pid()), signal)?;
            running.end()?.expect(code).with_context(|| format!("{step} --init, {signal}"))?;
        }
    }
    Ok(())
}

/// A container whose command has become `sleep`, which handles no signal. (A shell does, until it has
/// executed what it is to become.)
fn sleeper(stage: &Stage, step: &str, flags: &[&str]) -> Result<Running> {
    let running = Running::start(&mut stage.container(step, flags, &["sleep", "1000"])?)?;
    for _ in 0..1_000 {
        if host::descendants()?.iter().any(|it| it.to_string().contains("(sleep, S)")) {
            return Ok(running);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    bail!("{step}: the command does not sleep: {}", running.end()?)
}

/// The container's process 1 as the host sees it, without those that look after it.
fn children(parent: i32) -> Result<Vec<i32>> {
    let ours = ["(cgroup-keeper", "(container-guard"];
    let all = host::descendants()?.into_iter().filter(|it| it.parent == parent);
    let children = all.filter(|it| !ours.iter().any(|name| it.to_string().contains(name)));
    Ok(children.map(|it| it.pid).collect())
}

/// In the first two steps our process becomes the command: nothing is in between.
fn signal_ends(stage: &Stage) -> Result<()> {
    for step in stage.steps().iter().filter(|step| ["chroot", "uts"].contains(step)) {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGPIPE, Signal::SIGKILL] {
            let running = sleeper(stage, step, &[])?;
            kill(Pid::from_raw(running.pid()), signal)?;
            running.end()?.expect(128 + signal as i32).with_context(|| *step)?;
        }
    }
    Ok(())
}

/// The terminal sends it to all of its foreground group, our parent and the command: which must not
/// get a second one from our parent.
fn control_c(stage: &Stage) -> Result<()> {
    for step in steps(stage) {
        for flags in [&[][..], &["--init"]] {
            let mut command = stage.container(step, flags, &["sh", "-c", LISTENER])?;
            let mut terminal = Terminal::start(&mut command)?;
            terminal.shows("ready")?;
            for _ in 0..3 {
                terminal.types("\x03")?;
                terminal.shows("got INT")?;
            }
            // Whatever comes late comes before this.
            kill(Pid::from_raw(terminal.pid()), Signal::SIGUSR1)?;
            terminal.shows("got USR1")?;
            kill(Pid::from_raw(terminal.pid()), Signal::SIGUSR2)?;
            let status = terminal.end()?;
            let count = terminal.said().matches("got INT").count();
            let what = format!("{step} {flags:?}: {status}, {:?}", terminal.said());
            ensure!(count == 3 && status.code() == Some(5), "{what}");
        }
    }
    Ok(())
}

fn other_keys(stage: &Stage) -> Result<()> {
    for step in steps(stage) {
        let mut terminal =
            Terminal::start(&mut stage.container(step, &[], &["sh", "-c", LISTENER])?)?;
        terminal.shows("ready")?;
        terminal.types("\x1c")?;
        terminal.shows("got QUIT")?;
        terminal.resize(33, 99)?;
        terminal.shows("got WINCH")?;
        kill(Pid::from_raw(terminal.pid()), Signal::SIGUSR1)?;
        terminal.shows("got USR1")?;
        kill(Pid::from_raw(terminal.pid()), Signal::SIGUSR2)?;
        let status = terminal.end()?;
        let once = |text: &str| terminal.said().matches(text).count() == 1;
        let right = once("got QUIT") && once("got WINCH") && status.code() == Some(5);
        ensure!(right, "{step}: {status}, {:?}", terminal.said());
    }
    Ok(())
}

/// A person's shell, with the prompt `$$ `.
fn shell(stage: &Stage) -> Result<Command> {
    let bash = std::path::Path::new("/bin/bash").exists();
    let mut shell = Command::new(if bash { "/bin/bash" } else { "/bin/sh" });
    shell.args(if bash { &["--norc", "--noprofile", "-i"][..] } else { &["-i"] });
    shell.env("PS1", "prompt> ").env("HISTFILE", "").env("TERM", "dumb").env_remove("ENV");
    shell.env("TMPDIR", stage.temporary()).current_dir(stage.work());
    Ok(shell)
}

fn job_control(stage: &Stage) -> Result<()> {
    for step in steps(stage) {
        for flag in ["", "--init"] {
            let outcome = one_job(stage, step, flag);
            outcome.with_context(|| format!("{step} {flag}"))?;
        }
    }
    Ok(())
}

fn one_job(stage: &Stage, step: &str, flag: &str) -> Result<()> {
    let mut terminal = Terminal::start(&mut shell(stage)?)?;
    terminal.shows("prompt> ")?;
    let script = "trap \"echo in\"\"terrupted; exit 9\" INT; n=0; while sleep 0.05; do n=$((n+1)); echo ti\"\"ck-$n; done";
    let program = stage::programs()?.join(step);
    let root = stage.root()?.display();
    terminal.types(&format!("{} {flag} {root} sh -c '{script}'\n", program.display()))?;
    terminal.shows("tick-3")?;
    terminal.types("\x1a")?;
    terminal.shows("Stopped")?;
    terminal.types("echo shell-is-\"\"back; jobs\n")?;
    terminal.shows("shell-is-back")?;
    terminal.shows("Stopped")?;
    ticks_stand_still(&mut terminal)?;
    terminal.types("fg\n")?;
    terminal.shows("tick-")?;
    terminal.types("\x1a")?;
    terminal.shows("Stopped")?;
    // A child that sh is just forking gets the stop; a SIGCONT in the same moment, which sh itself
    // ignores, the kernel does not keep for it (`prepare_signal` in kernel/signal.c).
    terminal.pause();
    terminal.types("bg\n")?;
    terminal.shows("tick-")?;
    terminal.types("fg\n")?;
    terminal.shows("tick-")?;
    terminal.types("\x03")?;
    terminal.shows("interrupted")?;
    terminal.types("echo code=$?\n")?;
    terminal.shows("code=9")?;
    terminal.types("exit\n")?;
    terminal.end()?;
    Ok(())
}

/// A container that is stopped as a whole does not go on counting.
fn ticks_stand_still(terminal: &mut Terminal) -> Result<()> {
    terminal.types("sleep 0.5; echo a-\"\"while\n")?;
    terminal.shows("a-while")?;
    let before = terminal.said().matches("tick-").count();
    terminal.types("sleep 0.3; echo another-\"\"while\n")?;
    terminal.shows("another-while")?;
    let after = terminal.said().matches("tick-").count();
    ensure!(before == after, "the container counts on while it is stopped");
    Ok(())
}

fn shell_inside(stage: &Stage) -> Result<()> {
    for step in steps(stage) {
        // Without a /proc and a terminal device of its own, step 3 has no /dev/tty to take.
        if step == "pid" {
            continue;
        }
        for flags in [&[][..], &["--init"]] {
            let what = || format!("{step} {}", flags.join(" "));
            let flags = [&["-e", "PS1=inside> "], flags].concat();
            let mut terminal =
                Terminal::start(&mut stage.container(step, &flags, &["sh", "-i"])?)?;
            terminal.shows("inside> ").with_context(what)?;
            terminal.types("sh -c 'echo run\"\"ning; sleep 1000; :'\n")?;
            terminal.shows("running").with_context(what)?;
            terminal.types("\x1a")?;
            terminal.shows("Stopped").with_context(what)?;
            terminal.types("bg; echo in-\"\"background\n")?;
            terminal.shows("in-background").with_context(what)?;
            terminal.types("fg\n")?;
            terminal.shows("sleep 1000").with_context(what)?;
            terminal.pause();
            terminal.types("\x03")?;
            terminal.shows("inside> ").with_context(what)?;
            terminal.types("echo still-\"\"here\n")?;
            terminal.shows("still-here").with_context(what)?;
            terminal.types("exit 6\n")?;
            let status = terminal.end()?;
            ensure!(status.code() == Some(6), "{}: {status}, {:?}", what(), terminal.said());
            let complaint = terminal.said().contains("job control turned off");
            ensure!(!complaint, "{}: {:?}", what(), terminal.said());
        }
    }
    Ok(())
}

/// A hundred processes whose parents have ended; with an init none stays a zombie.
fn orphans(stage: &Stage) -> Result<()> {
    let script = "n=0; while [ $n -lt 100 ]; do (true &) ; n=$((n+1)); done
        tries=0; zombies() { cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z '; }
        while [ $(zombies) -gt 0 ] && [ $tries -lt 100 ]; do sleep 0.05; tries=$((tries+1)); done
        echo zombies $(zombies); trap 'echo got TERM; exit 3' TERM; echo ready
        while :; do sleep 0.02; done";
    for step in steps(stage).filter(|step| *step != "pid") {
        let mut command = stage.container(step, &["--init"], &["sh", "-c", script])?;
        let mut running = Running::start(&mut command)?;
        running.says("ready")?;
        kill(Pid::from_raw(running.pid()), Signal::SIGTERM)?;
        let outcome = running.end()?.expect(3)?;
        ensure!(outcome.stdout.contains("zombies 0\n"), "{step}: {outcome}");
    }
    Ok(())
}

/// By SIGKILL, which nobody can handle; `faults` does the same at every system call.
fn dies_with_parent(stage: &Stage) -> Result<()> {
    for step in steps(stage) {
        for flags in [&[][..], &["--init"]] {
            let before = stage.snapshot()?;
            let script = "echo ready; sleep 1000 | sleep 1000";
            let mut running =
                Running::start(&mut stage.container(step, flags, &["sh", "-c", script])?)?;
            running.says("ready")?;
            kill(Pid::from_raw(running.pid()), Signal::SIGKILL)?;
            running.end()?.expect(137)?;
            before.settle().with_context(|| format!("{step} {}", flags.join(" ")))?;
        }
    }
    Ok(())
}

fn terminal_unharmed(stage: &Stage) -> Result<()> {
    let mut terminal = Terminal::start(&mut shell(stage)?)?;
    terminal.shows("prompt> ")?;
    terminal.types("stty -echo; set +o emacs 2>/dev/null; echo begin-\"\"here\n")?;
    terminal.shows("begin-here")?;
    let before = terminal.settings()?;
    for step in steps(stage) {
        let (program, root) = (stage::programs()?.join(step), stage.root()?.display());
        for command in ["true", "no-such-command", "sh -c 'exit 3'"] {
            let line =
                format!("{} {root} {command}; echo after-$?-\"\"{step}\n", program.display());
            terminal.types(&line)?;
            terminal.shows(&format!("-{step}"))?;
        }
    }
    if terminal.settings()? != before {
        return skip("the shell itself changes its terminal");
    }
    terminal.types("exit\n")?;
    terminal.end()?;
    Ok(())
}
