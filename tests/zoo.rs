//! Every bug of the zoo: its patch applies, the step compiles with it, the checks that it names see
//! it, and the step's other checks still pass. Trials are `applies/NAME`, which take no time, and
//! `caught/NAME`.
//!
//! A copy of the steps is built in a target directory of its own, beside ours and seeded from it.
//! The checks run in a process of its own for each bug: what a bug does to the host, it does to a
//! stand-in that ends with that process.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail, ensure};
use evidence::checks::{self, Check, Context, Scene};
use evidence::stage::{checkout, programs};
use evidence::steps;
use evidence::zoo::{self, Bug};
use evidence::{host, mountinfo};
use libtest_mimic::{Arguments, Completion, Conclusion, Failed, Trial};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// How this program starts itself: `zoo look STEP PROGRAMS`.
const LOOK: &str = "look";

/// What came of one check.
#[derive(Serialize, Deserialize)]
struct Seen {
    check: String,
    /// None: it cannot be looked for here.
    passed: Option<bool>,
    evidence: String,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [verb, step, programs] if verb == LOOK => look(step, Path::new(programs)),
        _ => run(&Arguments::from_args()).map(|conclusion| conclusion.exit_code()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(args: &Arguments) -> Result<Conclusion> {
    let bugs: &'static [Bug] = Box::leak(zoo::all(&checkout()?)?.into());
    let cage: &'static Cage = Box::leak(Box::new(Cage::new()?));
    let mut trials = vec![Trial::test("every step has two bugs at least", || two_a_step(bugs))];
    for bug in bugs {
        let applies = || applies(bug).map_err(|error| format!("{error:#}").into());
        trials.push(Trial::test(format!("applies/{}", bug.name), applies));
        let needs_root = bug.step < 6 && !geteuid().is_root();
        if needs_root && !args.list {
            println!("skipped: caught/{}: step {} needs root", bug.name, bug.step);
        }
        let caught = || caught(bug, cage).map_err(|error| Failed::from(format!("{error:#}")));
        let trial = Trial::ignorable_test(format!("caught/{}", bug.name), caught);
        trials.push(trial.with_ignored_flag(needs_root));
    }
    let conclusion = libtest_mimic::run(args, trials);
    fs::remove_dir_all(&cage.programs).context("cannot remove the zoo's programs")?;
    Ok(conclusion)
}

fn two_a_step(bugs: &[Bug]) -> Result<(), Failed> {
    let count = |step: &usize| bugs.iter().filter(|bug| bug.step == *step).count();
    match steps::numbers().find(|step| count(step) < 2) {
        Some(step) => Err(format!("step {step} has {}", count(&step)).into()),
        None => Ok(()),
    }
}

/// To a fresh copy of its step. Says which file has moved on, if one has.
fn applies(bug: &Bug) -> Result<()> {
    let copy = TempDir::with_prefix("zoo-").context("cannot make a directory")?;
    copy_into(&checkout()?, &["steps"], copy.path())?;
    bug.apply(copy.path())
}

fn caught(bug: &Bug, cage: &Cage) -> Result<Completion> {
    let programs = cage.build(bug)?;
    let seen = look_from_outside(bug, &programs)?;
    let mut report = String::new();
    for one in &seen {
        let check = checks::all().find(|check| check.full_name() == one.check);
        let check = check.with_context(|| format!("there is no check {}", one.check))?;
        match one.passed {
            Some(true) if bug.is_caught_by(check) => bail!("{} passes in spite of it", one.check),
            Some(false) if !bug.may_fail(check) => {
                bail!("{} fails as well: {}", one.check, one.evidence)
            }
            Some(false) => report += &format!("\n  {}: {}", one.check, one.evidence),
            _ => {}
        }
    }
    let looked_for = |one: &&Seen| one.passed.is_some() && bug.caught_by.contains(&one.check);
    if !seen.iter().any(|one| looked_for(&one)) {
        println!("skipped: caught/{}: its checks cannot be looked for here", bug.name);
        return Ok(Completion::ignored());
    }
    println!("{} is seen by{report}", bug.name);
    Ok(Completion::Completed)
}

/// Where bugs are built: a copy of the checkout that is made wrong and mended again.
struct Cage {
    tree: Mutex<PathBuf>,
    target: PathBuf,
    /// Each bug's program in a directory of its own, which ordinary users may enter.
    programs: PathBuf,
}

impl Cage {
    fn new() -> Result<Cage> {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("zoo");
        let (tree, target) = (home.join("tree"), home.join("target"));
        if tree.exists() {
            fs::remove_dir_all(&tree).context("cannot remove the last copy of the steps")?;
        }
        fs::create_dir_all(&tree).context("cannot make a directory for the copy")?;
        let needed = ["steps", "tests", "scripts", "Cargo.toml", "Cargo.lock", ".cargo"];
        copy_into(&checkout()?, &needed, &tree)?;
        if !target.exists() {
            seed(&target)?;
        }
        let programs = TempDir::with_prefix("zoo-").context("cannot make a directory")?.keep();
        fs::set_permissions(&programs, Permissions::from_mode(0o755))?;
        Ok(Cage { tree: Mutex::new(tree), target, programs })
    }

    /// Builds the step with the bug in it, and returns the directory of its program.
    fn build(&self, bug: &Bug) -> Result<PathBuf> {
        let tree = self.tree.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        bug.apply(&tree)?;
        let built = self.cargo(&tree, steps::name(bug.step));
        bug.mend(&checkout()?, &tree)?;
        let dir = self.programs.join(&bug.name);
        fs::create_dir_all(dir.join("tmp"))?;
        fs::set_permissions(dir.join("tmp"), Permissions::from_mode(0o1777))?;
        fs::copy(built?, dir.join(steps::name(bug.step))).context("cannot copy the program")?;
        Ok(dir)
    }

    fn cargo(&self, tree: &Path, step: &str) -> Result<PathBuf> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["build", "--quiet", "--offline", "--package", step, "--bin", step]);
        cargo.arg("--target-dir").arg(&self.target).current_dir(tree);
        let output = cargo.output().context("cannot run cargo")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "it does not compile:\n{said}");
        let triple = programs()?.parent().and_then(Path::file_name).map(PathBuf::from);
        Ok(self
            .target
            .join(triple.context("there is no target directory")?)
            .join("debug")
            .join(step))
    }
}

