//! Errors that know what to do next: the message is a line of its own, the advice a second one,
//! `hint: …`.

use std::fmt;

use anyhow::Error;

/// A failure and what mends it.
#[derive(Debug)]
struct Advised {
    failure: String,
    advice: String,
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.failure)
    }
}

impl std::error::Error for Advised {}

/// An error that says what failed, and on a second line what to do.
pub fn advised(failure: impl Into<String>, advice: impl Into<String>) -> Error {
    Advised { failure: failure.into(), advice: advice.into() }.into()
}

/// What to do about this error, if it says so.
pub fn of(error: &Error) -> Option<&str> {
    error.chain().find_map(|cause| cause.downcast_ref::<Advised>()).map(|it| it.advice.as_str())
}
