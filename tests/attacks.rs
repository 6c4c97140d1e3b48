//! Every attack of every step: it must work in a container of the step before, and be stopped by its
//! own step and by the last. Tests are called `04-mount/double-chroot works@pid` and
//! `04-mount/double-chroot is stopped@mount`; with `as-user/` in front, an ordinary user makes the container.
//!
//! The attacks are the example programs of the steps, `cargo build --examples`. STEPS=DIR names
//! the directory of the steps' programs; otherwise it is the one above ours.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use evidence::attack::Outcome;
use evidence::checks::ORDINARY;
use evidence::steps;
use libtest_mimic::{Arguments, Completion, Conclusion, Trial};
use nix::unistd::geteuid;
use serde::Deserialize;

/// What an attack's `--list --json` says of it.
#[derive(Clone, Deserialize)]
struct Attack {
    step: String,
    attack: String,
}

/// What its `--against` says, a line of JSON.
#[derive(Deserialize)]
struct Line {
    #[serde(flatten)]
    outcome: Outcome,
}

/// One attack in one place.
#[derive(Clone)]
struct Attempt {
    attack: Attack,
    program: PathBuf,
    steps: PathBuf,
    place: usize,
    /// As an ordinary user, although we are root.
    ordinary: bool,
}

type Skipped = Arc<Mutex<Vec<String>>>;

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
    let us = std::env::current_exe().context("cannot find this program")?;
    let above = us.parent().and_then(Path::parent).context("this program is in no directory")?;
    let built = std::env::var_os("STEPS").map_or(above.to_path_buf(), PathBuf::from);
    let skipped = Skipped::default();
    let mut trials = Vec::new();
    for (program, attacks) in programs(&above.join("examples"))?.into_values() {
        for attack in attacks {
            for attempt in attempts(&attack, &program, &built)? {
                trials.push(attempt.trial(&skipped));
            }
        }
    }
    let conclusion = libtest_mimic::run(args, trials);
    skipped.lock().iter().for_each(|lines| lines.iter().for_each(|line| println!("{line}")));
    Ok(conclusion)
}

/// Step number to the newest program with that step's attacks: cargo gives all the same name.
fn programs(dir: &Path) -> Result<BTreeMap<usize, (PathBuf, Vec<Attack>)>> {
    let mut found = BTreeMap::new();
    for program in newest_first(dir)? {
        if found.len() == steps::STEPS.len() {
            break;
        }
        // One that an older version of the harness left behind may say anything.
        let Ok(attacks) = list(&program) else { continue };
        let step = attacks.first().and_then(|first| steps::number(&first.step));
        if let Some(step) = step {
            found.entry(step).or_insert((program, attacks));
        }
    }
    let missing = steps::numbers().find(|step| !found.contains_key(step));
    match missing {
        Some(step) => {
            let (name, dir) = (steps::name(step), dir.display());
            bail!("no attack on {name} in {dir}: cargo build --examples")
        }
        None => Ok(found),
    }
}

fn newest_first(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut all: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_none() {
            all.push((path.metadata()?.modified()?, path));
        }
    }
    all.sort();
    Ok(all.into_iter().rev().map(|(_, path)| path).collect())
}

fn list(program: &Path) -> Result<Vec<Attack>> {
    let output = Command::new(program).args(["--list", "--json"]).stdin(Stdio::null()).output()?;
    let lines = String::from_utf8(output.stdout)?;
    lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The step before, its own, and the last that takes a root directory; and those without root, where they need none.
fn attempts(attack: &Attack, program: &Path, built: &Path) -> Result<Vec<Attempt>> {
    let own = steps::number(&attack.step).context("no such step")?;
    let mut places = vec![steps::before(own), own, own.max(steps::LAST_WITH_ROOT)];
    places.dedup();
    let mut all = Vec::new();
    for ordinary in [false, true] {
        let places = places.iter().filter(|place| !ordinary || geteuid().is_root() && **place > 5);
        all.extend(places.map(|place| Attempt {
            attack: attack.clone(),
            program: program.into(),
            steps: built.into(),
            place: *place,
            ordinary,
        }));
    }
    Ok(all)
}

impl Attempt {
    fn name(&self) -> String {
        let own = self.own();
        let must = if self.place < own { "works" } else { "is stopped" };
        let who = if self.ordinary { "as-user/" } else { "" };
        let Attack { step, attack } = &self.attack;
        format!("{who}{own:02}-{step}/{attack} {must}@{}", steps::name(self.place))
    }

    fn own(&self) -> usize {
        steps::number(&self.attack.step).unwrap_or_default()
    }

    fn trial(self, skipped: &Skipped) -> Trial {
        let (name, skipped) = (self.name(), skipped.clone());
        Trial::ignorable_test(self.name(), move || match self.judge() {
            Err(error) => Err(format!("{error:#}").into()),
            Ok(None) => Ok(Completion::Completed),
            Ok(Some(why)) => {
                let line = format!("skipped: {name}: {why}");
                skipped.lock().map_err(|error| error.to_string())?.push(line);
                Ok(Completion::ignored_with(why))
            }
        })
    }

    /// An error if it came out otherwise than it must; a reason if it could not be tried.
    fn judge(&self) -> Result<Option<String>> {
        if let Some(why) = self.cannot() {
            return Ok(Some(why));
        }
        match (self.place < self.own(), self.run()?) {
            (true, Outcome::Worked(_)) | (false, Outcome::Stopped(_)) => Ok(None),
            (_, Outcome::Untried(why)) => Ok(Some(why)),
            (_, outcome) => bail!("{outcome:?}"),
        }
    }

    fn cannot(&self) -> Option<String> {
        let root = geteuid().is_root() && !self.ordinary;
        let closed = !readable_by_all(&self.program) || !readable_by_all(&self.steps);
        match self.place {
            1..6 if !root => {
                Some(format!("step {}, {}, needs root", self.place, steps::name(self.place)))
            }
            _ if self.ordinary && closed => {
                Some("an ordinary user cannot reach the programs".into())
            }
            _ => None,
        }
    }

    fn run(&self) -> Result<Outcome> {
        let mut command = Command::new(&self.program);
        command.args(["--json", "--against", steps::name(self.place), "--steps"]);
        command.arg(&self.steps).arg(&self.attack.attack).stdin(Stdio::null());
        if self.ordinary {
            command.uid(ORDINARY).gid(ORDINARY);
        }
        let output = command.output().context("cannot run the attack")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(!said.is_empty(), "the attack said nothing: {}", error.trim());
        let line: Line =
            serde_json::from_str(said.trim()).context("cannot understand the attack")?;
        Ok(line.outcome)
    }
}

/// Whether everyone may enter all directories on the way.
fn readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let open = |dir: &Path| fs::metadata(dir).is_ok_and(|it| it.permissions().mode() & 0o1 != 0);
    path.ancestors().all(open)
}