/// Copies files and directories with their times: cargo goes by these.
fn copy_into(from: &Path, names: &[&str], to: &Path) -> Result<()> {
    let mut cp = Command::new("cp");
    cp.arg("-a").args(names.iter().map(|name| from.join(name))).arg(to);
    ensure!(cp.status().context("cannot run cp")?.success(), "cannot copy the steps");
    Ok(())
}

/// Gives the new target directory what our own has of other people's crates. As links: cargo
/// replaces files, it does not change them.
fn seed(target: &Path) -> Result<()> {
    let ours = programs()?;
    let above = ours.parent().and_then(Path::parent).context("there is no target directory")?;
    let triple = ours.strip_prefix(above)?;
    for profile in [triple, Path::new("debug")] {
        let (from, to) = (above.join(profile), target.join(profile));
        let parts = ["deps", "build", ".fingerprint"].map(|part| from.join(part));
        fs::create_dir_all(&to).context("cannot make a target directory")?;
        let mut cp = Command::new("cp");
        cp.arg("-al").args(parts.iter().filter(|part| part.exists())).arg(&to);
        ensure!(
            cp.status().context("cannot run cp")?.success(),
            "cannot seed the target directory"
        );
    }
    Ok(())
}

/// Has a process of its own look, and clears up behind it.
fn look_from_outside(bug: &Bug, programs: &Path) -> Result<Vec<Seen>> {
    let us = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(us);
    command.arg(LOOK).arg(bug.step.to_string()).arg(programs).env("TMPDIR", programs.join("tmp"));
    let output = command.output().context("cannot run this program again")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the checks could not be looked for: {}", errors.trim());
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).context("cannot understand the checks")).collect()
}

/// In that process: all checks of a step, one after the other, each told as a line of JSON.
fn look(step: &str, steps: &Path) -> Result<ExitCode> {
    // Who loses his parent becomes our child, so that whatever a bug leaves behind can be ended.
    prctl::set_child_subreaper(true).context("cannot become a subreaper")?;
    let step = step.parse().context("no step")?;
    let scene = Scene::set(steps.to_path_buf(), &programs()?.join("act"))?;
    for check in checks::all().filter(|check| check.step == step) {
        println!("{}", serde_json::to_string(&one(check, Context { step, scene: &scene }))?);
    }
    for left in host::descendants()? {
        let _ = kill(Pid::from_raw(left.pid), Signal::SIGKILL);
    }
    remove_cgroups()?;
    let _ = scene.remove();
    Ok(ExitCode::SUCCESS)
}

fn one(check: &Check, context: Context) -> Seen {
    let seen = |passed, evidence| Seen { check: check.full_name(), passed, evidence };
    if let Some(why) = check.missing(&context) {
        return seen(None, why);
    }
    match catch_unwind(AssertUnwindSafe(|| (check.run)(&context))) {
        Ok(Ok(())) => seen(Some(true), String::new()),
        Ok(Err(error)) => seen(Some(false), format!("{error:#}")),
        Err(_) => seen(Some(false), "the check panicked".into()),
    }
}

/// Cgroups of containers that were given a name by this process, should any be left.
fn remove_cgroups() -> Result<()> {
    let ours = format!("workshop-k{}-", std::process::id());
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read mountinfo")?;
    for mount in mountinfo::parse(&mounts).iter().filter(|mount| mount.fstype.starts_with("cgroup"))
    {
        for entry in fs::read_dir(&mount.point).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&ours) {
                fs::remove_dir(entry.path())
                    .with_context(|| format!("cannot remove {}", entry.path().display()))?;
            }
        }
    }
    Ok(())
}
