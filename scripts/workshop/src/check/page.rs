//! What the learner sees of a check: question by question what holds, exercise by exercise, and at the
//! end what to do next.

mod earlier;

use std::collections::BTreeMap;

use super::{
    Outcome, Report,
    next::{next, stopped_by},
    subject::Subject,
    text::Text,
};
use crate::checkout;

/// The longest evidence that helps: what a program says may be long.
const LONGEST: usize = 800;

pub struct Page {
    text: Text,
}

impl Page {
    pub fn of_stdout() -> Page {
        Page { text: Text::of_stdout() }
    }

    /// Everything, top to bottom.
    pub fn whole(&self, subject: &Subject, outcome: &Outcome) -> String {
        let mut lines = [vec![String::new()], self.title(subject)].concat();
        if let Some(said) = &outcome.error {
            lines.push(String::new());
            lines.extend(said.lines().map(String::from));
        }
        lines.extend(self.complaint(outcome));
        for reports in by_exercise(&outcome.own(true)) {
            lines.push(String::new());
            lines.extend(self.exercise(&reports, outcome));
        }
        lines.extend(self.earlier(outcome));
        lines.extend(self.why(outcome));
        lines.push(String::new());
        lines.extend(self.verdict(outcome));
        lines.extend(self.advice(subject, outcome));
        lines.push(String::new());
        lines.join("\n") + "\n"
    }

    /// Before anything is known.
    pub fn opening(&self, subject: &Subject) -> Vec<String> {
        [self.title(subject), vec![String::new()]].concat()
    }

    /// What fits on a screen of so many rows: the first check that fails, and what to do; the last row
    /// stays free.
    pub fn brief(&self, subject: &Subject, outcome: &Outcome, rows: usize) -> Vec<String> {
        let mut top = [self.title(subject), vec![String::new()]].concat();
        let mut bottom = vec![String::new()];
        bottom.extend(self.verdict(outcome));
        bottom.extend(self.advice(subject, outcome));
        bottom.push(String::new());
        let room = rows.saturating_sub(top.len() + bottom.len() + 1);
        top.extend(fitting(self.failures(outcome), room));
        top.extend(bottom);
        top
    }

    /// The first check that fails, whole, then the questions of the others.
    fn failures(&self, outcome: &Outcome) -> Vec<String> {
        if let Some(said) = &outcome.error {
            return said.lines().flat_map(|line| self.text.wrapped("", 0, line)).collect();
        }
        let Some(shown) = stopped_by(outcome) else { return Vec::new() };
        let mut lines = self.bold(&shown.title());
        lines.extend(self.report(shown));
        lines.extend(self.why(outcome));
        let others = outcome.failed().filter(|report| *report != shown);
        lines.extend(others.flat_map(|report| self.question(report)));
        lines
    }

    fn title(&self, subject: &Subject) -> Vec<String> {
        let step = subject.step;
        let whose = if subject.my.is_some() { "" } else { " (the reference)" };
        let title = format!("Step {}, {}: {}{whose}", step.number(), step.name(), step.adds());
        self.bold(&title)
    }

    fn bold(&self, line: &str) -> Vec<String> {
        let lines = self.text.wrapped("", 0, line);
        lines.iter().map(|line| self.text.paint.bold(line)).collect()
    }

    /// The error that one container after the other ends with.
    fn complaint(&self, outcome: &Outcome) -> Vec<String> {
        let Some(said) = outcome.common().and_then(Report::complaint) else { return Vec::new() };
        let mut lines = vec![String::new(), "What several of these checks met:".into()];
        lines.extend(self.text.wrapped("  ", 2, said));
        lines
    }

    /// All checks of one exercise. What is not written yet is said once for all of them.
    fn exercise(&self, reports: &[&Report], outcome: &Outcome) -> Vec<String> {
        let title = reports[0].title();
        match not_written(reports[0]) {
            Some(said) if reports.iter().all(|it| it.unwritten() == reports[0].unwritten()) => {
                let mut lines = self.bold(&format!("{title}: {said}"));
                lines.extend(reports.iter().flat_map(|report| self.question(report)));
                lines
            }
            _ => {
                let mut lines = self.bold(&title);
                lines.extend(reports.iter().flat_map(|it| self.unless_said(it, outcome)));
                lines
            }
        }
    }

    /// The question alone, if the answer stands above it.
    fn unless_said(&self, report: &Report, outcome: &Outcome) -> Vec<String> {
        match outcome.is_common(report) {
            true => self.question(report),
            false => self.report(report),
        }
    }

    fn question(&self, report: &Report) -> Vec<String> {
        let head = format!("  {}", self.text.mark(report.passed));
        self.text.wrapped(&head, 2 + self.text.mark_width(), &report.asks)
    }

