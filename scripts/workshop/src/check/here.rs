//! `workshop check-here`: runs checks in the place where it was started, and tells what came of each in
//! a line of JSON as soon as it is known: so reports come through sudo and out of the lab alike.

use std::{
    io::{Write, stdout},
    path::PathBuf,
    time::Instant,
};

use anyhow::{Context as _, Result};
use evidence::checks::{self, Check, Context, Scene};
use nix::sys::{signal::Signal, utsname::uname};

use super::{Report, runner::Said, side_by_side::side_by_side, signals::Signals};
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
    /// Only this share of the checks …
    #[arg(long, default_value_t = 0)]
    pub share: usize,
    /// … of so many
    #[arg(long, default_value_t = 1)]
    pub of: usize,
    pub step: Step,
}

/// What takes longest by its nature: begun first of a step's own checks and of the earlier steps', the
/// others fill the time beside it.
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
    let mut signals = Signals::catch(&[Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM])?;
    let scene = Scene::set(args.programs.clone(), &args.act)?;
    let context = Context { step: args.step.number() as usize, scene: &scene };
    let mut checks = of_step(context.step);
    checks.retain(|check| !args.own || check.step == context.step);
    checks.sort_by_key(|check| {
        let long = LONG.iter().position(|it| *it == check.name);
        (check.step != context.step, long.unwrap_or(LONG.len()))
    });
    let checks: Vec<_> = checks.into_iter().skip(args.share).step_by(args.of).collect();
    let act = |check: &Check| {
        scene.apart().map_or_else(|error| told(check, 0.0, Err(error)), |()| report(check, context))
    };
    let ended = side_by_side(&checks, &mut signals, &act, &|report| tell(&Said::Report(report)));
    scene.remove().context("cannot clear up after the checks")?;
    Ok(ended?.map_or(0, |signal| 128 + signal as i32))
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
    let found = match check.missing(&context) {
        Some(why) => Ok(Some(why)),
        None => (check.run)(&context).map(|()| None),
    };
    told(check, start.elapsed().as_secs_f64(), found)
}

/// It holds, cannot be looked for (and why), or does not hold.
pub fn told(check: &Check, seconds: f64, found: Result<Option<String>>) -> Report {
    let (passed, evidence) = match found {
        Ok(None) => (Some(true), "as expected".to_string()),
        Ok(Some(why)) => (None, why),
        Err(error) => (Some(false), format!("{error:#}")),
    };
    Report {
        step: check.step as u32,
        exercise: check.exercise.into(),
        check: check.full_name(),
        asks: check.asks.into(),
        passed,
        evidence,
        look_at: check.look_at.into(),
        seconds,
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
