//! Colour for people, none for programs: only on a terminal, and never against NO_COLOR
//! (no-color.org). CLICOLOR_FORCE asks for it also where there is no terminal.

use std::{env, io::IsTerminal};

/// Whether colour is wanted on `stream`.
pub fn wanted(stream: &impl IsTerminal) -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    set("CLICOLOR_FORCE") || (stream.is_terminal() && !set("NO_COLOR"))
}

/// Paints text, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub struct Paint(pub bool);

impl Paint {
    pub fn bold(self, text: &str) -> String {
        self.style("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.style("2", text)
    }

    pub fn red(self, text: &str) -> String {
        self.style("31", text)
    }

    pub fn green(self, text: &str) -> String {
        self.style("32", text)
    }

    pub fn yellow(self, text: &str) -> String {
        self.style("33", text)
    }

    pub fn reverse(self, text: &str) -> String {
        self.style("7", text)
    }

    fn style(self, code: &str, text: &str) -> String {
        match self.0 {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_string(),
        }
    }
}
