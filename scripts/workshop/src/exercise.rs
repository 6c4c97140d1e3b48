//! Exercises: the functions of a step's library whose doc comment ends with a line `Exercise N.K`.
//! They are derived from the source, never written twice; a blank one is an error with its name.

use std::{
    collections::BTreeMap,
    fmt, fs,
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, Result, bail};

use crate::{
    checkout,
    source::{self, Function},
    steps::Step,
};

/// `5.2`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub step: Step,
    pub number: u32,
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Id, String> {
        let form = || format!("an exercise is a step and a number, 5.2, not {text}");
        let (step, number) = text.split_once('.').ok_or_else(form)?;
        Ok(Id { step: step.parse()?, number: number.parse().map_err(|_| form())? })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}", self.step.number(), self.number)
    }
}

/// What the command line names: one exercise, or a step (its wiring in main.rs).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Task {
    Exercise(Id),
    Wiring(Step),
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> Result<Task, String> {
        match text.contains('.') {
            true => text.parse().map(Task::Exercise),
            false => text.parse().map(Task::Wiring),
        }
    }
}

/// A function that the learner writes.
#[derive(Clone, Debug)]
pub struct Exercise {
    pub id: Id,
    /// Below the package: `src/lib.rs`.
    pub file: PathBuf,
    pub function: Function,
    /// Its body in the reference.
    pub solution: String,
}

impl Exercise {
    /// The doc comment without the line that marks it.
    pub fn task(&self) -> String {
        let docs = &self.function.docs;
        let marker = docs.iter().rposition(|line| marked(line).is_some()).unwrap_or(docs.len());
        docs[..marker].join("\n").trim().to_string()
    }
}

/// The exercises of a step's reference, in the order of their numbers.
pub fn of_step(step: Step) -> Result<Vec<Exercise>> {
    of_package(step, &checkout::checkout()?.join("steps").join(step.directory()))
}

/// The exercises in a package that is a step's.
pub fn of_package(step: Step, package: &Path) -> Result<Vec<Exercise>> {
    let mut found = Vec::new();
    for (file, text) in sources(package)? {
        found.extend(in_text(&file, &text)?);
    }
    found.sort_by_key(|it| it.id);
    match found.iter().find(|it| it.id.step != step) {
        Some(stranger) => bail!("exercise {} stands in {step}", stranger.id),
        None => Ok(found),
    }
}

/// One exercise of the reference.
pub fn find(id: Id) -> Result<Exercise> {
    let all = of_step(id.step)?;
    let last = all.len();
    let found = all.into_iter().find(|it| it.id == id);
    found.with_context(|| format!("{} has exercises 1 to {last}; there is no {id}", id.step))
}

/// The Rust sources of a package by their paths below it, `src/lib.rs`; without tests.
pub fn sources(package: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    collect(package, &package.join("src"), &mut found)?;
    Ok(found)
}

fn collect(package: &Path, dir: &Path, found: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    let act = || format!("cannot read {}", dir.display());
    for entry in fs::read_dir(dir).with_context(act)? {
        let path = entry.with_context(act)?.path();
        let is_tests = path.file_stem().is_some_and(|name| name == "tests");
        if path.is_dir() && !is_tests {
            collect(package, &path, found)?;
        } else if path.extension().is_some_and(|it| it == "rs") && !is_tests {
            let text = fs::read_to_string(&path);
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            found.insert(path.strip_prefix(package)?.to_owned(), text);
        }
    }
    Ok(())
}

/// The exercises in the text of a file; none if it is not Rust by its name.
pub fn in_text(file: &Path, text: &str) -> Result<Vec<Exercise>> {
    if file.extension().is_none_or(|it| it != "rs") {
        return Ok(Vec::new());
    }
    let functions = source::functions(file, text)?;
    let exercise = |function: Function| {
        let id = function
            .docs
            .iter()
            .rev()
            .find(|line| !line.is_empty())
            .and_then(|line| marked(line))?;
        let solution = text[function.body.clone()].to_string();
        Some(Exercise { id, file: file.to_owned(), function, solution })
    };
    Ok(functions.into_iter().filter_map(exercise).collect())
}

/// The exercise that a line marks: it says nothing else.
fn marked(line: &str) -> Option<Id> {
    line.strip_prefix("Exercise ")?.parse().ok()
}

/// What a blank function says instead.
pub fn unwritten(id: Id, function: &Function) -> String {
    format!("exercise {id} is not written yet: {}", function.name())
}

/// The text with the body of a function blank: an error that names the exercise and the function,
/// at the function's own indentation and with the text's line ends.
pub fn blank(text: &str, id: Id, function: &Function) -> String {
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let line = text[..function.start].rfind('\n').map_or(0, |at| at + 1);
    let before = &text[line..function.start];
    let indent = &before[..before.len() - before.trim_start().len()];
    let error = format!("anyhow::bail!(\"{}\")", unwritten(id, function));
    let body = format!("{{{end}{indent}    {error}{end}{indent}}}");
    source::replace(text, &function.body, &body)
}

/// Where a function stands in a package: file, text and function.
pub struct Place {
    pub file: PathBuf,
    pub text: String,
    pub function: Function,
}

impl Place {
    pub fn body(&self) -> &str {
        &self.text[self.range()]
    }

    pub fn range(&self) -> Range<usize> {
        self.function.body.clone()
    }
}

impl Exercise {
    /// Finds the function in another package, the learner's: in the file where it was, else in the
    /// only other file that has one of this path. Files that are not Rust are an error only if
    /// it is not found in the others.
    pub fn locate(&self, package: &Path) -> Result<Place> {
        let mut trouble = None;
        let mut places = Vec::new();
        for (file, text) in sources(package)? {
            match source::functions(&package.join(&file), &text) {
                Ok(functions) => places.extend(self.among(functions, &file, &text)),
                Err(error) if file == self.file => return Err(error),
                Err(error) => trouble = Some(error),
            }
        }
        let home = places.iter().position(|it| it.file == self.file);
        let what = format!("the function {} of exercise {}", self.function.path, self.id);
        match (home, places.len(), trouble) {
            (Some(at), ..) => Ok(places.swap_remove(at)),
            (None, 1, _) => Ok(places.remove(0)),
            (None, 0, Some(error)) => Err(error.context(format!("cannot find {what}"))),
            (None, 0, None) => bail!("{what} is no more in {}", package.join("src").display()),
            _ => bail!("{what} is in several files, and not in {}", self.file.display()),
        }
    }

    fn among(&self, functions: Vec<Function>, file: &Path, text: &str) -> Option<Place> {
        let function = functions.into_iter().find(|it| it.path == self.function.path)?;
        Some(Place { file: file.to_owned(), text: text.to_string(), function })
    }

    /// Whether this is still the error that `start` wrote.
    pub fn is_blank(&self, place: &Place) -> bool {
        place.body().contains(&unwritten(self.id, &self.function))
    }
}

#[cfg(test)]
mod tests;
