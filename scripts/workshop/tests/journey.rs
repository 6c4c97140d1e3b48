//! A learner's whole way, by the commands that a learner types: start, solve, check, step by step to
//! the last; a latecomer's jump; and mishaps, in which nothing may be lost.
//!
//! JOURNEY=whole checks the skeleton and after every single exercise; otherwise that is done in the first
//! step that can run without the lab, and the others are checked when they are solved.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use anyhow::{Context, Result, ensure};
use evidence::{checks, steps, terminal::Terminal};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::unistd::geteuid;
use serde_json::Value;
use tempfile::TempDir;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They build in one directory.
    arguments.test_threads = Some(1);
    let test = |name: &str, test: fn() -> Result<()>| {
        Trial::test(name, move || test().map_err(|error| Failed::from(format!("{error:#}"))))
    };
    let tests = vec![
        test("from the first step to the last", to_the_last),
        test("a latecomer keeps what passes", latecomer),
        test("nothing is overwritten", nothing_is_overwritten),
        test("a broken state is mended", broken_state),
        test("what is not Rust is named", not_rust),
        test("a difference is paged on a terminal", paged),
    ];
    libtest_mimic::run(&arguments, tests).exit_code()
}

/// A learner's workspace.
struct Learner {
    my: TempDir,
}

impl Learner {
    /// What is not the learner's is built once, for all of them.
    fn new() -> Result<Learner> {
        let my = TempDir::with_prefix("journey-")?;
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("journey");
        fs::create_dir_all(&target)?;
        symlink(target, my.path().join("target"))?;
        Ok(Learner { my })
    }

