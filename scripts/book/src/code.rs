//! `{{#fn mount::pivot}}` and `{{#item mount::NAME}}`: one function or one other item of a step's
//! sources, found by its path and taken as it stands.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result, bail};
use workshop::{
    exercise,
    source::{self, items},
    steps::Step,
};

use crate::place::Place;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Function,
    Item,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// With the modules that its file is: `root::pivot`.
    pub path: String,
    /// Below the checkout: `steps/04-mount/src/root.rs`.
    pub file: String,
    /// The line of its name.
    pub line: usize,
    pub text: String,
}

/// Finds `mount::root::pivot`: the step by its name, then as much of the path as makes it unique.
pub fn find(place: &Place, path: &str, kind: Kind) -> Result<Found> {
    let (step, wanted) = path.split_once("::").context("this is CRATE::PATH: mount::pivot")?;
    let step = step_named(step)?;
    let all = all(place, step, kind)?;
    let exact: Vec<&Found> = all.iter().filter(|it| it.path == wanted).collect();
    let end = format!("::{wanted}");
    let ends: Vec<&Found> = all.iter().filter(|it| it.path.ends_with(&end)).collect();
    let what = if kind == Kind::Function { "function" } else { "item" };
    match (exact.as_slice(), ends.as_slice()) {
        ([one], _) | ([], [one]) => Ok((*one).clone()),
        ([], []) => bail!("there is no {what} {wanted} in steps/{}/src", step.directory()),
        _ => {
            let paths: Vec<&str> = exact.iter().chain(&ends).map(|it| it.path.as_str()).collect();
            bail!("several {what}s are called {wanted}: {}", paths.join(", "))
        }
    }
}

fn step_named(name: &str) -> Result<Step> {
    let found = Step::all().find(|step| step.name() == name);
    found.with_context(|| format!("there is no step {name}"))
}

/// What was found in packages so far.
type Packages = BTreeMap<(PathBuf, Kind), Arc<Vec<Found>>>;

/// All functions or items of a step; each package is read once while the book is built.
fn all(place: &Place, step: Step, kind: Kind) -> Result<Arc<Vec<Found>>> {
    static READ: Mutex<Packages> = Mutex::new(BTreeMap::new());
    let key = (place.package(step), kind);
    let mut read = READ.lock().expect("nobody panics with it");
    if let Some(found) = read.get(&key) {
        return Ok(found.clone());
    }
    let found = Arc::new(read_all(place, step, kind)?);
    Ok(read.entry(key).or_insert(found).clone())
}

fn read_all(place: &Place, step: Step, kind: Kind) -> Result<Vec<Found>> {
    let package = place.package(step);
    let mut found = Vec::new();
    for (file, text) in exercise::sources(&package)? {
        let path = package.join(&file);
        let module = module(&file);
        for (name, line, whole) in ranges(&path, &text, kind)? {
            let path = [&module, name.as_str()].concat();
            let file = place.named(&package.join(&file));
            found.push(Found { path, file, line, text: dedented(&text, &whole) });
        }
    }
    Ok(found)
}

type Ranges = Vec<(String, usize, Range<usize>)>;

fn ranges(path: &Path, text: &str, kind: Kind) -> Result<Ranges> {
    Ok(match kind {
        Kind::Function => {
            let all = source::functions(path, text)?.into_iter();
            all.map(|it| (it.path, it.line, it.whole)).collect()
        }
        Kind::Item => {
            let all = items::items(path, text)?.into_iter();
            all.map(|it| (it.path, it.line, it.whole)).collect()
        }
    })
}

/// `root::` for src/root.rs, nothing for src/lib.rs.
fn module(file: &Path) -> String {
    let inside = file.strip_prefix("src").unwrap_or(file).with_extension("");
    let parts = inside.iter().map(|part| part.to_string_lossy());
    let parts: Vec<_> = parts.filter(|part| part != "lib" && part != "mod").collect();
    parts.iter().map(|part| format!("{part}::")).collect()
}

/// A range of a text, moved to the left as far as its first line is from it.
fn dedented(text: &str, range: &Range<usize>) -> String {
    let line = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
    let indent = &text[line..range.start];
    let lines = text[range.clone()].lines();
    lines.map(|it| it.strip_prefix(indent).unwrap_or(it).to_string() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_comes_with_its_docs_and_without_its_indentation() {
        let text = "impl A {\n    /// One.\n    fn b() {\n        c();\n    }\n}\n";
        let functions = source::functions(Path::new("a.rs"), text).unwrap();
        assert_eq!(dedented(text, &functions[0].whole), "/// One.\nfn b() {\n    c();\n}\n");
    }

    #[test]
    fn a_path_is_found_from_its_end() {
        let place = Place::here().unwrap();
        let found = find(&place, "chroot::exec", Kind::Function).unwrap();
        assert!(found.text.contains("pub fn exec("), "{found:?}");
        let error = find(&place, "chroot::gone", Kind::Function).unwrap_err().to_string();
        assert_eq!(error, "there is no function gone in steps/01-chroot/src");
        assert!(find(&place, "cgroups::Args", Kind::Item).is_ok());
    }
}
