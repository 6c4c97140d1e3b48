//! An answer of the kernel, or why there is none. A process may end while it is read, and much of
//! /proc is closed to strangers: both are answers, not failures.

use std::{fmt, io};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// What was read, or the reason why it could not be: `{"unreadable": "…"}` in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer<T> {
    Unreadable { unreadable: String },
    Is(T),
}

impl<T> Answer<T> {
    /// The answer, if there is one.
    pub fn get(&self) -> Option<&T> {
        match self {
            Answer::Is(value) => Some(value),
            Answer::Unreadable { .. } => None,
        }
    }

    /// The answer turned into another; a missing one stays missing, with its reason.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Answer::Is(value) => Answer::Is(change(value)),
            Answer::Unreadable { unreadable } => Answer::Unreadable { unreadable },
        }
    }

    /// No answer, for this reason.
    pub fn unreadable(reason: impl fmt::Display) -> Self {
        Answer::Unreadable { unreadable: reason.to_string() }
    }
}

impl<T> From<io::Result<T>> for Answer<T> {
    fn from(result: io::Result<T>) -> Self {
        match result {
            Ok(value) => Answer::Is(value),
            Err(error) => Answer::unreadable(reason(&error)),
        }
    }
}

impl<T> From<nix::Result<T>> for Answer<T> {
    fn from(result: nix::Result<T>) -> Self {
        result.map_err(io::Error::from).into()
    }
}

impl<T: fmt::Display> fmt::Display for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Answer::Is(value) => value.fmt(f),
            Answer::Unreadable { unreadable } => write!(f, "unreadable: {unreadable}"),
        }
    }
}

/// The kernel's reason as people and programs know it: `Permission denied (EACCES)`.
fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => describe(Errno::from_raw(number)),
        None => error.to_string(),
    }
}

/// In the words of strerror(3), and by its name.
pub fn describe(errno: Errno) -> String {
    let text = io::Error::from(errno).to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    format!("{words} ({errno:?})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_holds_the_value_or_the_reason() {
        let is: Answer<u32> = Ok::<_, io::Error>(7).into();
        let no: Answer<u32> = Err::<u32, _>(Errno::EACCES).into();
        assert_eq!(serde_json::to_string(&is).unwrap(), "7");
        let text = serde_json::to_string(&no).unwrap();
        assert_eq!(text, r#"{"unreadable":"Permission denied (EACCES)"}"#);
        assert_eq!(serde_json::from_str::<Answer<u32>>(&text).unwrap(), no);
    }
}
