//! Text for whatever terminal there is: as wide as it is, in colours if they are wanted, with marks that
//! its character set has, and without control characters of somebody else's.

use std::{env, io::stdout, os::fd::AsFd};

use evidence::paint::{self, Paint};
use textwrap::{Options, WordSplitter};

use crate::lab::terminal::WindowSize;

/// The widest that lines are comfortable to read.
const WIDEST: usize = 100;

#[derive(Clone, Copy)]
pub struct Text {
    pub paint: Paint,
    pub width: usize,
    /// Whether the locale is UTF-8.
    pub unicode: bool,
}

impl Text {
    pub fn of_stdout() -> Text {
        let width = WindowSize::of(stdout().as_fd()).columns as usize;
        Text {
            paint: Paint(paint::wanted(&stdout())),
            width: width.min(WIDEST),
            unicode: unicode(),
        }
    }

    /// ✓, ✗ or – in its colour, and a space.
    pub fn mark(self, passed: Option<bool>) -> String {
        let (unicode, ascii) = match passed {
            Some(true) => ("✓", "ok"),
            Some(false) => ("✗", "NO"),
            None => ("–", "--"),
        };
        let mark = if self.unicode { unicode } else { ascii };
        let painted = match passed {
            Some(true) => self.paint.green(mark),
            Some(false) => self.paint.red(mark),
            None => self.paint.dim(mark),
        };
        painted + " "
    }

    /// How many columns a mark takes.
    pub fn mark_width(self) -> usize {
        if self.unicode { 2 } else { 3 }
    }

    /// Wraps what others wrote behind a head of as many columns as further lines are indented.
    pub fn wrapped(self, head: &str, indent: usize, text: &str) -> Vec<String> {
        let indent = " ".repeat(indent);
        let room = self.width.saturating_sub(indent.len()).max(10);
        let options = Options::new(room).word_splitter(WordSplitter::NoHyphenation);
        let plain = self.plain(text);
        let lines = plain.lines().flat_map(|line| textwrap::wrap(line, &options));
        let mut lines = lines.map(|line| line.into_owned());
        let first = format!("{head}{}", lines.next().unwrap_or_default());
        std::iter::once(first).chain(lines.map(|line| format!("{indent}{line}"))).collect()
    }

    /// Without control characters, which could do anything to the terminal.
    pub fn plain(self, text: &str) -> String {
        let shown = |c: char| match c {
            '\n' => '\n',
            '\t' => ' ',
            c if c.is_control() || turns(c) || (!c.is_ascii() && !self.unicode) => '?',
            c => c,
        };
        text.chars().map(shown).collect()
    }
}

/// Whether a character changes the direction of the writing, so that text seems to be another one.
pub fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What setlocale(3) would look at, in its order.
fn unicode() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(env::var_os);
    let locale = set.map(|it| it.to_string_lossy().to_ascii_lowercase()).find(|it| !it.is_empty());
    locale.is_some_and(|it| it.contains("utf-8") || it.contains("utf8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(width: usize, unicode: bool) -> Text {
        Text { paint: Paint(false), width, unicode }
    }

    #[test]
    fn lines_fit_and_controls_are_gone() {
        let lines = text(24, true).wrapped("  ✓ ", 4, "one two three four five six \x1b[2J seven");
        assert!(
            lines.len() > 1 && lines.iter().all(|line| line.chars().count() <= 24),
            "{lines:?}"
        );
        assert!(!lines.concat().contains('\x1b'));
    }

    #[test]
    fn without_utf_8_all_is_ascii() {
        let text = text(80, false);
        let lines = text.wrapped(&text.mark(Some(false)), 2, "“quoted” …");
        assert!(lines.concat().is_ascii());
    }
}
