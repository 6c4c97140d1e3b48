//! cargo, quiet: it builds what a command needs, and is heard only when that fails.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{checkout, steps::Step};

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

/// Builds a step's attack, and returns the program.
///
/// The examples of all packages are called `attack`, and cargo keeps the last one built under that
/// name: so each gets a second name, `attack-STEP`.
pub fn attack(step: Step, progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let built = cargo(&["-p", step.name(), "--example", "attack"], progress)?;
    let built = built.context("cargo built no attack")?;
    let program = attack_program(step)?;
    let _ = fs::remove_file(&program);
    fs::hard_link(&built, &program)
        .with_context(|| format!("cannot make {}", program.display()))?;
    Ok(program)
}

/// Where [`attack`] leaves its program.
pub fn attack_program(step: Step) -> Result<PathBuf> {
    Ok(checkout::programs()?.join("examples").join(format!("attack-{}", step.name())))
}

/// Runs `cargo build`, names each crate to `progress` when it is built, and returns the last program.
fn cargo(arguments: &[&str], progress: &mut dyn FnMut(&str)) -> Result<Option<PathBuf>> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(checkout::checkout()?);
    cargo.args(["build", "--quiet", "--message-format=json-render-diagnostics"]).args(arguments);
    if release(&checkout::programs()?) {
        cargo.arg("--release");
    }
    cargo.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = cargo.spawn().context("cannot run cargo")?;
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
        eprint!("{}", errors.join().unwrap_or_default());
        bail!("cannot build {}", arguments.join(" ").replace("-p ", ""));
    }
    Ok(program)
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
