//! `workshop solve N.K` writes the reference's body into the learner's function; `solve N` wires
//! main.rs. The rest of the file stays, and the old file is kept aside.

use std::fs;

use anyhow::{Context, Result};

use crate::{
    aside,
    exercise::{self, Id, Task},
    handout::{Handout, MAIN},
    my::{My, Where},
    shown::shown,
    source,
    steps::Step,
};

#[derive(clap::Args)]
pub struct Args {
    /// An exercise, 5.2, or a step: its main.rs
    task: Task,
    #[command(flatten)]
    place: Where,
}

pub fn solve(args: &Args) -> Result<i32> {
    let my = My::open(args.place.dir.as_deref())?;
    let step = match args.task {
        Task::Exercise(id) => function(&my, id)?,
        Task::Wiring(step) => main(&my, step)?,
    };
    println!("Next: {}", my.command(&format!("check {}", step.number())));
    Ok(0)
}

/// Writes one body.
fn function(my: &My, id: Id) -> Result<Step> {
    let exercise = exercise::find(id)?;
    let package = my.package_of(id.step)?;
    let place = exercise.locate(&package)?;
    let file = package.join(&place.file);
    let name = exercise.function.name();
    if place.body() == exercise.solution {
        println!("{name} in {} is the solution already.", shown(&file));
        return Ok(id.step);
    }
    let new = source::replace(&place.text, &place.range(), &exercise.solution);
    let kept = aside::copy_there(my.dir(), &file)?;
    fs::write(&file, new).with_context(|| format!("cannot write {}", file.display()))?;
    println!("{id}: {name} is written in {}:{}", shown(&file), place.function.line);
    println!("The file as it was: {}", shown(&kept));
    if place.function.signature != exercise.function.signature {
        println!("note: your signature is another than the reference's, so it may not compile:");
        println!("  {}", exercise.function.signature.replace('\n', "\n  "));
    }
    if place.file != exercise.file {
        println!("note: you moved it there from {}", exercise.file.display());
    }
    Ok(id.step)
}

/// Writes main.rs.
fn main(my: &My, step: Step) -> Result<Step> {
    let file = my.package_of(step)?.join(MAIN);
    let handout = Handout::reference(step)?;
    let theirs = fs::read_to_string(&file).unwrap_or_default();
    if theirs == handout.main() {
        println!("{} is the solution already.", shown(&file));
        return Ok(step);
    }
    if file.exists() {
        println!("The file as it was: {}", shown(&aside::copy_there(my.dir(), &file)?));
    }
    fs::write(&file, handout.main()).with_context(|| format!("cannot write {}", file.display()))?;
    println!("{step}: {} is written", shown(&file));
    Ok(step)
}
