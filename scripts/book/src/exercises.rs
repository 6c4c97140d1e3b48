//! `{{#exercises 5}}` and `{{#exercise 5.1}}`: what is to be written, and what the checks will ask.

use std::{
    collections::BTreeMap,
    fmt::Write,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result, ensure};
use evidence::checks;
use workshop::{
    exercise::{self, Exercise, Id},
    steps::Step,
};

use crate::{fence, place::Place};

/// What was found in packages so far.
type Packages = BTreeMap<PathBuf, Arc<Vec<Exercise>>>;

/// The exercises of a step; each package is read once while the book is built.
pub fn all(place: &Place, step: Step) -> Result<Arc<Vec<Exercise>>> {
    static READ: Mutex<Packages> = Mutex::new(BTreeMap::new());
    let package = place.package(step);
    let mut read = READ.lock().expect("nobody panics with it");
    if let Some(found) = read.get(&package) {
        return Ok(found.clone());
    }
    let found = Arc::new(exercise::of_package(step, &package)?);
    Ok(read.entry(package).or_insert(found).clone())
}

/// All of a step, and how they come into main.rs.
pub fn of_step(place: &Place, step: Step) -> Result<String> {
    let all = all(place, step)?;
    ensure!(!all.is_empty(), "{step} has no exercises");
    let sections = all.iter().map(section);
    Ok(sections.chain([wiring(step)?]).collect::<Vec<_>>().join("\n"))
}

/// One of them.
pub fn one(place: &Place, id: Id) -> Result<String> {
    let all = all(place, id.step)?;
    let found = all.iter().find(|it| it.id == id);
    Ok(section(found.with_context(|| format!("there is no exercise {id}"))?))
}

fn section(exercise: &Exercise) -> String {
    let (id, function) = (exercise.id, &exercise.function);
    let signature = format!("{}\n", function.signature);
    let fence = fence::around(&signature);
    let mut text = format!(
        "### Exercise {id}: {}\n\n{}\n\nIn `{}`:\n\n{fence}rust\n{signature}{fence}\n\n",
        function.name(),
        exercise.task(),
        exercise.file.display()
    );
    text += &asked(&id.to_string());
    text
}

/// The wiring: what of the step is seen only once `main.rs` calls it.
pub fn wiring(step: Step) -> Result<String> {
    let number = step.number();
    let asked = asked(&number.to_string());
    Ok(format!(
        "### Exercise {number}: main.rs\n\nCall what you wrote, in the right place of `src/main.rs`.\n\n{asked}"
    ))
}

/// What the checks of an exercise ask of the kernel.
fn asked(exercise: &str) -> String {
    let own: Vec<_> = checks::all().filter(|check| check.exercise == exercise).collect();
    if own.is_empty() {
        return String::new();
    }
    let mut text = String::from("The checks will ask:\n\n");
    for check in own {
        let _ = writeln!(text, "- {}", check.asks.replace('<', "&lt;"));
    }
    text
}
