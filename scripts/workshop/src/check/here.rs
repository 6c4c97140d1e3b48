//! `workshop check-here`: runs checks in the place where it was started, and tells what came of each in
//! a line of JSON as soon as it is known: so reports come through sudo and out of the lab alike.

use std::{
    io::{Write, stdout},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use evidence::{
    checks::{self, Check, Context, Scene},
    host,
};
use nix::{
    sys::{
        signal::{Signal, kill},
        utsname::uname,
    },
    unistd::Pid,
};

use super::{Report, runner::Said, signals::Signals};
use crate::steps::Step;

/// The runner starts it, with everything built.
#[derive(clap::Args)]
pub struct Args {
    /// Where the program of the step is
    #[arg(long)]
    pub programs: PathBuf,
    /// The program that acts inside the containers
    #[arg(long)]
    pub act: PathBuf,
    /// Only what the step itself promises, not what it keeps of those before
    #[arg(long)]
    pub own: bool,
    pub step: Step,
}

/// Checks wait most of the time: for containers to start, and to end.
const THREADS: usize = 8;

/// What takes longest by its nature: begun first, the others fill the time beside it.
const LONG: [&str; 6] = [
    "cpus-bite",
    "upper-kept",
    "memory-bites",
    "dies-with-its-parent-at-any-moment",
    "sixty-layers",
    "exit-codes",
];

/// Exit code 0 when all were run, whatever came of them; 128+n when signal n ended it.
pub fn check_here(args: &Args) -> Result<i32> {
    let kernel = uname().context("cannot ask for the kernel's name")?;
    tell(&Said::Kernel(kernel.release().to_string_lossy().into_owned()));
    let signals = Signals::catch(&[Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM])?;
    let scene = Scene::set(args.programs.clone(), &args.act)?;
    let ended = Arc::new(AtomicI32::new(0));
    end_at(signals, ended.clone());
    let context = Context { step: args.step.number() as usize, scene: &scene };
    let mut checks = of_step(context.step);
    checks.retain(|check| !args.own || check.step == context.step);
    checks.sort_by_key(|check| LONG.iter().position(|it| *it == check.name).unwrap_or(LONG.len()));
    run(&checks, context, &ended);
    scene.remove().context("cannot clear up after the checks")?;
    Ok(ended.load(Ordering::Relaxed))
}

/// The first alone; then several at once, unless it has shown that they would be in each other's way.
fn run(checks: &[&Check], context: Context, ended: &AtomicI32) {
    let (first, others) = checks.split_at(checks.len().min(1));
    some(first, context, ended, &AtomicUsize::new(0));
    let threads = if context.scene.is_spoilt() { 1 } else { THREADS };
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| some(others, context, ended, &next));
        }
    });
}

/// One after the other as long as there is a next. None is begun any more once we are ended.
fn some(checks: &[&Check], context: Context, ended: &AtomicI32, next: &AtomicUsize) {
    while let Some(check) = checks.get(next.fetch_add(1, Ordering::Relaxed)) {
        let report = report(check, context);
        if ended.load(Ordering::Relaxed) != 0 {
            break;
        }
        tell(&Said::Report(report));
    }
}

/// A signal ends us, but not before what the checks made is gone: it ends their containers, and no
/// check is begun any more.
fn end_at(mut signals: Signals, ended: Arc<AtomicI32>) {
    thread::spawn(move || {
        let signal = signals.next().unwrap_or(Signal::SIGTERM);
        ended.store(128 + signal as i32, Ordering::Relaxed);
        loop {
            for process in host::descendants().unwrap_or_default() {
                let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
            }
            thread::sleep(Duration::from_millis(10));
        }
    });
}

/// All checks that must hold of a step: its own first, then those of the steps before it.
pub fn of_step(step: usize) -> Vec<&'static Check> {
    let (own, earlier): (Vec<_>, Vec<_>) =
        checks::all().filter(|check| check.applies_to(step)).partition(|check| check.step == step);
    [own, earlier].concat()
}

/// Runs one check.
fn report(check: &Check, context: Context) -> Report {
    let start = Instant::now();
    let (passed, evidence) = match check.missing(&context) {
        Some(why) => (None, why),
        None => match (check.run)(&context) {
            Ok(()) => (Some(true), "as expected".to_string()),
            Err(error) => (Some(false), format!("{error:#}")),
        },
    };
    Report {
        step: check.step as u32,
        exercise: check.exercise.into(),
        check: check.full_name(),
        asks: check.asks.into(),
        passed,
        evidence,
        look_at: check.look_at.into(),
        seconds: start.elapsed().as_secs_f64(),
    }
}

/// One line in one piece. If nobody reads it any more, we go on and clear up all the same.
fn tell(what: &Said) {
    let line = serde_json::to_string(what).expect("a report is plain text and numbers");
    let _ = writeln!(stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steps_own_checks_come_first_and_what_was_replaced_does_not_come() {
        let checks = of_step(9);
        assert!(checks[0].step == 9 && checks.last().is_some_and(|last| last.step < 9));
        assert!(checks.iter().all(|check| check.until >= 9));
        assert!(checks::all().any(|check| check.until < 9));
    }
}
