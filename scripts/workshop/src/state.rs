//! The learner's place: `my/workshop.toml`, a few lines that say the step and the hints given.
//! A file that cannot be understood is moved aside and written again from what is in `my/`.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use toml_edit::{DocumentMut, Item, Table, value};

use crate::steps::Step;

/// Its name in `my/`.
pub const FILE: &str = "workshop.toml";

/// What a later workshop may find: this number says how to read it.
const VERSION: i64 = 1;

const TITLE: &str = "# Where you are in the workshop. `cargo workshop` keeps it.\n";

/// Where the learner is.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub step: Step,
    /// How many hints were given, by exercise.
    pub hints: BTreeMap<String, usize>,
}

impl State {
    /// At the beginning of a step.
    pub fn new(step: Step) -> State {
        State { step, hints: BTreeMap::new() }
    }

    /// Reads the text of a state file; an error says what is wrong with it.
    pub fn parse(text: &str) -> Result<State, String> {
        let document: DocumentMut = text.parse().map_err(|error| first_line(&error))?;
        let number = |name: &str| document.get(name).and_then(Item::as_integer);
        match number("version") {
            Some(VERSION) => {}
            Some(other) => return Err(format!("it is of version {other}, not {VERSION}")),
            None => return Err("it has no version".into()),
        }
        let step = number("step").ok_or("it names no step")?;
        let mut state = State::new(step.to_string().parse()?);
        let hints = document.get("hints").and_then(Item::as_table);
        for (exercise, count) in hints.into_iter().flat_map(Table::iter) {
            let count = count.as_integer().and_then(|it| usize::try_from(it).ok());
            let count = count.ok_or(format!("the hints of {exercise} are no number"))?;
            state.hints.insert(exercise.into(), count);
        }
        Ok(state)
    }

    /// The text of a state file.
    pub fn text(&self) -> String {
        let mut document = DocumentMut::new();
        document["version"] = value(VERSION);
        document["step"] = value(i64::from(self.step.number()));
        if !self.hints.is_empty() {
            document["hints"] = Item::Table(Table::new());
        }
        for (exercise, count) in &self.hints {
            document["hints"][exercise.as_str()] = value(*count as i64);
        }
        format!("{TITLE}{document}")
    }

    /// Writes it to `my/`, in one act: a reader finds the old one or the new one.
    pub fn save(&self, my: &Path) -> Result<()> {
        let act = || format!("cannot write {}", my.join(FILE).display());
        let new = my.join(".workshop.toml.new");
        fs::write(&new, self.text()).with_context(act)?;
        fs::rename(&new, my.join(FILE)).with_context(act)
    }
}

/// A parser's message draws the place over several lines; the first says where it is.
fn first_line(error: &toml_edit::TomlError) -> String {
    error.to_string().lines().next().unwrap_or("it is not TOML").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let mut state = State::new("3".parse().unwrap());
        assert_eq!(State::parse(&state.text()), Ok(state.clone()));
        state.hints.insert("3.2".into(), 4);
        assert_eq!(State::parse(&state.text()), Ok(state));
    }

    #[test]
    fn what_is_broken_or_old_is_said() {
        for (text, reason) in [
            ("", "no version"),
            ("version = 1", "no step"),
            ("version = 7\nstep = 1", "version 7"),
            ("version = 1\nstep = 99", "steps 1 to 9 and 14"),
            ("version = 1\nstep = ", "parse error"),
            ("version = 1\nstep = 1\n[hints]\n\"1.1\" = -1", "1.1"),
        ] {
            let error = State::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