    fn run(&self, words: &str) -> Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_workshop"));
        command.args(words.split_whitespace()).arg("--dir").arg(self.my.path());
        command.output().context("cannot run workshop")
    }

    /// What a command prints, if all went well.
    fn types(&self, words: &str) -> Result<String> {
        let output = self.run(words)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "workshop {words}: {:?}: {said}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `check N`: whether all holds, and how many of the step's own checks do.
    fn check(&self, step: usize) -> Result<(bool, usize)> {
        let output = self.run(&format!("check {step} --json"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let outcome: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("check {step}: {said}"))?;
        ensure!(outcome["error"].is_null(), "check {step}: {}: {said}", outcome["error"]);
        let reports = outcome["checks"].as_array().context("there are no checks")?;
        let holds = |it: &&Value| it["step"] == step && it["passed"] == true;
        let passed = outcome["passed"] == true;
        ensure!(output.status.code() == Some(i32::from(!passed)), "check {step}: exit code");
        Ok((passed, reports.iter().filter(holds).count()))
    }

    fn package(&self, step: usize) -> PathBuf {
        self.my.path().join(format!("steps/{step:02}-{}", steps::name(step)))
    }

    /// Changes a file of a step.
    fn edits(&self, step: usize, file: &str, from: &str, to: &str) -> Result<()> {
        let path = self.package(step).join(file);
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(from), "{} has no {from:?}", path.display());
        Ok(fs::write(&path, text.replacen(from, to, 1))?)
    }

    fn reads(&self, step: usize, file: &str) -> Result<String> {
        let path = self.package(step).join(file);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Whether a text is in some file below `aside`.
    fn has_aside(&self, text: &str) -> bool {
        contains(&self.my.path().join("aside"), text)
    }

    /// Everything of a step from the reference.
    fn solves(&self, step: usize) -> Result<()> {
        for exercise in exercises(step) {
            self.types(&format!("solve {exercise}"))?;
        }
        self.types(&format!("solve {step}"))?;
        Ok(())
    }
}

fn contains(path: &Path, text: &str) -> bool {
    if path.is_dir() {
        let mut entries = fs::read_dir(path).into_iter().flatten().flatten();
        return entries.any(|entry| contains(&entry.path(), text));
    }
    fs::read_to_string(path).is_ok_and(|it| it.contains(text))
}

/// `["5.1", "5.2"]`
fn exercises(step: usize) -> Vec<String> {
    let of_step = checks::all().filter(|check| check.step == step);
    let mut all: Vec<String> = of_step.map(|check| check.exercise.to_string()).collect();
    all.retain(|it| it.contains('.'));
    all.sort();
    all.dedup();
    all
}

fn to_the_last() -> Result<()> {
    let learner = Learner::new()?;
    let whole = env::var_os("JOURNEY").is_some_and(|value| value == "whole");
    let first = if geteuid().is_root() { 1 } else { 6 };
    for step in steps::numbers() {
        let said = learner.types(&format!("start {step}"))?;
        ensure!(said.contains(&format!("check {step}")), "start {step} names no check: {said}");
        let closely = whole || step == first;
        if closely {
            ensure!(!learner.check(step)?.0, "the skeleton of step {step} passes");
        }
        for exercise in exercises(step) {
            learner.types(&format!("solve {exercise}"))?;
            if closely {
                ensure!(!learner.check(step)?.0, "step {step} passes without its main.rs");
            }
        }
        learner.types(&format!("solve {step}"))?;
        let (passed, holds) = learner.check(step)?;
        ensure!(passed && holds > 0, "step {step}: {holds} checks hold");
        let same = learner.types(&format!("diff {step}"))?;
        ensure!(same.contains("yours is the reference"), "{same}");
    }
    Ok(())
}

/// Step 1 is right and in the learner's own words; in step 2 one function is right and one wrong.
fn latecomer() -> Result<()> {
    let learner = Learner::new()?;
    learner.types("start 1")?;
    learner.solves(1)?;
    learner.edits(1, "src/lib.rs", "unistd::chroot(root)", "/* my own */ unistd::chroot(root)")?;
    learner.types("start 2")?;
    learner.solves(2)?;
    learner.edits(
        2,
        "src/lib.rs",
        "rustix::system::sethostname",
        "/* mine too */ rustix::system::sethostname",
    )?;
    learner.edits(
        2,
        "src/lib.rs",
        "rustix::system::setdomainname",
        "/* wrong */ rustix::system::sethostname",
    )?;
    let said = learner.types("jump 4")?;
    let first = said.lines().find(|line| line.contains("1 chroot")).unwrap_or_default();
    ensure!(first.contains("yours: its checks pass"), "{said}");
    let second = said.lines().find(|line| line.contains("2 uts")).unwrap_or_default();
    ensure!(second.contains("with your") && second.contains("set_hostname"), "{said}");
    ensure!(!second.contains("set_domainname"), "{said}");
    let library = learner.reads(2, "src/lib.rs")?;
    ensure!(library.contains("mine too") && !library.contains("wrong"), "{library}");
    ensure!(learner.has_aside("/* wrong */"), "what was wrong is lost");
    ensure!(learner.reads(1, "src/lib.rs")?.contains("my own"), "step 1 is lost");
    ensure!(learner.check(2)?.0 && learner.check(3)?.0, "what was jumped over does not hold");
    ensure!(learner.reads(4, "src/main.rs")?.contains("pid::Clone3"), "main.rs is not step 3's");
    Ok(())
}

fn nothing_is_overwritten() -> Result<()> {
    let learner = Learner::new()?;
    learner.types("start 1")?;
    learner.edits(1, "Cargo.toml", "[dependencies]", "[dependencies]\n# my dependency")?;
    let fresh = learner.types("start 1")?;
    ensure!(!fresh.contains("aside"), "an untouched step is moved aside: {fresh}");
    ensure!(learner.reads(1, "Cargo.toml")?.contains("# my dependency"), "start overwrote it");
    learner.edits(1, "src/exec.rs", "fn exists", "// of mine\nfn exists")?;
    learner.types("solve 1.5")?;
    ensure!(learner.has_aside("exercise 1.5 is not written yet"), "solve keeps no old body");
    ensure!(learner.reads(1, "src/exec.rs")?.contains("// of mine"), "solve lost a comment");
    fs::write(learner.package(1).join("src/notes.rs"), "// my notes\n")?;
    fs::write(learner.my.path().join("Cargo.toml"), "[workspace]\n# my remark\nmembers = []\n")?;
    let said = learner.types("start 1")?;
    ensure!(said.contains("is kept in") && said.contains("aside"), "{said}");
    for text in ["// of mine", "// my notes", "members = []"] {
        ensure!(learner.has_aside(text), "{text} is lost");
    }
    ensure!(contains(&learner.my.path().join("Cargo.toml"), "# my remark"), "a remark is lost");
    let back = said.lines().find_map(|line| line.trim().strip_prefix("to have it back: "));
    let typed =
        Command::new("sh").args(["-c", back.context("start names no way back")?]).status()?;
    ensure!(typed.success() && learner.reads(1, "src/notes.rs")?.contains("my notes"), "{back:?}");
    Ok(())
}

fn broken_state() -> Result<()> {
    let learner = Learner::new()?;
    learner.types("start 2")?;
    let file = learner.my.path().join("workshop.toml");
    for broken in ["step = [", "version = 99\nstep = 1\n", "\u{0}"] {
        fs::write(&file, broken)?;
        let output = learner.run("next")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && said.contains("is of no use"), "{broken:?}: {said}");
        ensure!(learner.has_aside(broken), "{broken:?} is lost");
        ensure!(fs::read_to_string(&file)?.contains("step = 2"), "{broken:?} was not mended");
    }
    fs::remove_file(&file)?;
    ensure!(learner.types("next")?.contains("Step 2, uts"), "a missing state was not mended");
    Ok(())
}