    /// The question, and what is worth knowing of the answer. Where it ended in an exercise that is not
    /// written yet, that is all there is to know.
    fn report(&self, report: &Report) -> Vec<String> {
        let mut lines = self.question(report);
        if let Some(said) = not_written(report) {
            lines.extend(self.dim(&said));
        } else if report.passed != Some(true) {
            lines.extend(self.text.wrapped("      ", 6, &shortened(&report.evidence)));
            if report.failed() {
                lines.extend(self.dim(&format!("look at {}", self.look_at(report))));
            }
        }
        lines
    }

    fn dim(&self, said: &str) -> Vec<String> {
        let lines = self.text.wrapped("      ", 6, said);
        lines.iter().map(|line| self.text.paint.dim(line)).collect()
    }

    /// Functions and man pages, and the chapter if it is written.
    fn look_at(&self, report: &Report) -> String {
        let name = report.check.split('/').next().unwrap_or_default();
        let chapter = format!("book/src/{name}.md");
        let written = checkout::checkout().is_ok_and(|dir| dir.join(&chapter).exists());
        match written {
            true => format!("{}; {chapter}", report.look_at),
            false => report.look_at.clone(),
        }
    }

    /// The call that failed, which of the reasons for that holds, what mends it.
    fn why(&self, outcome: &Outcome) -> Vec<String> {
        let Some(why) = &outcome.why else { return Vec::new() };
        let mut lines = vec![String::new()];
        lines.extend(self.bold(&format!("{} failed: {}", why.call, why.errno)));
        for (head, text) in
            [("  why  ", &why.reason), ("  fix  ", &why.fix), ("  see  ", &why.page)]
        {
            if !text.is_empty() {
                lines.extend(self.text.wrapped(head, 7, text));
            }
        }
        lines
    }

    fn verdict(&self, outcome: &Outcome) -> Vec<String> {
        if outcome.error.is_some() {
            let said = "It does not compile yet: the message above is cargo's.";
            return self.text.wrapped(&self.text.mark(Some(false)), self.text.mark_width(), said);
        }
        let count = |passed| outcome.checks.iter().filter(|it| it.passed == passed).count();
        let (held, failed, skipped) = (count(Some(true)), count(Some(false)), count(None));
        let mut said = format!("{held} of {} checks hold", held + failed);
        if skipped > 0 {
            said += &format!("; {skipped} more cannot be looked for here");
        }
        let place = if outcome.place == "lab" { " in the lab" } else { "" };
        said += &format!(" ({:.1} s{place}).", outcome.seconds);
        self.text.wrapped(&self.text.mark(Some(failed == 0)), self.text.mark_width(), &said)
    }

    fn advice(&self, subject: &Subject, outcome: &Outcome) -> Vec<String> {
        let advice = next(subject, outcome);
        self.text.wrapped(&self.text.paint.bold("Next: "), 6, &advice)
    }
}

/// Which exercise it ended in, if that is not written yet.
fn not_written(report: &Report) -> Option<String> {
    let exercise = report.unwritten()?;
    Some(match exercise == report.exercise {
        true => "not written yet".into(),
        false => format!("cannot be told before {exercise} is written"),
    })
}

/// Exercises in their order, wiring last.
fn by_exercise<'a>(reports: &[&'a Report]) -> Vec<Vec<&'a Report>> {
    let mut groups: BTreeMap<(bool, u32, &str), Vec<&Report>> = BTreeMap::new();
    for report in reports {
        let number = report.exercise.split_once('.').and_then(|(_, number)| number.parse().ok());
        let key = (report.is_wiring(), number.unwrap_or(0), report.exercise.as_str());
        groups.entry(key).or_default().push(report);
    }
    groups.into_values().collect()
}

/// As many lines as there is room for; the last says how many more there are.
fn fitting(mut lines: Vec<String>, room: usize) -> Vec<String> {
    if lines.len() > room {
        let shown = room.saturating_sub(1);
        let more = lines.len() - shown;
        lines.truncate(shown);
        lines.push(format!("  ... {more} more lines"));
    }
    lines
}

fn shortened(evidence: &str) -> String {
    match evidence.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ... (--json has all of it)", &evidence[..end]),
        None => evidence.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exercises_are_in_order_and_wiring_is_last() {
        let report = |exercise: &str| Report { exercise: exercise.into(), ..Report::example() };
        let reports = ["4", "4.10", "4.2", "4.10"].map(report);
        let groups = by_exercise(&reports.iter().collect::<Vec<_>>());
        let order: Vec<_> =
            groups.iter().map(|all| (all[0].exercise.as_str(), all.len())).collect();
        assert_eq!(order, [("4.2", 1), ("4.10", 2), ("4", 1)]);
    }

    #[test]
    fn long_evidence_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        assert!(shortened(&"ü".repeat(LONGEST + 1)).starts_with(&"ü".repeat(LONGEST)));
    }
}
