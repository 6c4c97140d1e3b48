//! Every check of every step, against its step and all later ones, as tests with names like
//! `04-mount/old-root-is-gone@seccomp`. Then the other way round: against the step before each
//! must fail, `control/…@pid`, or it could not tell whether the step is right.
//!
//! STEPS=DIR names the directory of the steps' programs; otherwise it is the one above ours.
//! CHECKS=ends leaves out the steps between a check's own and the last: for slow machines.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use evidence::checks::{self, Check, Context, Scene};
use evidence::steps;
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
    trials.push(Trial::test("knock-ons are checks of other exercises", knock_ons));
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
    let own = steps::numbers().filter(|step| check.applies_to(*step)).filter(wanted);
    std::iter::once(steps::before(check.step)).chain(own)
}

/// The steps' programs, and `act` in the directory above ours.
fn scene() -> Result<Scene> {
    let us = std::env::current_exe().context("cannot find this program")?;
    let above = us.parent().and_then(Path::parent).context("this program is in no directory")?;
    let programs = std::env::var_os("STEPS").map_or(above.to_path_buf(), PathBuf::from);
    Scene::set(programs, &above.join("act"))
}

/// One check against one step, and why it is skipped, if it is.
fn trial(check: &'static Check, context: Context<'static>) -> (Trial, Option<String>) {
    let control = context.step < check.step;
    let name = format!("{}@{}", check.full_name(), steps::name(context.step));
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

/// The table against the exercises of the steps, where the sources are; and its names, which must differ.
fn exercises() -> Result<(), Failed> {
    let mut names: Vec<String> = checks::all().map(Check::full_name).collect();
    names.sort();
    if let Some(twice) = names.windows(2).find(|two| two[0] == two[1]) {
        return Err(format!("{} is in the table twice", twice[0]).into());
    }
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("steps");
    for (number, name) in steps::STEPS {
        let step = packages.join(format!("{number:02}-{name}"));
        if step.join("src").exists() {
            step_exercises(&step, number).map_err(|error| format!("step {number}: {error}"))?;
        }
    }
    Ok(())
}

/// Two to five exercises, numbered without a gap; each has checks, and hints; and each check of the step is
/// for one of them or, `3`, for wiring the step into main.rs.
fn step_exercises(step: &Path, number: usize) -> Result<(), String> {
    let mut told = Vec::new();
    sources(&step.join("src"), &mut told);
    told.sort();
    let wanted: Vec<String> = (1..=told.len()).map(|place| format!("{number}.{place}")).collect();
    if told != wanted || !(2..=5).contains(&told.len()) {
        return Err(format!("its exercises are {told:?}"));
    }
    let hints = std::fs::read_to_string(step.join("hints.md")).unwrap_or_default();
    let headings = hints.lines().filter_map(|line| line.strip_prefix("## "));
    // `5` is for main.rs.
    let headings = headings.filter(|heading| heading.contains('.'));
    if !headings.eq(&told) {
        return Err("hints.md has other headings than the exercises, or in another order".into());
    }
    let asked: Vec<&str> =
        checks::all().filter(|check| check.step == number).map(|check| check.exercise).collect();
    if let Some(exercise) = told.iter().find(|exercise| !asked.contains(&exercise.as_str())) {
        return Err(format!("no check belongs to exercise {exercise}"));
    }
    let wiring = number.to_string();
    match asked.iter().find(|it| **it != wiring && !told.iter().any(|told| told == *it)) {
        Some(unknown) => Err(format!("there is no exercise {unknown}")),
        None => Ok(()),
    }
}

/// The exercises below `dir`: doc lines `/// Exercise N.K` with nothing else.
fn sources(dir: &Path, told: &mut Vec<String>) {
    for path in std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let marks = text.lines().filter_map(|line| line.trim().strip_prefix("/// Exercise "));
        told.extend(marks.map(String::from));
        if path.is_dir() {
            sources(&path, told);
        }
    }
}

/// What turns red with an exercise exists, and belongs to another one of its step.
fn knock_ons() -> Result<(), Failed> {
    let mut exercises: Vec<&str> = checks::all().map(|check| check.exercise).collect();
    exercises.sort();
    exercises.dedup();
    for exercise in exercises {
        let own: Vec<&Check> = checks::all().filter(|check| check.exercise == exercise).collect();
        for knock_on in checks::knock_ons(exercise) {
            let mut hit = checks::all().filter(|check| knock_on.is_of(check));
            let others = hit.any(|check| check.step == own[0].step && check.exercise != exercise);
            if !others || knock_on.why.is_empty() {
                let (checks, why) = (knock_on.checks, knock_on.why);
                return Err(format!("{exercise}: no other check is {checks}: {why}").into());
            }
        }
    }
    Ok(())
}
