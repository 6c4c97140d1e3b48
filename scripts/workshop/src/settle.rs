//! What becomes of an earlier step when another is begun: the learner's own stays where its checks
//! pass; otherwise the reference takes its place, and theirs is moved aside, never lost.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{
    aside,
    exercise::{self, sources},
    handout::{Handout, MAIN},
    judge::{Verdict, judge},
    my::My,
    place::Choice,
    steps::Step,
};

/// Whose a step is now, and why.
pub enum Settled {
    /// There was none of the learner's, or it was the reference's already.
    Reference,
    /// It holds.
    Theirs,
    /// It could not be checked here, for this reason.
    Unchecked(String),
    /// It failed, for this reason, and is kept there. These functions of it live on in the reference.
    Replaced { why: String, aside: PathBuf, functions: Vec<String> },
}

/// Whether what passes is kept by whole steps or also function by function.
#[derive(Clone, Copy, PartialEq)]
pub enum Keep {
    Steps,
    Functions,
}

/// Settles one step; those before it are settled.
pub fn settle(my: &My, step: Step, keep: Keep, choice: Choice) -> Result<Settled> {
    let package = my.package(step);
    let reference = Handout::reference(step)?;
    if !package.exists() || reference.stands_in(&package) {
        reference.write(&package)?;
        return Ok(Settled::Reference);
    }
    if !my.has(step) {
        let why = "it has no Cargo.toml".to_string();
        return replace(my, step, reference, why, keep, choice);
    }
    match judge(my, step, choice)? {
        Verdict::Holds => Ok(Settled::Theirs),
        Verdict::Unknown(why) => Ok(Settled::Unchecked(why)),
        Verdict::Fails(why) => replace(my, step, reference, why, keep, choice),
    }
}

/// Moves the learner's step aside and puts the reference in its place, with what of theirs passes.
fn replace(
    my: &My,
    step: Step,
    reference: Handout,
    why: String,
    keep: Keep,
    choice: Choice,
) -> Result<Settled> {
    let aside = aside::move_there(my.dir(), &my.package(step))?;
    let mut handout = reference;
    let mut functions = Vec::new();
    if keep == Keep::Functions {
        for (name, candidate) in candidates(step, &aside)? {
            let tried = candidate(&handout)?;
            tried.write(&my.package(step))?;
            if judge(my, step, choice)? == Verdict::Holds {
                handout = tried;
                functions.push(name);
            }
        }
    }
    handout.write(&my.package(step))?;
    Ok(Settled::Replaced { why, aside, functions })
}

type Change = Box<dyn Fn(&Handout) -> Result<Handout>>;

/// What of the learner's may live on: each function that they wrote, then their main.rs. One after the
/// other is put into the reference and stays if all checks pass: so what stays passes together.
fn candidates(step: Step, theirs: &std::path::Path) -> Result<Vec<(String, Change)>> {
    let mut all: Vec<(String, Change)> = Vec::new();
    for exercise in exercise::of_step(step)? {
        let Ok(place) = exercise.locate(theirs) else { continue };
        if exercise.is_blank(&place) || place.body() == exercise.solution {
            continue;
        }
        let (name, body) = (exercise.function.name().to_string(), place.body().to_string());
        let change: Change = Box::new(move |handout| {
            let mut handout = handout.clone();
            handout.fill(&exercise, &body)?;
            Ok(handout)
        });
        all.push((name, change));
    }
    if let Ok(main) = fs::read_to_string(theirs.join(MAIN)) {
        let change: Change = Box::new(move |handout| {
            let mut handout = handout.clone();
            handout.set_main(main.clone());
            Ok(handout)
        });
        all.push(("main.rs".into(), change));
    }
    Ok(all)
}

/// `main.rs` of a step that is settled.
pub fn main_of(my: &My, step: Step) -> Result<String> {
    let package = my.package(step);
    let mut sources = sources(&package)?;
    let main = sources.remove(std::path::Path::new(MAIN));
    main.with_context(|| format!("{} is missing", package.join(MAIN).display()))
}
