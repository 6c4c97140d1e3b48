//! Every check of every step, against its step and all later ones, as tests with names like
//! `04-mount/old-root-is-gone@seccomp`. Then the other way round: against the step before each
//! must fail, `control/…@pid`, or it could not tell whether the step is right.
//!
//! STEPS=DIR names the directory of the steps' programs; otherwise it is the one above ours.
//! CHECKS=ends leaves out the steps between a check's own and the last: for slow machines.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use evidence::checks::{self, Check, Context, STEPS, Scene};
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};

fn main() -> ExitCode {
    let args = Arguments::from_args();
    match run(&args) {
        Ok(conclusion) => conclusion.exit_code(),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Arguments) -> Result<Conclusion> {
    let scene: &'static Scene = Box::leak(Box::new(scene()?));
    let (mut trials, mut skipped) = (Vec::new(), Vec::new());
    for check in checks::all() {
        for step in steps(check) {
            let (trial, why) = trial(check, Context { step, scene });
            skipped.extend(why.map(|why| format!("skipped: {}: {why}", trial.name())));
            trials.push(trial);
        }
    }
    trials.push(Trial::test("every exercise has checks, and every check its exercise", exercises));
    let conclusion = libtest_mimic::run(args, trials);
    if !args.list {
        skipped.iter().for_each(|line| println!("{line}"));
    }
    scene.remove()?;
    Ok(conclusion)
}

/// The step before the check's own, its own, and those after it of which it is true.
fn steps(check: &'static Check) -> impl Iterator<Item = usize> {
    let ends = std::env::var_os("CHECKS").is_some_and(|value| value == "ends");
    let wanted = move |step: &usize| !ends || [check.step, check.until].contains(step);
    let own = (check.step..=check.until).filter(wanted);
    std::iter::once(check.step - 1).chain(own)
}

/// The steps' programs, and `act` in the directory above ours.
fn scene() -> Result<Scene> {
    let us = std::env::current_exe().context("cannot find this program")?;
    let above = us.parent().and_then(Path::parent).context("this program is in no directory")?;
    let steps = std::env::var_os("STEPS").map_or(above.to_path_buf(), PathBuf::from);
    Scene::set(steps, &above.join("act"))
}

/// One check against one step, and why it is skipped, if it is.
fn trial(check: &'static Check, context: Context<'static>) -> (Trial, Option<String>) {
    let control = context.step < check.step;
    let name = format!("{}@{}", check.full_name(), STEPS[context.step]);
    let name = if control { format!("control/{name}") } else { name };
    let holds = check.before.filter(|_| control).map(|why| format!("it holds there too: {why}"));
    let why = holds.or_else(|| check.missing(&context));
    let look = move || match (control, (check.run)(&context)) {
        (false, Err(error)) => Err(failed(check, &error)),
        (true, Ok(())) => Err("the check passes without its step: it shows nothing".into()),
        _ => Ok(()),
    };
    (Trial::test(name, look).with_ignored_flag(why.is_some()), why)
}

/// What was asked, what came, and where to look.
fn failed(check: &Check, error: &anyhow::Error) -> Failed {
    format!("{}\n  {error:#}\n  look at {}", check.asks, check.look_at).into()
}

/// The table against the doc lines of the steps, where the sources are; and its names, which must differ.
fn exercises() -> Result<(), Failed> {
    let mut names: Vec<String> = checks::all().map(Check::full_name).collect();
    names.sort();
    if let Some(twice) = names.windows(2).find(|two| two[0] == two[1]) {
        return Err(format!("{} is in the table twice", twice[0]).into());
    }
    let steps = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("steps");
    let mut told = Vec::new();
    sources(&steps, &mut told);
    let asked: Vec<&str> = checks::all().map(|check| check.exercise).collect();
    let unchecked = told.iter().find(|exercise| !asked.contains(&exercise.as_str()));
    let wiring = |exercise: &str| !exercise.contains('.');
    let unknown = asked.iter().find(|it| !wiring(it) && !told.iter().any(|told| told == *it));
    match (told.is_empty(), unchecked, unknown) {
        (false, Some(exercise), _) => {
            Err(format!("no check belongs to exercise {exercise}").into())
        }
        (false, None, Some(exercise)) => Err(format!("there is no exercise {exercise}").into()),
        _ => Ok(()),
    }
}

/// The numbers after `Exercise ` in doc comments below `dir`.
fn sources(dir: &Path, told: &mut Vec<String>) {
    for path in std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let docs = text.lines().filter(|line| line.trim().starts_with("///"));
        let exercise =
            |line: &str| line.split_once("Exercise ").map(|(_, number)| number.trim().into());
        told.extend(docs.filter_map(exercise));
        if path.is_dir() {
            sources(&path, told);
        }
    }
}