fn not_rust() -> Result<()> {
    let learner = Learner::new()?;
    learner.types("start 2")?;
    learner.edits(2, "src/lib.rs", "fn set_hostname(", "fun set_hostname(")?;
    let output = learner.run("solve 2.2")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let place = format!("{}:", learner.package(2).join("src/lib.rs").display());
    ensure!(output.status.code() == Some(125) && said.contains(&place), "{said}");
    ensure!(said.contains("this is not Rust"), "{said}");
    ensure!(learner.types("next")?.contains("mend unshare"), "next does not see it");
    learner.edits(2, "src/lib.rs", "fun set_hostname(", "fn other_name(")?;
    let said = String::from_utf8_lossy(&learner.run("solve 2.2")?.stderr).into_owned();
    ensure!(said.contains("the function set_hostname of exercise 2.2 is no more in"), "{said}");
    Ok(())
}

/// The last that `diff 3 4` shows.
const LAST: &str = "steps/04-mount/src/tree.rs";

/// Through $PAGER on a terminal, in colour unless NO_COLOR is set; and printed where there is none.
fn paged() -> Result<()> {
    let shown = |pager: &str, no_color: &str, last: &str| -> Result<String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_workshop"));
        command.args(["diff", "3", "4"]).env("PAGER", pager).env("NO_COLOR", no_color);
        let mut terminal = Terminal::start(&mut command)?;
        terminal.shows(last)?;
        ensure!(terminal.end()?.success(), "diff fails: {}", terminal.said());
        Ok(terminal.said().to_string())
    };
    let gain = "mount::make_private()?;";
    let said = shown("sed s/^/paged:/", "", LAST)?;
    ensure!(said.contains("paged:") && said.contains("\x1b[32m") && said.contains(gain), "{said}");
    let said = shown("sed s/^/paged:/", "1", LAST)?;
    ensure!(said.contains("paged:") && !said.contains('\x1b'), "{said:?}");
    let said = shown("no-such-pager", "", LAST)?;
    ensure!(said.contains(gain), "without a pager nothing is shown: {said}");
    ensure!(shown("true", "", "")?.is_empty(), "a reader who quits at once is told something");
    let learner = Learner::new()?;
    let said = learner.types("diff 3 4")?;
    ensure!(said.contains(gain) && !said.contains("\x1b"), "{said}");
    Ok(())
}
