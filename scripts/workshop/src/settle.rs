//! What becomes of an earlier step when another is begun: the learner's own stays where its checks
//! pass; otherwise the reference takes its place, and theirs is moved aside, never lost.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    aside,
    exercise::{self, Exercise, sources},
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
    if !package.exists() {
        reference.write(&package)?;
        return Ok(Settled::Reference);
    }
    if !my.has(step) {
        let why = "Cargo.toml is missing".to_string();
        return replace(my, step, reference, why, keep, choice);
    }
    if reference.stands_in(&package) {
        return Ok(Settled::Reference);
    }
    match judge(my, step, choice)? {
        Verdict::Holds => Ok(Settled::Theirs),
        Verdict::Unknown(why) => Ok(Settled::Unchecked(why)),
        Verdict::Fails(why) => replace(my, step, reference, why, keep, choice),
    }
}

/// Moves the learner's step aside and puts the reference in its place, with what of theirs passes: one
/// piece after the other is put in and stays if all checks pass. So what stays passes together.
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
        for piece in pieces(step, &aside, &handout)? {
            let tried = piece.put_into(&handout)?;
            tried.write(&my.package(step))?;
            if judge(my, step, choice)? == Verdict::Holds {
                handout = tried;
                functions.push(piece.name());
            }
        }
    }
    handout.write(&my.package(step))?;
    Ok(Settled::Replaced { why, aside, functions })
}

/// What of a step that failed may live on.
enum Piece {
    /// The body that the learner wrote for an exercise.
    Function(Exercise, String),
    Main(String),
}

impl Piece {
    fn name(&self) -> String {
        match self {
            Piece::Function(exercise, _) => exercise.function.name().to_string(),
            Piece::Main(_) => "main.rs".to_string(),
        }
    }

    fn put_into(&self, handout: &Handout) -> Result<Handout> {
        let mut handout = handout.clone();
        match self {
            Piece::Function(exercise, body) => handout.fill(exercise, body)?,
            Piece::Main(text) => handout.set_main(text.clone()),
        }
        Ok(handout)
    }
}

/// Each function that the learner wrote, as far as it can be found, then their main.rs.
fn pieces(step: Step, theirs: &Path, reference: &Handout) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    for exercise in exercise::of_step(step)? {
        let Ok(place) = exercise.locate(theirs) else { continue };
        if !exercise.is_blank(&place) && place.body() != exercise.solution {
            pieces.push(Piece::Function(exercise, place.body().to_string()));
        }
    }
    let main = fs::read_to_string(theirs.join(MAIN)).ok();
    pieces.extend(main.filter(|main| main != reference.main()).map(Piece::Main));
    Ok(pieces)
}

/// `main.rs` of a step that is settled.
pub fn main_of(my: &My, step: Step) -> Result<String> {
    let package = my.package(step);
    let mut sources = sources(&package)?;
    let main = sources.remove(Path::new(MAIN));
    main.with_context(|| format!("{} is missing", package.join(MAIN).display()))
}
