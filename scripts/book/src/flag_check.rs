//! Flags that a chapter names: a step's program must take each that a transcript gives it, and one in running
//! text is a step's or on the list `book/other-flags.txt`, with the program that has it.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};
use workshop::steps::Step;

use crate::{
    chapter::Chapter,
    fence::{self, Kind, Line},
    flags,
    place::{self, Place, read},
};

/// The list, below the book's directory: a flag a line, and whose it is.
pub const LIST: &str = "other-flags.txt";

/// All flags of a chapter.
pub fn check(place: &Place, chapter: &Chapter, text: &str) -> Result<()> {
    let list = read(&place.book.join(LIST))?;
    let mut known: BTreeSet<String> = Step::all().flat_map(flags::names).collect();
    let others = list.lines().filter(|line| !line.starts_with('#'));
    known.extend(others.filter_map(|line| line.split_whitespace().next()).map(String::from));
    for line in fence::lines(text) {
        let checked = given(line.text).and_then(|()| named(&line, &known));
        checked.map_err(|error| place::at(&chapter.path, line.number, error))?;
    }
    Ok(())
}

/// What a line gives to a step's program: `step7 --memory 64m …`, `cargo workshop run 7 -- --memory …`.
fn given(line: &str) -> Result<()> {
    let words: Vec<&str> = line.split_whitespace().map(|it| it.trim_matches(QUOTES)).collect();
    for (at, word) in words.iter().enumerate() {
        let number = word.strip_prefix("step").map(|it| (it, 1));
        let run = words[at..].starts_with(&["workshop", "run"]) && words.get(at + 3) == Some(&"--");
        let number = if run { Some((words[at + 2], 4)) } else { number };
        if let Some((number, length)) = number
            && let Ok(step) = number.parse::<Step>()
        {
            taken(step, &words[at + length..])?;
        }
    }
    Ok(())
}

/// What may stand around a word.
const QUOTES: &[char] = &['"', '\'', '`', '(', ')'];

/// The flags before the root directory, or before the image and behind the word for what to do with it.
fn taken(step: Step, words: &[&str]) -> Result<()> {
    let words = if step.takes_root() { words } else { words.get(1..).unwrap_or_default() };
    let own: Vec<_> = Step::all().filter(|it| *it <= step).flat_map(flags::of_step).collect();
    let mut words = words.iter();
    while let Some(word) = words.next().filter(|it| it.starts_with('-')) {
        let (name, value) =
            word.split_once('=').map_or((*word, None), |(name, it)| (name, Some(it)));
        if ["--help", "-h", "--"].contains(&name) {
            return Ok(());
        }
        let found = own.iter().find(|arg| {
            let long = arg.get_long().is_some_and(|it| name.strip_prefix("--") == Some(it));
            long || arg.get_short().is_some_and(|it| name == format!("-{it}"))
        });
        match found {
            Some(arg) if arg.get_action().takes_values() && value.is_none() => drop(words.next()),
            Some(_) => {}
            None => bail!("{step} has no flag {name}"),
        }
    }
    Ok(())
}

/// The code in running text that begins with a flag.
fn named(line: &Line, known: &BTreeSet<String>) -> Result<()> {
    if line.kind != Kind::Prose {
        return Ok(());
    }
    for code in line.text.split('`').skip(1).step_by(2).filter(|it| it.starts_with("--")) {
        let end =
            code.find(|it: char| !it.is_ascii_alphanumeric() && it != '-').unwrap_or(code.len());
        let flag = &code[..end];
        ensure!(
            flag == "--" || known.contains(flag),
            "{flag} is no flag of a step, and not on the list of others, book/{LIST}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_a_step_does_not_take_is_an_error() {
        for good in [
            "# (step7 --memory 64m --name=x rootfs ls --color & echo)",
            "# sh -c 'x; step4 -v $PWD/vol:/mnt:ro rootfs touch /a'",
            "cargo workshop run 9 -- --diff rootfs ls",
            "step14 pull --platform linux/arm64 --timeout 5 localhost:5000/a",
            "step99 --nothing",
        ] {
            given(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        let error = |line: &str| given(line).unwrap_err().to_string();
        assert_eq!(error("# step4 --memory 64m rootfs"), "step 4, mount has no flag --memory");
        assert_eq!(error("$ step7 --memory 1m --size 2 r"), "step 7, cgroups has no flag --size");
        assert_eq!(error("$ step14 run --sise 1 a"), "step 14, image has no flag --sise");
    }

    #[test]
    fn a_flag_in_the_text_is_somebodys() {
        let known = BTreeSet::from(["--memory".to_string()]);
        let check = |text: &str| named(&fence::lines(text)[0], &known);
        assert!(check("a `--memory 64m` and `x --y` and `--`").is_ok());
        assert!(check("a `--memry`").is_err());
    }
}
