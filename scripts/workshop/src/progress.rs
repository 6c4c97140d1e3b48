//! `workshop next`, and the bare `workshop` where there is a `my/`: where the learner is, what is
//! written and what is next. It reads; whether what is written is right, `check` says.

use std::io::stdout;

use anyhow::Result;
use evidence::paint::{self, Paint};

use crate::{
    bug::SYMPTOM,
    exercise,
    handout::{Handout, MAIN},
    my::{My, Where},
    settle,
    shown::shown,
    steps::Step,
};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Where,
}

pub fn next(args: &Args) -> Result<i32> {
    show(&My::open(args.place.dir.as_deref())?)
}

/// One thing to write.
struct Part {
    /// `3.2`, or `3` for main.rs
    id: String,
    name: String,
    /// None: its file cannot be read as Rust, or has no such function.
    written: Option<bool>,
    /// Where it stands, or why it cannot be found.
    place: String,
}

pub fn show(my: &My) -> Result<i32> {
    crate::end_with_reader();
    let paint = Paint(paint::wanted(&stdout()));
    let step = my.state()?.step;
    let parts = parts(my, step)?;
    let title = format!("Step {}, {}", step.number(), step.name());
    println!("\n{}  {}\n", paint.bold(&title), evidence::walls::question(step.number()));
    for part in &parts {
        let (mark, word) = match part.written {
            Some(true) => (paint.green("●"), "written"),
            Some(false) => (paint.dim("○"), "blank  "),
            None => (paint.red("?"), "unread "),
        };
        println!("  {mark} {:4} {:22} {word}  {}", part.id, part.name, paint.dim(&part.place));
    }
    if my.package(step).join(SYMPTOM).exists() {
        println!("\nThere is a bug of ours in it: {}", shown(&my.package(step).join(SYMPTOM)));
    }
    println!("\nNext: {}", what_next(my, step, open(step, &parts)));
    println!("{}\n", paint.dim("cargo workshop --help lists all commands."));
    Ok(0)
}

/// What to write first. Where the main.rs of the step before does nothing here, nothing can be tried
/// until it is another.
fn open(step: Step, parts: &[Part]) -> Option<&Part> {
    let mut blank = parts.iter().filter(|part| part.written != Some(true));
    let main = parts.last().filter(|main| main.written != Some(true) && !step.takes_root());
    main.or_else(|| blank.next())
}

/// The exercises of the step, then its main.rs.
fn parts(my: &My, step: Step) -> Result<Vec<Part>> {
    let package = my.package_of(step)?;
    let mut parts = Vec::new();
    for exercise in exercise::of_step(step)? {
        let (written, place) = match exercise.locate(&package) {
            Ok(place) => {
                let file = shown(&package.join(&place.file));
                (Some(!exercise.is_blank(&place)), format!("{file}:{}", place.function.line))
            }
            Err(error) => (None, error.to_string()),
        };
        let name = exercise.function.name().to_string();
        parts.push(Part { id: exercise.id.to_string(), name, written, place });
    }
    let place = shown(&package.join(MAIN));
    let written = Some(wired(my, step)?);
    parts.push(Part { id: step.number().to_string(), name: "main.rs".into(), written, place });
    Ok(parts)
}

/// Whether main.rs is another than the one that the step began with.
fn wired(my: &My, step: Step) -> Result<bool> {
    let before = step.before().filter(|before| my.has(*before));
    let before = before.map(|before| settle::main_of(my, before)).transpose()?;
    let skeleton = Handout::skeleton(step, before.as_deref())?;
    Ok(settle::main_of(my, step)? != skeleton.main())
}

fn what_next(my: &My, step: Step, open: Option<&Part>) -> String {
    let check = my.command(&format!("check {}", step.number()));
    match open {
        Some(part) if part.written.is_none() => format!("mend {}, then {check}", part.name),
        Some(part) => {
            let hint = my.command(&format!("hint {}", part.id));
            format!("write {} ({hint} helps), then {check}", part.name)
        }
        None => match step.after() {
            Some(after) => {
                let start = my.command(&format!("start {}", after.number()));
                format!("{check}; when all holds, {start}")
            }
            None => format!("{check}; it is the last step"),
        },
    }
}
