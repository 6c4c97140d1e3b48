//! Every check is shown able to fail, and for the right reason. Of each step: the skeleton compiles
//! without warnings and fails; the solution passes; each exercise blank alone turns its own checks
//! red, those that `knock_ons` lists, and no others. All through the commands that a learner types.
//!
//! Arguments are the steps to look at; none is all.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use evidence::checks::{self, Check, knock_ons};
use evidence::steps;
use nix::unistd::geteuid;
use serde_json::Value;
use tempfile::TempDir;

/// A failing check waits for something most of the time: so many variants are checked at once.
const CHECKERS: usize = 6;

/// What is blank.
#[derive(Clone, Debug, PartialEq)]
enum Blank {
    All,
    Nothing,
    One(String),
}

/// A step's program with something blank.
struct Variant {
    step: usize,
    blank: Blank,
    programs: TempDir,
}

/// What its checks said: the names of those that passed and failed.
struct Row {
    step: usize,
    blank: Blank,
    passed: BTreeSet<String>,
    failed: BTreeSet<String>,
}

fn main() -> ExitCode {
    let wanted: Vec<usize> = std::env::args().filter_map(|it| it.parse().ok()).collect();
    let first = if geteuid().is_root() { 1 } else { 6 };
    let those = steps::numbers().filter(|it| wanted.is_empty() || wanted.contains(it));
    if first > 1 {
        println!("skipped: matrix: steps 1 to 5 need root");
    }
    match matrix(&those.filter(|it| *it >= first).collect::<Vec<_>>()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The number of rows that are not as they must be.
fn matrix(steps: &[usize]) -> Result<usize> {
    let start = Instant::now();
    let (sender, receiver) = mpsc::channel();
    let receiver = Arc::new(Mutex::new(receiver));
    let checkers: Vec<_> = (0..CHECKERS)
        .map(|_| {
            let receiver = receiver.clone();
            thread::spawn(move || check_all(&receiver))
        })
        .collect();
    let built = build_all(steps, &sender);
    drop(sender);
    let mut rows = Vec::new();
    for checker in checkers {
        rows.extend(checker.join().expect("a checker does not panic")?);
    }
    built?;
    let wrong = print(&rows);
    let outcome = if wrong == 0 { "ok" } else { "FAILED" };
    let (passed, seconds) = (rows.len() - wrong, start.elapsed().as_secs());
    println!("test result: {outcome}. {passed} passed; {wrong} failed; 0 ignored; in {seconds} s");
    Ok(wrong)
}

/// Builds all variants, one after the other in one workspace: so each rebuilds one crate.
fn build_all(steps: &[usize], to: &mpsc::Sender<Variant>) -> Result<()> {
    let my = TempDir::with_prefix("matrix-")?;
    for &step in steps {
        let number = step.to_string();
        let exercises = exercises(step);
        workshop(my.path(), &["start", &number])?;
        to.send(build(my.path(), step, Blank::All)?)?;
        for one in &exercises {
            workshop(my.path(), &["start", &number])?;
            for other in exercises.iter().filter(|other| *other != one) {
                workshop(my.path(), &["solve", other])?;
            }
            workshop(my.path(), &["solve", &number])?;
            to.send(build(my.path(), step, Blank::One(one.clone()))?)?;
        }
        for one in &exercises {
            workshop(my.path(), &["solve", one])?;
        }
        to.send(build(my.path(), step, Blank::Nothing)?)?;
    }
    Ok(())
}

/// The exercises that the checks of a step belong to.
fn exercises(step: usize) -> Vec<String> {
    let own = checks::all().filter(|check| check.step == step && check.exercise.contains('.'));
    own.map(|check| check.exercise.to_string()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn workshop(my: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_workshop"));
    let output = command.args(arguments).arg("--dir").arg(my).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "workshop {}: {said}", arguments.join(" "));
    Ok(())
}

/// cargo must have nothing to say.
fn build(my: &Path, step: usize, blank: Blank) -> Result<Variant> {
    let name = steps::name(step);
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    // What is no part of the steps is built once and for all runs.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("matrix");
    cargo.args(["build", "--quiet", "--target-dir"]).arg(&target).args(["-p", name]);
    let output = cargo.current_dir(my).output().context("cannot run cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{name}, {blank:?} blank: cargo: {said}");
    let programs = TempDir::with_prefix("matrix-programs-")?;
    fs::set_permissions(&programs, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    fs::copy(built(&target, name)?, programs.path().join(name))?;
    Ok(Variant { step, blank, programs })
}

/// target/TRIPLE/debug/NAME
fn built(target: &Path, name: &str) -> Result<PathBuf> {
    let triples = fs::read_dir(target)?.flatten().map(|it| it.path().join("debug").join(name));
    triples.filter(|it| it.is_file()).last().context("cargo built no program")
}

fn check_all(variants: &Mutex<mpsc::Receiver<Variant>>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    loop {
        let next = variants.lock().expect("no checker panics").recv();
        match next {
            Ok(variant) => rows.push(check(variant)?),
            Err(_) => return Ok(rows),
        }
    }
}

/// Asks the kernel what of the step's own promises holds.
fn check(variant: Variant) -> Result<Row> {
    let workshop = Path::new(env!("CARGO_BIN_EXE_workshop"));
    let mut command = Command::new(workshop);
    command.args(["check-here", "--own", "--programs"]).arg(variant.programs.path());
    command.arg("--act").arg(workshop.with_file_name("act")).arg(variant.step.to_string());
    let output = command.output().context("cannot run the checks")?;
    if !output.status.success() {
        bail!("the checks: {}", String::from_utf8_lossy(&output.stderr));
    }
    let (step, blank) = (variant.step, variant.blank);
    let mut row = Row { step, blank, passed: BTreeSet::new(), failed: BTreeSet::new() };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let said: Value = serde_json::from_str(line)?;
        let name = said["Report"]["check"].as_str().unwrap_or_default().to_string();
        match said["Report"]["passed"].as_bool() {
            Some(true) => row.passed.insert(name),
            Some(false) => row.failed.insert(name),
            None => false,
        };
    }
    ensure!(!(row.passed.is_empty() && row.failed.is_empty()), "step {step}: nothing was checked");
    Ok(row)
}

impl Row {
    /// What is wrong with it; nothing, if all is as it must be.
    fn faults(&self) -> Vec<String> {
        match &self.blank {
            Blank::Nothing => {
                self.failed.iter().map(|name| format!("{name} fails with the solution")).collect()
            }
            Blank::All if self.failed.is_empty() => vec!["the skeleton passes".into()],
            Blank::All => Vec::new(),
            Blank::One(exercise) => {
                self.looked_at().filter_map(|it| self.fault(exercise, it)).collect()
            }
        }
    }

    fn looked_at(&self) -> impl Iterator<Item = &'static Check> {
        checks::all().filter(|check| {
            let name = check.full_name();
            self.passed.contains(&name) || self.failed.contains(&name)
        })
    }

    fn fault(&self, exercise: &str, check: &Check) -> Option<String> {
        let name = check.full_name();
        let own = check.exercise == exercise;
        let listed = knock_ons(exercise).iter().any(|it| it.is_of(check));
        match (self.failed.contains(&name), own || listed) {
            (true, false) => Some(format!("{name} of {} turns red too", check.exercise)),
            (false, true) if own => Some(format!("{name}, its own, stays green")),
            (false, true) => Some(format!("{name} is listed as a knock-on and stays green")),
            _ => None,
        }
    }
}

/// One table a step: a row an exercise, a column a check.
fn print(rows: &[Row]) -> usize {
    let mut wrong = 0;
    for (step, name) in steps::STEPS {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.step == step).collect();
        let Some(any) = rows.first() else { continue };
        let columns: Vec<&Check> = any.looked_at().collect();
        println!("\nStep {step}, {name}: ✓ green, ✗ red, o red as listed");
        for (number, check) in columns.iter().enumerate() {
            println!("  {:>2} {:4} {}", number + 1, check.exercise, check.name);
        }
        let numbers: String = (1..=columns.len()).map(|it| format!("{it:>3}")).collect();
        println!("  {:12}{numbers}", "blank");
        let mut named: Vec<(String, &Row)> = rows.iter().map(|row| (row.name(), *row)).collect();
        named.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, row) in named {
            let cells: String = columns.iter().map(|check| row.cell(check)).collect();
            println!("  {name:12}{cells}");
            let faults = row.faults();
            faults.iter().for_each(|fault| println!("    WRONG: {fault}"));
            wrong += usize::from(!faults.is_empty());
        }
    }
    wrong
}

impl Row {
    fn name(&self) -> String {
        match &self.blank {
            Blank::All => "all".into(),
            Blank::Nothing => "none".into(),
            Blank::One(exercise) => exercise.clone(),
        }
    }

    fn cell(&self, check: &Check) -> &'static str {
        let exercise = self.name();
        let own = exercise == check.exercise || self.blank == Blank::All;
        let listed = knock_ons(&exercise).iter().any(|it| it.is_of(check));
        match (self.passed.contains(&check.full_name()), own, listed) {
            (true, ..) => "  ✓",
            (false, true, _) => "  ✗",
            (false, false, true) => "  o",
            (false, false, false) => "  !",
        }
    }
}
