//! `workshop bug N`: a step with a real mistake in it, to be found. Only how it shows is told; the
//! mistake itself when the checks pass again, or when `--tell` asks for it.

use std::fs;
use std::io::stdout;
use std::path::Path;

use anyhow::{Context, Result};
use evidence::paint::{self, Paint};
use evidence::zoo::{self, Bug};
use toml_edit::{DocumentMut, Item, value};

use crate::{
    advice::advised,
    aside,
    check::Text,
    checkout,
    handout::Handout,
    my::{My, Where},
    place::Choice,
    settle::Keep,
    shown::shown,
    start,
    steps::Step,
};

#[derive(clap::Args)]
pub struct Args {
    /// The step: 1 to 9 or 14, or its name
    step: Step,
    /// Tell what the mistake is
    #[arg(long)]
    tell: bool,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    choice: Choice,
}

/// In a step that has a bug: how it shows, for the learner to read.
pub const SYMPTOM: &str = "SYMPTOM.txt";

/// In `my/`: for each step the number of the bug that was handed out last.
const HANDED_OUT: &str = "bugs.toml";

pub fn bug(args: &Args) -> Result<i32> {
    if args.tell {
        return tell(&My::open(args.place.dir.as_deref())?, args.step);
    }
    let my = My::at(args.place.path()?);
    start::ground(&my, args.step, Keep::Steps, args.choice)?;
    let bugs = of_step(args.step)?;
    let number = last(&my, args.step)? % bugs.len();
    let bug = &bugs[number];
    hand_out(&my, args.step, bug)?;
    note(&my, args.step, number + 1)?;
    start::arrive(&my, args.step)?;
    let paint = Paint(paint::wanted(&stdout()));
    println!("\n{}", paint.bold(&format!("Bug {} of {}", number + 1, bugs.len())));
    println!("\n{}\n", wrapped("  ", &bug.symptom));
    println!("Find the mistake in {}/ and mend it.", shown(&my.package(args.step).join("src")));
    let number = args.step.number();
    println!("Next: {}", paint.bold(&my.command(&format!("check {number}"))));
    println!(
        "When all holds, or by {}, you are told.\n",
        my.command(&format!("bug {number} --tell"))
    );
    Ok(0)
}

/// After a check that passed: what the mistake was, if the step had one of ours.
pub fn found(my: &My, step: Step) -> Result<()> {
    match my.package(step).join(SYMPTOM).exists() {
        true => tell(my, step).map(drop),
        false => Ok(()),
    }
}

fn tell(my: &My, step: Step) -> Result<i32> {
    let bugs = of_step(step)?;
    let Some(bug) = last(my, step)?.checked_sub(1).and_then(|number| bugs.get(number)) else {
        let command = my.command(&format!("bug {}", step.number()));
        return Err(advised(format!("no bug of {step} was handed out"), command));
    };
    let paint = Paint(paint::wanted(&stdout()));
    println!("{}", paint.bold(&format!("The mistake in {step}")));
    println!("\n{}\n", wrapped("  ", &bug.mistake));
    println!("{}", wrapped("", &format!("Seen in {}.", bug.seen_in)));
    println!("{}\n", wrapped("", &format!("Caught by {}.", bug.caught_by.join(", "))));
    Ok(0)
}

fn of_step(step: Step) -> Result<Vec<Bug>> {
    let mut bugs = zoo::all(&checkout::checkout()?)?;
    bugs.retain(|bug| bug.step == step.number() as usize);
    Ok(bugs)
}

/// The reference with the bug in it. What is there of the step is moved aside.
fn hand_out(my: &My, step: Step, bug: &Bug) -> Result<()> {
    let package = my.package(step);
    if package.exists() {
        aside::make_room(my.dir(), step, &package)?;
    }
    Handout::reference(step)?.write(&package)?;
    bug.apply(my.dir())?;
    let note = package.join(SYMPTOM);
    fs::write(&note, format!("{}\n", bug.symptom))
        .with_context(|| format!("cannot write {}", note.display()))
}

/// How many bugs of the step were handed out: 0 before the first.
fn last(my: &My, step: Step) -> Result<usize> {
    let number = read(my.dir())?.get(step.name()).and_then(Item::as_integer).unwrap_or(0);
    Ok(usize::try_from(number).unwrap_or(0))
}

fn note(my: &My, step: Step, number: usize) -> Result<()> {
    let mut handed_out = read(my.dir())?;
    handed_out[step.name()] = value(number as i64);
    let file = my.dir().join(HANDED_OUT);
    fs::write(&file, handed_out.to_string())
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Without the file, or with a broken one, it begins with the first bug.
fn read(my: &Path) -> Result<DocumentMut> {
    let text = fs::read_to_string(my.join(HANDED_OUT)).unwrap_or_default();
    Ok(text.parse().unwrap_or_default())
}

fn wrapped(margin: &str, text: &str) -> String {
    Text::of_stdout().wrapped(margin, margin.len(), text).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_goes_into_what_is_handed_out() {
        for step in Step::all() {
            for bug in of_step(step).unwrap() {
                let dir = tempfile::tempdir().unwrap();
                let my = My::at(dir.path().to_owned());
                hand_out(&my, step, &bug).unwrap();
                assert!(my.package(step).join(SYMPTOM).exists());
            }
        }
    }

    #[test]
    fn bugs_are_counted_step_by_step() {
        let dir = tempfile::tempdir().unwrap();
        let (my, step) = (My::at(dir.path().to_owned()), "4".parse().unwrap());
        assert_eq!(last(&my, step).unwrap(), 0);
        note(&my, step, 2).unwrap();
        assert_eq!((last(&my, step).unwrap(), last(&my, "5".parse().unwrap()).unwrap()), (2, 0));
        fs::write(dir.path().join(HANDED_OUT), "broken [").unwrap();
        assert_eq!(last(&my, step).unwrap(), 0);
    }
}
