//! A step's package as it stands in `my/`: the reference without what tests it, whole or with
//! exercises blank. Derived from `steps/` whenever it is needed; skeletons are kept nowhere.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    checkout,
    exercise::{self, Exercise, Id},
    manifest, source,
    steps::Step,
};

pub const MAIN: &str = "src/main.rs";

/// What a main.rs says that does nothing yet.
pub const UNWIRED: &str = "is not wired in main.rs yet";

/// What of a package is not the learner's business.
const LEFT_OUT: [&str; 6] = ["Cargo.toml", "attack.rs", "tests", "fuzz", "hints.md", "target"];

/// The files of a package, by their paths below it.
#[derive(Clone, PartialEq)]
pub struct Handout {
    step: Step,
    files: BTreeMap<PathBuf, String>,
}

impl Handout {
    /// The reference.
    pub fn reference(step: Step) -> Result<Handout> {
        let package = checkout::checkout()?.join("steps").join(step.directory());
        let mut files = BTreeMap::from([("Cargo.toml".into(), manifest::package(&package)?)]);
        for name in entries(&package)?.into_iter().filter(|it| !left_out(it)) {
            collect(&package, &name, &mut files)?;
        }
        Ok(Handout { step, files })
    }

    /// With all exercises blank, and `main.rs` as the step before left it.
    pub fn skeleton(step: Step, main_before: Option<&str>) -> Result<Handout> {
        let mut handout = Handout::reference(step)?;
        handout.blank(|_| true)?;
        let main = main_to_wire(step, handout.main(), main_before)?;
        handout.set_main(main);
        Ok(handout)
    }

    /// Blanks the exercises that are wanted.
    pub fn blank(&mut self, wanted: impl Fn(Id) -> bool) -> Result<()> {
        for (file, text) in &mut self.files {
            let mut exercises = exercise::in_text(file, text)?;
            exercises.retain(|it| wanted(it.id));
            // From the last to the first: what was found of those before stays true.
            exercises.sort_by_key(|it| std::cmp::Reverse(it.function.body.start));
            for it in exercises {
                *text = exercise::blank(text, it.id, &it.function);
            }
        }
        Ok(())
    }

    /// Gives the function of an exercise another body.
    pub fn fill(&mut self, exercise: &Exercise, body: &str) -> Result<()> {
        let text = self.files.get_mut(&exercise.file).context("the exercise's file is missing")?;
        let here = exercise::in_text(&exercise.file, text)?;
        let here = here.into_iter().find(|it| it.id == exercise.id);
        let here = here.with_context(|| format!("exercise {} is missing", exercise.id))?;
        *text = source::replace(text, &here.function.body, body);
        Ok(())
    }

    pub fn main(&self) -> &str {
        &self.files[Path::new(MAIN)]
    }

    pub fn set_main(&mut self, text: String) {
        self.files.insert(MAIN.into(), text);
    }

    /// The Rust sources, by their paths below the package.
    pub fn sources(&self) -> BTreeMap<PathBuf, String> {
        let rust = |(path, _): &(&PathBuf, &String)| path.extension().is_some_and(|it| it == "rs");
        self.files.iter().filter(rust).map(|(path, text)| (path.clone(), text.clone())).collect()
    }

    /// Whether a package has these very sources, and no others.
    pub fn stands_in(&self, package: &Path) -> bool {
        exercise::sources(package).is_ok_and(|theirs| theirs == self.sources())
    }

    /// Writes the package.
    pub fn write(&self, package: &Path) -> Result<()> {
        for (name, text) in &self.files {
            let path = package.join(name);
            let act = || format!("cannot write {}", path.display());
            fs::create_dir_all(path.parent().context("a file is in no directory")?)
                .with_context(act)?;
            fs::write(&path, text).with_context(act)?;
        }
        Ok(())
    }
}

fn left_out(name: &Path) -> bool {
    LEFT_OUT.iter().any(|it| name == Path::new(it))
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let act = || format!("cannot read {}", dir.display());
    let entries = fs::read_dir(dir).with_context(act)?;
    entries.map(|entry| Ok(entry.with_context(act)?.file_name().into())).collect()
}

/// Takes a file, or all that is in a directory, but for tests.
fn collect(package: &Path, name: &Path, files: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    let path = package.join(name);
    if name.file_stem().is_some_and(|stem| stem == "tests") {
        return Ok(());
    }
    if path.is_dir() {
        return entries(&path)?.iter().try_for_each(|it| collect(package, &name.join(it), files));
    }
    let text = fs::read_to_string(&path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let text = match name.extension().is_some_and(|it| it == "rs") {
        true => source::without_tests(&path, &text)?,
        false => text,
    };
    files.insert(name.to_owned(), text);
    Ok(())
}

/// The `main.rs` that a step begins with: that of the step before, under this step's title. The
/// first step has none before it, and begins with a blank `run`.
fn main_to_wire(step: Step, reference: &str, before: Option<&str>) -> Result<String> {
    let Some(before) = before else {
        let functions = source::functions(Path::new(MAIN), reference)?;
        let run = functions.into_iter().find(|it| it.path == "run");
        let run = run.with_context(|| format!("main.rs of {step} has no run"))?;
        let body = format!("{{\n    anyhow::bail!(\"{}\")\n}}", unwired(step));
        return Ok(source::replace(reference, &run.body, &body));
    };
    let title = reference.lines().next().unwrap_or_default();
    Ok(match before.split_once('\n') {
        Some((first, rest)) if first.starts_with("//! Step ") => format!("{title}\n{rest}"),
        _ => before.to_string(),
    })
}

/// What `run` of the first step says until it is written.
pub fn unwired(step: Step) -> String {
    format!("step {} {UNWIRED}: run", step.number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn main_gets_the_steps_title_and_keeps_the_rest() {
        let step = "2".parse().unwrap();
        let before = "//! Step 1: a\r\nfn run() {} // mine";
        let main = main_to_wire(step, "//! Step 2: b\nfn run() {}", Some(before)).unwrap();
        assert_eq!(main, "//! Step 2: b\nfn run() {} // mine");
        let main = main_to_wire(step, "//! Step 2: b\n", Some("// mine\n//! Step 1: a\n")).unwrap();
        assert_eq!(main, "// mine\n//! Step 1: a\n");
    }

    #[test]
    fn every_skeleton_is_blank_and_is_filled_to_the_reference() {
        for step in Step::all() {
            let reference = Handout::reference(step).unwrap();
            let mut handout = Handout::skeleton(step, None).unwrap();
            let exercises = exercise::of_step(step).unwrap();
            assert!((2..=5).contains(&exercises.len()), "{step} has {} exercises", exercises.len());
            for it in &exercises {
                let text = &handout.files[&it.file];
                assert!(text.contains(&exercise::unwritten(it.id, &it.function)), "{}", it.id);
            }
            assert!(handout.main().contains(&unwired(step)));
            for it in exercises {
                handout.fill(&it, &it.solution).unwrap();
            }
            handout.set_main(reference.main().to_string());
            assert!(handout == reference, "{step}");
        }
    }

    #[test]
    fn tests_and_attacks_stay_at_home() {
        for step in Step::all() {
            for (name, text) in Handout::reference(step).unwrap().files {
                assert!(!text.contains("cfg(test)") && !text.contains("evidence"), "{name:?}");
                assert!(!name.ends_with("attack.rs") && !name.ends_with("hints.md"), "{name:?}");
            }
        }
    }
}
