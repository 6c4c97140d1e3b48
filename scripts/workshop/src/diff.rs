//! `workshop diff N`: the learner's step and the reference. `workshop diff N M`: the lesson, which is
//! main.rs of two steps. Word by word, in colour, through a pager on a terminal.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    io::stdout,
    path::PathBuf,
};

use anyhow::Result;
use evidence::paint::{self, Paint};
use similar::{ChangeTag, InlineChange, TextDiff};

use crate::{
    exercise::sources,
    handout::{Handout, MAIN},
    my::{My, Where},
    pager,
    steps::Step,
};

#[derive(clap::Args)]
pub struct Args {
    /// The step of yours, or the first of two
    step: Step,
    /// The second: what the step adds to the one before
    other: Option<Step>,
    #[command(flatten)]
    place: Where,
}

type Files = BTreeMap<PathBuf, String>;

pub fn diff(args: &Args) -> Result<i32> {
    let paint = Paint(paint::wanted(&stdout()));
    let text = match args.other {
        Some(other) => lesson(args.step, other, paint)?,
        None => theirs(&My::open(args.place.dir.as_deref())?, args.step, paint)?,
    };
    pager::page(&text)?;
    Ok(0)
}

/// The learner's step and the reference.
fn theirs(my: &My, step: Step, paint: Paint) -> Result<String> {
    let theirs = sources(&my.package_of(step)?)?;
    let text = files(&theirs, &Handout::reference(step)?.sources(), paint);
    Ok(match text.is_empty() {
        true => format!("{step}: yours is the reference, to the letter.\n"),
        false => format!("{}\n{text}", paint.dim("- yours   + the reference")),
    })
}

/// main.rs of two steps, and which files the library of the second has.
fn lesson(step: Step, other: Step, paint: Paint) -> Result<String> {
    let (first, second) = (Handout::reference(step)?, Handout::reference(other)?);
    let main = |it: &Handout| Files::from([(MAIN.into(), it.main().to_string())]);
    let mut text = files(&main(&first), &main(&second), paint);
    let library = second.sources();
    let library = library.iter().filter(|(name, _)| name.as_os_str() != MAIN);
    let _ = writeln!(text, "\n{}", paint.bold(&format!("the library of {other}")));
    for (name, source) in library {
        let path = PathBuf::from("steps").join(other.directory()).join(name);
        let _ = writeln!(text, "  {:36} {}", path.display(), paint.dim(&about(source)));
    }
    Ok(text)
}

/// The first sentence of what a file says of itself.
fn about(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let text = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    match text.split_once(". ") {
        Some((sentence, _)) => format!("{sentence}."),
        None => text,
    }
}

/// All files that differ.
fn files(before: &Files, after: &Files, paint: Paint) -> String {
    let names: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    let mut text = String::new();
    for name in names {
        let (old, new) = (before.get(name), after.get(name));
        if old != new {
            let only = match (old, new) {
                (None, _) => "  (only the second)",
                (_, None) => "  (only the first)",
                _ => "",
            };
            let _ = writeln!(text, "\n{}", paint.bold(&format!("{}{only}", name.display())));
            let empty = String::new();
            text += &changes(old.unwrap_or(&empty), new.unwrap_or(&empty), paint);
        }
    }
    text
}

/// The lines that changed, with three of context, and a gap where some are left out.
fn changes(old: &str, new: &str, paint: Paint) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut text = String::new();
    for (number, group) in diff.grouped_ops(3).iter().enumerate() {
        if number > 0 {
            let _ = writeln!(text, "{}", paint.dim("  ⋮"));
        }
        for change in group.iter().flat_map(|operation| diff.iter_inline_changes(operation)) {
            text += &line(&change, paint);
        }
    }
    text
}

/// One line; the words that differ stand out in it.
fn line(change: &InlineChange<str>, paint: Paint) -> String {
    let (sign, colour): (_, fn(Paint, &str) -> String) = match change.tag() {
        ChangeTag::Delete => ("-", Paint::red),
        ChangeTag::Insert => ("+", Paint::green),
        ChangeTag::Equal => (" ", |_, text| text.to_string()),
    };
    let words = change.iter_strings_lossy().map(|(changed, word)| {
        let word = word.trim_end_matches(['\n', '\r']).to_string();
        match changed && !word.trim().is_empty() {
            true => paint.reverse(&colour(paint, &word)),
            false => colour(paint, &word),
        }
    });
    let words: String = words.collect();
    format!("{} {words}\n", colour(paint, sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_marked_and_words_stand_out() {
        let (old, new) = ("a\nlet one = 1;\nz\n", "a\nlet two = 1;\nz\n");
        assert_eq!(changes(old, new, Paint(false)), "  a\n- let one = 1;\n+ let two = 1;\n  z\n");
        let coloured = changes(old, new, Paint(true));
        assert!(coloured.contains("\x1b[7m\x1b[32mtwo\x1b[0m"), "{coloured:?}");
        assert!(!coloured.contains("\x1b[7m\x1b[32mlet"), "{coloured:?}");
    }

    #[test]
    fn far_apart_changes_have_a_gap_between_them() {
        let lines = |first: &str, last: &str| format!("{first}\n{}{last}\n", "same\n".repeat(20));
        let text = changes(&lines("a", "b"), &lines("c", "d"), Paint(false));
        assert_eq!(text.matches("⋮").count(), 1);
        assert_eq!(text.matches("same").count(), 6);
    }

    #[test]
    fn the_lesson_gains_lines() {
        let text = lesson("1".parse().unwrap(), "2".parse().unwrap(), Paint(false)).unwrap();
        assert!(text.contains("+     uts::set_names(&cli.uts)?;"), "{text}");
        assert!(text.contains("steps/02-uts/src/lib.rs"), "{text}");
    }
}
