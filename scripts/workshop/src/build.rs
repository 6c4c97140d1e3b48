//! cargo, quiet: it builds what a command needs, and is heard only when that fails.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt, fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Error, Result};
use serde::Deserialize;

use crate::{advice::advised, checkout, steps::Step};

/// cargo failed, and said why.
#[derive(Debug)]
struct NotBuilt {
    packages: String,
    said: String,
}

impl fmt::Display for NotBuilt {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "cannot build {}", self.packages)
    }
}

impl std::error::Error for NotBuilt {}

/// cargo's own message, if it is why this failed.
pub fn said(error: &Error) -> Option<&str> {
    error.downcast_ref().map(|failure: &NotBuilt| failure.said.as_str())
}

/// One line of `cargo build --message-format=json`, as far as we read it.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
    /// It was built before, and nothing had to be done.
    #[serde(default)]
    fresh: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Builds the programs of steps.
pub fn steps(steps: &[Step], progress: &mut dyn FnMut(&str)) -> Result<()> {
    let packages = steps.iter().flat_map(|step| ["-p", step.name()]);
    cargo(&packages.collect::<Vec<_>>(), progress).map(drop)
}

/// Builds what the checks of a step need besides the learner's program: `act`, and the reference's.
pub fn checks(step: Step, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let name = step.name();
    cargo(&["-p", "evidence", "-p", name, "--bin", "act", "--bin", name], progress).map(drop)
}

/// Builds the program that says what the kernel tells it.
pub fn probe() -> Result<()> {
    cargo(&["-p", "evidence", "--bin", "probe"], &mut |_| {}).map(drop)
}

/// Builds the programs of steps in another workspace, in a `target` of its own, and returns the
/// directory of the programs.
pub fn workspace(dir: &Path, steps: &[Step], progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let mut arguments: Vec<OsString> = vec!["--target-dir".into(), dir.join("target").into()];
    arguments.extend(steps.iter().flat_map(|step| ["-p".into(), step.name().into()]));
    let program = cargo_in(dir, &arguments, progress)?.context("cargo built no program")?;
    Ok(program.parent().context("a program is in no directory")?.to_owned())
}

/// Builds a step's attack, and returns the program.
///
/// The examples of all packages are called `attack`, and cargo keeps the last one built under that
/// name: so each gets a second name, `attack-STEP`.
pub fn attack(step: Step, progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let built = cargo(&["-p", step.name(), "--example", "attack"], progress)?;
    let program = attack_program(step)?;
    if checkout::kit().is_some() {
        return Ok(program);
    }
    let built = built.context("cargo built no attack")?;
    let _ = fs::remove_file(&program);
    fs::hard_link(&built, &program)
        .with_context(|| format!("cannot make {}", program.display()))?;
    Ok(program)
}

/// Where [`attack`] leaves its program.
pub fn attack_program(step: Step) -> Result<PathBuf> {
    Ok(checkout::programs()?.join("examples").join(format!("attack-{}", step.name())))
}

/// Builds in the checkout; in a kit there is nothing to build.
fn cargo(arguments: &[&str], progress: &mut dyn FnMut(&str)) -> Result<Option<PathBuf>> {
    if checkout::kit().is_some() {
        return Ok(None);
    }
    cargo_in(&checkout::checkout()?, arguments, progress)
}

/// Runs `cargo build`, names each crate to `progress` when it is built, and returns the last program.
fn cargo_in<A: AsRef<OsStr>>(
    dir: &Path,
    arguments: &[A],
    progress: &mut dyn FnMut(&str),
) -> Result<Option<PathBuf>> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(dir);
    cargo.args(["build", "--quiet", "--message-format=json-render-diagnostics"]).args(arguments);
    if release(&checkout::programs()?) {
        cargo.arg("--release");
    }
    cargo.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = cargo.spawn().map_err(no_cargo)?;
    let errors = child.stderr.take().context("cargo has no stderr")?;
    let errors = std::thread::spawn(move || read(errors));
    let mut program = None;
    for line in BufReader::new(child.stdout.take().context("cargo has no stdout")?).lines() {
        let message: Message = serde_json::from_str(&line?).context("cannot understand cargo")?;
        program = message.executable.or(program);
        match message.target {
            Some(target) if !message.fresh => progress(&target.name),
            _ => {}
        }
    }
    if !child.wait()?.success() {
        let said = errors.join().unwrap_or_default();
        return Err(NotBuilt { packages: named(arguments), said }.into());
    }
    Ok(program)
}

/// What to say if cargo could not be started.
pub fn no_cargo(error: std::io::Error) -> Error {
    let failure = crate::describe(&Error::new(error).context("cannot run cargo"));
    advised(failure, "building takes Rust: https://rustup.rs; cargo workshop doctor says more")
}

/// The packages that were asked for.
fn named<A: AsRef<OsStr>>(arguments: &[A]) -> String {
    let words: Vec<_> = arguments.iter().map(|it| it.as_ref().to_string_lossy()).collect();
    let packages = words.windows(2).filter(|two| two[0] == "-p").map(|two| two[1].as_ref());
    packages.collect::<Vec<_>>().join(", ")
}

fn read(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What we were built with, the steps are built with.
fn release(programs: &Path) -> bool {
    programs.ends_with("release")
}
