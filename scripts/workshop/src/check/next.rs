//! What to do after a check: the one thing that leads on.

use std::cmp::Reverse;

use super::{Outcome, Report, subject::Subject};
use crate::{handout::UNWIRED, my::My};

/// In a sentence, with the command to type.
pub fn next(subject: &Subject, outcome: &Outcome) -> String {
    let Some(my) = &subject.my else { return of_reference() };
    if outcome.error.is_some() {
        return format!("mend that, then {} again.", my.command("check"));
    }
    if let Some(count) = at_the_top(outcome) {
        return format!("the error at the top: {count} checks end with it.");
    }
    match first(outcome) {
        Some(exercise) if exercise.contains('.') => {
            let hint = my.command(&format!("hint {exercise}"));
            format!("exercise {exercise}. {hint} says more.")
        }
        Some(step) => wiring(my, &step),
        None => after(my, subject),
    }
}

/// The exercise to go on with: without a main.rs nothing runs; then, of those that are not written yet,
/// the one that stands in the way of most checks.
pub fn first(outcome: &Outcome) -> Option<String> {
    if outcome.failed().any(|report| report.evidence.contains(UNWIRED)) {
        return Some(outcome.step.to_string());
    }
    let blank = in_the_way(outcome).map(String::from);
    let own = |report: &&Report| report.step == outcome.step;
    let failed = || outcome.failed().map(|report| report.exercise.clone());
    let own = outcome.failed().filter(own).map(|report| report.exercise.clone());
    blank.or(own.min_by_key(|it| order(it))).or(failed().min_by_key(|it| order(it)))
}

/// The check that stands in the way.
pub fn stopped_by(outcome: &Outcome) -> Option<&Report> {
    let exercise = first(outcome);
    let leads = |report: &&Report| Some(&report.exercise) == exercise.as_ref();
    outcome.failed().find(leads).or(outcome.failed().next())
}

/// How many checks end with the error at the top of the page, if it is most of them: whose exercise is
/// wrong, that error tells, and the checks' own exercises do not.
fn at_the_top(outcome: &Outcome) -> Option<usize> {
    let unwired = |report: &Report| report.evidence.contains(UNWIRED);
    let stands = |report: &Report| unwired(report) || report.unwritten().is_some();
    if outcome.failed().any(stands) {
        return None;
    }
    let count = outcome.failed().filter(|report| outcome.is_common(report)).count();
    (count > outcome.failed().count() / 2).then_some(count)
}

/// The exercise that is not written yet and in which most checks end; of two, the first.
fn in_the_way(outcome: &Outcome) -> Option<&str> {
    let blank = || outcome.failed().filter_map(Report::unwritten);
    let count = |exercise: &str| blank().filter(|it| *it == exercise).count();
    blank().min_by_key(|exercise| (Reverse(count(exercise)), order(exercise)))
}

/// Exercises as they are numbered, and wiring after them.
fn order(exercise: &str) -> (u32, u32) {
    let (step, number) = exercise.split_once('.').unwrap_or((exercise, ""));
    (step.parse().unwrap_or(u32::MAX), number.parse().unwrap_or(u32::MAX))
}

fn of_reference() -> String {
    match My::open(None) {
        Ok(my) => format!("{} says where you are.", my.command("next")),
        Err(_) => "cargo workshop start 1, and write your own.".into(),
    }
}

fn wiring(my: &My, step: &str) -> String {
    let hint = my.command(&format!("hint {step}"));
    format!("go on with main.rs of step {step}. {hint} says more.")
}

fn after(my: &My, subject: &Subject) -> String {
    match subject.step.after() {
        Some(step) => {
            format!("{}: {}.", my.command(&format!("start {}", step.number())), step.adds())
        }
        None => format!(
            "this was the last step, and you have an engine's first half. {} shows its walls.",
            my.command("xray 14")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(failed: &[(u32, &str, &str)]) -> Outcome {
        let report = |(step, exercise, evidence): &(u32, &str, &str)| Report {
            step: *step,
            exercise: exercise.to_string(),
            passed: Some(false),
            evidence: evidence.to_string(),
            ..Report::example()
        };
        Outcome { step: 4, checks: failed.iter().map(report).collect(), ..Outcome::example() }
    }

    #[test]
    fn what_is_blank_comes_before_what_is_wrong() {
        let said = "it ended: error: exercise 4.3 is not written yet: pivot";
        let first = |failed: &[_]| first(&outcome(failed));
        assert_eq!(first(&[(4, "4.1", "found 1"), (4, "4", said)]), Some("4.3".into()));
        let other = "it ended: error: exercise 4.1 is not written yet: bind";
        assert_eq!(first(&[(4, "4.1", other), (4, "4.2", said)]), Some("4.1".into()));
        let most = [(4, "4.1", other), (4, "4.2", said), (4, "4.3", said)];
        assert_eq!(first(&most), Some("4.3".into()));
        assert_eq!(first(&[(3, "3.1", ""), (4, "4", ""), (4, "4.2", "")]), Some("4.2".into()));
        assert_eq!(first(&[(3, "3.1", ""), (4, "4", "")]), Some("4".into()));
        assert_eq!(first(&[(3, "3.1", "")]), Some("3.1".into()));
        assert_eq!(first(&[]), None);
    }
}
