//! What `workshop check` found out, as one object: what it shows on the terminal and what `--json` prints.
//! The schema of that is book/src/check.schema.json.

use std::io::ErrorKind;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Report, why::Why};
use crate::steps::Step;

/// What `cargo workshop check --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Outcome {
    /// The step that was checked.
    pub step: u32,
    /// Whether everything holds that could be looked for.
    pub passed: bool,
    /// Why nothing could be checked: the step does not compile.
    pub error: Option<String>,
    /// The step's own checks first, then those of earlier steps that it still has to keep.
    pub checks: Vec<Report>,
    /// The system call of a plain container that failed, if one did, and why.
    pub why: Option<Why>,
    /// Where the kernel was asked: `here`, `sudo` or `lab`.
    pub place: String,
    pub versions: Versions,
    /// From the first act to the last, building included.
    pub seconds: f64,
}

/// What was at work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Versions {
    /// The release of the kernel that was asked: `6.1.0`
    pub kernel: String,
    /// `rustc 1.88.0 (6b00bc388 2025-06-23)`
    pub rustc: String,
    pub workshop: String,
}

impl Outcome {
    /// One of step 4 without checks, for tests to change.
    #[cfg(test)]
    pub fn example() -> Outcome {
        Outcome {
            step: 4,
            passed: true,
            error: None,
            checks: Vec::new(),
            why: None,
            place: "here".into(),
            versions: Versions::default(),
            seconds: 1.5,
        }
    }

    /// Those that failed, in order.
    pub fn failed(&self) -> impl Iterator<Item = &Report> {
        self.checks.iter().filter(|report| report.failed())
    }

    /// The first of those that failed for the cause that most have, if three or more have it: it is worth
    /// saying once, not each time. What is not written yet is none.
    pub fn common(&self) -> Option<&Report> {
        let written = self.failed().filter(|report| report.unwritten().is_none());
        let all: Vec<_> = written.filter_map(|report| Some((report, report.cause()?))).collect();
        let count = |cause: &str| all.iter().filter(|(_, it)| it == cause).count();
        let most = all.iter().rev().max_by_key(|(_, cause)| count(cause))?;
        (count(&most.1) >= 3).then_some(most.0)
    }

    /// Whether a check failed for that cause.
    pub fn is_common(&self, report: &Report) -> bool {
        let cause = self.common().and_then(Report::cause);
        report.failed() && cause.is_some() && report.cause() == cause
    }

    /// The step's own checks, or those of earlier steps.
    pub fn own(&self, own: bool) -> Vec<&Report> {
        self.checks.iter().filter(|report| (report.step == self.step) == own).collect()
    }

    /// The step; an error for a file that somebody else wrote.
    pub fn of_step(&self) -> Result<Step> {
        self.step.to_string().parse().map_err(anyhow::Error::msg)
    }
}

/// What rustc says of itself; nothing where there is none, as with a kit's reference.
pub fn rustc() -> Result<String> {
    let program = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = match Command::new(program).arg("--version").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        output => output.context("cannot run rustc")?,
    };
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// To write it anew: `UPDATE=1 cargo test -p workshop schema`.
    #[test]
    fn the_schema_in_the_book_is_current() {
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Outcome)).unwrap() + "\n";
        let file = crate::checkout::checkout().unwrap().join("book/src/check.schema.json");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &schema).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(written, schema, "UPDATE=1 cargo test -p workshop schema writes it anew");
    }
}
