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

    /// The error, or the panic, that the learner's program ended with, if that is why it failed.
    pub fn complaint(&self) -> Option<&str> {
        let said = self.evidence.as_str();
        let start = said.find("error: ").or(said.find("thread '")).or(said.find("it hangs"));
        let start = start.filter(|_| self.failed())?;
        let lines = if said[start..].starts_with("thread") { 2 } else { 1 };
        let end = said[start..].match_indices('\n').nth(lines - 1);
        Some(&said[start..end.map_or(said.len(), |(at, _)| start + at)])
    }

    /// What the complaint ends with: an errno with the act that it stopped, or else the last words.
    /// Without what is another in every run: temporary files, addresses, digests, numbers of threads.
    pub fn cause(&self) -> Option<String> {
        let complaint = self.complaint()?;
        let parts: Vec<&str> = complaint.split(": ").collect();
        let last = if complaint.ends_with(')') { 2 } else { 1 };
        let end = parts[parts.len().saturating_sub(last)..].join(": ");
        let words = end.split_whitespace().filter(|word| !is_passing(word));
        Some(words.collect::<Vec<_>>().join(" "))
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

/// Whether a word of a complaint is another in the next run.
fn is_passing(word: &str) -> bool {
    let number =
        word.strip_prefix('(').is_some_and(|it| it.starts_with(|it: char| it.is_ascii_digit()));
    number
        || word.contains("/.tmp")
        || word.starts_with("sha256:")
        || word.starts_with("127.0.0.1:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_of_many_complaints() {
        let cause = |said: &str| {
            let evidence = said.to_string();
            Report { passed: Some(false), evidence, ..Report::example() }.cause()
        };
        let pulled = "image pull: error: cannot pull 127.0.0.1:1/a: its digest is sha256:12";
        let imported = "it: error: cannot import /tmp/checks-a/.tmpb/c: its digest is sha256:34";
        assert_eq!(cause(pulled), Some("its digest is".into()));
        assert_eq!(cause(pulled), cause(imported));
        let act =
            "it ended: error: cannot make it: cannot mount /proc: Not permitted (EPERM)\nmore";
        assert_eq!(cause(act), Some("cannot mount /proc: Not permitted (EPERM)".into()));
        assert_eq!(
            cause("thread 'main' (7) panicked at a.rs:1:2:\nno such flag\nmore"),
            cause("thread 'main' (8) panicked at a.rs:1:2:\nno such flag")
        );
        assert_eq!(cause("found 1, expected 2"), None);
    }
}
