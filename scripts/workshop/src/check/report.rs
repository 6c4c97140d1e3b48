//! What came of one check: the same for the terminal, for programs, and between processes of ours.

use serde::{Deserialize, Serialize};

/// One check's outcome, a line of JSON each between processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// The step that makes the promise: of earlier steps too, as long as it holds.
    pub step: u32,
    /// `4.2`, or `4` for wiring the step into main.rs.
    pub exercise: String,
    /// `04-mount/old-root-is-gone`
    pub check: String,
    /// What the kernel was asked.
    pub asks: String,
    /// Nothing if it cannot be looked for here.
    pub passed: Option<bool>,
    /// What the kernel answered and what was expected; or why it could not be asked.
    pub evidence: String,
    /// Where to look: a function, a manual page.
    pub look_at: String,
    pub seconds: f64,
}

impl Report {
    /// One that passed, for tests to change.
    #[cfg(test)]
    pub fn example() -> Report {
        Report {
            step: 4,
            exercise: "4.1".into(),
            check: "04-mount/old-root-is-gone".into(),
            asks: "Is the old root gone?".into(),
            passed: Some(true),
            evidence: "as expected".into(),
            look_at: "mount::pivot; pivot_root(2)".into(),
            seconds: 0.1,
        }
    }

    pub fn failed(&self) -> bool {
        self.passed == Some(false)
    }

    /// What the learner works on: `Exercise 4.2`.
    pub fn title(&self) -> String {
        match self.is_wiring() {
            true => format!("Wiring of step {}, in main.rs", self.step),
            false => format!("Exercise {}", self.exercise),
        }
    }

    /// The error that the learner's program ended with, if that is why it failed.
    pub fn complaint(&self) -> Option<&str> {
        let start = self.evidence.find("error: ").filter(|_| self.failed())?;
        self.evidence[start..].lines().next()
    }

    /// The exercise in which the learner's program ended because it is not written yet: `4.2`.
    pub fn unwritten(&self) -> Option<&str> {
        let (before, _) =
            self.evidence.split_once(" is not written yet").filter(|_| self.failed())?;
        let (_, exercise) = before.rsplit_once("exercise ")?;
        Some(exercise)
    }

    /// Whether it is about wiring the step into main.rs, not about one exercise.
    pub fn is_wiring(&self) -> bool {
        !self.exercise.contains('.')
    }
}
