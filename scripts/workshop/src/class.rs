//! `workshop class`: a class at a glance, from what `check --json` said of each: who is where, and which
//! check stops most. A file's name is its learner's.

mod html;
mod table;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    check::{Outcome, Report, stopped_by},
    steps::Step,
};

#[derive(clap::Args)]
#[command(after_help = "\
Each file is what one learner's `cargo workshop check --json >NAME.json` printed.")]
pub struct Args {
    /// Files, or directories of .json files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write one page that needs nothing else, for the projector
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Exit code 1 if a file is of no use.
pub fn class(args: &Args) -> Result<i32> {
    let class = Class::read(&args.files)?;
    if let Some(file) = &args.html {
        fs::write(file, html::page(&class))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    crate::end_with_reader();
    print!("{}", table::table(&class));
    Ok(i32::from(!class.broken.is_empty()))
}

/// One learner, and what the last check said.
pub struct Learner {
    pub name: String,
    pub step: Step,
    pub outcome: Outcome,
}

impl Learner {
    /// How many of the step's own checks hold, and of how many.
    pub fn held(&self) -> (usize, usize) {
        let own = self.outcome.own(true);
        let held = own.iter().filter(|report| report.passed == Some(true)).count();
        (held, own.iter().filter(|report| report.passed.is_some()).count())
    }

    /// What stands in the way, in a few words; none if all holds.
    pub fn stopped_by(&self) -> Option<String> {
        match (&self.outcome.error, stopped_by(&self.outcome)) {
            (Some(_), _) => Some("does not compile".into()),
            (None, report) => report.map(|report: &Report| report.check.clone()),
        }
    }
}

pub struct Class {
    /// Who is furthest comes first.
    pub learners: Vec<Learner>,
    /// Files that are of no use, and why.
    pub broken: Vec<(String, String)>,
}

impl Class {
    fn read(given: &[PathBuf]) -> Result<Class> {
        let mut class = Class { learners: Vec::new(), broken: Vec::new() };
        for file in files(given)? {
            match learner(&file) {
                Ok(learner) => class.learners.push(learner),
                Err(error) => {
                    class.broken.push((file.display().to_string(), crate::describe(&error)))
                }
            }
        }
        class.learners.sort_by_key(|it| {
            let far = (it.step, it.outcome.passed, it.held().0);
            (std::cmp::Reverse(far), it.name.to_lowercase())
        });
        Ok(class)
    }

    /// What stops how many, most first.
    pub fn stops(&self) -> Vec<(String, usize)> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for what in self.learners.iter().filter_map(Learner::stopped_by) {
            *counts.entry(what).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }
}

/// The files that were named, and those in directories that were.
fn files(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries =
            fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut inside: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        inside.retain(|path| path.extension().is_some_and(|it| it == "json"));
        inside.sort();
        files.extend(inside);
    }
    if files.is_empty() {
        bail!("there is no .json file in {}", given[0].display());
    }
    Ok(files)
}

/// What is bigger than this was not printed by us.
const LARGEST: u64 = 8 << 20;

fn learner(file: &Path) -> Result<Learner> {
    let size = fs::metadata(file).context("cannot read it")?;
    ensure!(size.is_file() && size.len() < LARGEST, "it is not a file of `check --json`");
    let text = fs::read(file).context("cannot read it")?;
    let outcome: Outcome = serde_json::from_slice(&text)
        .map_err(|error| anyhow::anyhow!("not of `check --json`: {error}"))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Learner { name, step: outcome.of_step()?, outcome })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file as `check --json` prints it, with these checks failed.
    pub fn file(dir: &Path, name: &str, step: u32, failed: &[&str]) {
        let report = |check: &&str| Report {
            step,
            check: check.to_string(),
            passed: Some(false),
            ..Report::example()
        };
        let mut checks = vec![Report { step, ..Report::example() }];
        checks.extend(failed.iter().map(report));
        let outcome = Outcome { step, passed: failed.is_empty(), checks, ..Outcome::example() };
        fs::write(dir.join(name), serde_json::to_string(&outcome).unwrap()).unwrap();
    }

    pub fn made_up() -> Class {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path(), "ada.json", 4, &["04-mount/a"]);
        file(dir.path(), "bob.json", 2, &["02-uts/b"]);
        file(dir.path(), "cleo.json", 4, &[]);
        file(dir.path(), "<script>alert(1)<", 4, &[]);
        file(dir.path(), "<b>\"&'\x1b[31m\u{202e}.json", 4, &["04-mount/a"]);
        fs::write(dir.path().join("empty.json"), "").unwrap();
        fs::write(dir.path().join("other.json"), "{\"step\": 4}").unwrap();
        file(dir.path(), "future.json", 99, &[]);
        Class::read(&[dir.path().into()]).unwrap()
    }

    #[test]
    fn who_is_furthest_is_first_and_broken_files_are_named() {
        let class = made_up();
        let names: Vec<_> = class.learners.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["cleo", "<b>\"&'\x1b[31m\u{202e}", "ada", "bob"]);
        assert_eq!(class.stops(), [("04-mount/a".to_string(), 2), ("02-uts/b".to_string(), 1)]);
        let broken: Vec<_> =
            class.broken.iter().map(|(file, why)| format!("{file}: {why}")).collect();
        assert_eq!(broken.len(), 3, "{broken:?}");
        for (name, why) in
            [("empty", "EOF"), ("future", "steps 1 to 9 and 14"), ("other", "missing")]
        {
            let named = |line: &String| line.contains(name) && line.contains(why);
            assert!(broken.iter().any(named), "{name}: {broken:?}");
        }
    }

    #[test]
    fn an_empty_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Class::read(&[dir.path().into()]).is_err());
    }
}
