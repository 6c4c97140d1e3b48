//! The bug zoo: mistakes of real container programs, each a patch to one step. It says how the
//! mistake shows and which checks must see it. `workshop bug` hands them out; tests/zoo.rs proves
//! that each compiles and is caught.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use diffy::Patch;
use diffy::patch_set::{FileOperation, ParseOptions, PatchKind, PatchSet};

use crate::checks::{self, Check};

/// One mistake, from `tests/zoo/NN-slug.patch`.
pub struct Bug {
    /// The number of the step that it is made in.
    pub step: usize,
    /// `04-old-root-stays`
    pub name: String,
    /// What is wrong, for who has found it.
    pub mistake: String,
    /// How it shows, for who is to find it.
    pub symptom: String,
    /// The checks that must fail, by their full names, where they can be looked for.
    pub caught_by: Vec<String>,
    /// Those that may fail besides, because they need what the mistake broke.
    pub knock_on: Vec<String>,
    /// What kind of program had it.
    pub seen_in: String,
    patch: String,
}

/// All bugs of a checkout, in the order of their names.
pub fn all(checkout: &Path) -> Result<Vec<Bug>> {
    let dir = checkout.join("tests/zoo");
    let entries = fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    paths.sort();
    paths.iter().map(|path| Bug::read(path)).collect()
}

impl Bug {
    fn read(path: &Path) -> Result<Bug> {
        let text = read(path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Bug::parse(name, text).with_context(|| format!("cannot understand {}", path.display()))
    }

    /// The header's lines are `Field: text`, a longer text goes on in indented lines; the first
    /// line of the diff, `--- a/…`, ends it.
    fn parse(name: String, text: String) -> Result<Bug> {
        let header = text.split("\n--- ").next().unwrap_or_default().replace("\n  ", " ");
        let field = |key: &str| {
            let found = header.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
            found.map(str::trim)
        };
        let must = |key: &str| field(key).with_context(|| format!("it has no line {key}:"));
        let step = name.split('-').next().and_then(|number| number.parse().ok());
        let step = step.context("its name does not begin with a step's number")?;
        let caught_by = names(step, must("Caught by")?)?;
        ensure!(!caught_by.is_empty(), "nothing catches it");
        Ok(Bug {
            step,
            mistake: must("Mistake")?.into(),
            symptom: must("Symptom")?.into(),
            caught_by,
            knock_on: names(step, field("Knock-on").unwrap_or_default())?,
            seen_in: must("Seen in")?.into(),
            name,
            patch: text,
        })
    }

    /// Makes the mistake in the steps below `tree`: in all of its files, or in none.
    pub fn apply(&self, tree: &Path) -> Result<()> {
        let mut changed = Vec::new();
        for (path, patch) in self.files()? {
            let before = read(&tree.join(&path))?;
            let after = diffy::apply(&before, &patch)
                .with_context(|| format!("{}.patch no longer applies to {path}", self.name))?;
            changed.push((path, after));
        }
        changed.into_iter().try_for_each(|(path, text)| write(&tree.join(path), &text))
    }

    /// Takes the mistake back: its files become those of `checkout` again.
    pub fn mend(&self, checkout: &Path, tree: &Path) -> Result<()> {
        let mut files = self.files()?.into_iter();
        files.try_for_each(|(path, _)| write(&tree.join(&path), &read(&checkout.join(&path))?))
    }

    /// The files that it is in, below the checkout, and what is wrong in each.
    fn files(&self) -> Result<Vec<(String, Patch<'_, str>)>> {
        let mut files = Vec::new();
        for file in PatchSet::parse(&self.patch, ParseOptions::unidiff()) {
            let file = file.with_context(|| format!("cannot understand {}.patch", self.name))?;
            match (file.operation().strip_prefix(1), file.patch()) {
                (FileOperation::Modify { modified, .. }, PatchKind::Text(patch)) => {
                    files.push((modified.to_string(), patch.clone()));
                }
                _ => bail!("{}.patch does more than change a file", self.name),
            }
        }
        ensure!(!files.is_empty(), "{}.patch changes nothing", self.name);
        Ok(files)
    }

    /// Whether this check must fail.
    pub fn is_caught_by(&self, check: &Check) -> bool {
        self.caught_by.contains(&check.full_name())
    }

    /// Whether this check may fail.
    pub fn may_fail(&self, check: &Check) -> bool {
        self.is_caught_by(check) || self.knock_on.contains(&check.full_name())
    }
}

/// Full names of checks, with commas between; `all` are those of the step.
fn names(step: usize, list: &str) -> Result<Vec<String>> {
    let known: Vec<String> =
        checks::all().filter(|check| check.step == step).map(Check::full_name).collect();
    if list == "all" {
        return Ok(known);
    }
    let names: Vec<String> =
        list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(String::from).collect();
    let unknown = names.iter().find(|name| !known.contains(name));
    ensure!(unknown.is_none(), "step {step} has no check {}", unknown.cloned().unwrap_or_default());
    Ok(names)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "Mistake: none\nSymptom: it is\n  well\nCaught by: CHECK\nSeen in: tests\n";
    const DIFF: &str = "\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-good\n+bad\n";

    fn bug(check: &str) -> Result<Bug> {
        Bug::parse("01-x".into(), HEADER.replace("CHECK", check) + DIFF)
    }

    #[test]
    fn a_header_is_read_and_its_checks_must_exist() {
        let read = bug("01-chroot/exit-codes").unwrap();
        assert_eq!((read.step, &read.symptom[..], read.caught_by.len()), (1, "it is well", 1));
        assert!(bug("all").unwrap().caught_by.len() > 5);
        for wrong in ["", "01-chroot/no-such", "02-uts/names-inside"] {
            assert!(bug(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_bug_is_made_and_taken_back_and_a_file_that_moved_on_is_named() {
        let (tree, checkout) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = tree.path().join("f");
        for dir in [&tree, &checkout] {
            fs::write(dir.path().join("f"), "good\n").unwrap();
        }
        let bug = bug("all").unwrap();
        bug.apply(tree.path()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "bad\n");
        let error = bug.apply(tree.path()).unwrap_err();
        assert!(format!("{error:#}").contains("01-x.patch no longer applies to f"), "{error:#}");
        bug.mend(checkout.path(), tree.path()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "good\n");
    }
}
