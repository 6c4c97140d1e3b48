//! What the page says of the checks of earlier steps: one line if all hold, else what does not, and what
//! several of them have in common once.

use std::collections::BTreeMap;

use super::Page;
use crate::{
    check::{Outcome, Report},
    steps::Step,
    tour::{capital, steps_text},
};

impl Page {
    pub(super) fn earlier(&self, outcome: &Outcome) -> Vec<String> {
        let earlier = outcome.own(false);
        if earlier.is_empty() {
            return Vec::new();
        }
        let mut lines = vec![String::new()];
        lines.extend(self.bold(&head(outcome, &earlier)));
        let not_held = earlier.into_iter().filter(|report| report.passed != Some(true));
        for (reason, reports) in by_reason(not_held, outcome) {
            match (reason, reports.as_slice()) {
                (Some(reason), [_, _, ..]) => {
                    lines.extend(self.several(&reason, &reports));
                }
                _ => lines.extend(reports.iter().flat_map(|report| self.report(report))),
            }
        }
        lines
    }

    fn several(&self, reason: &str, reports: &[&Report]) -> Vec<String> {
        let mark = format!("  {}", self.text.mark(reports[0].passed));
        let said = format!("{} {reason}", reports.len());
        self.text.wrapped(&mark, 2 + self.text.mark_width(), &said)
    }
}

fn head(outcome: &Outcome, earlier: &[&Report]) -> String {
    let count = |passed| earlier.iter().filter(|report| report.passed == passed).count();
    let (held, failed, skipped) = (count(Some(true)), count(Some(false)), count(None));
    let before: Vec<Step> = Step::all().filter(|step| step.number() < outcome.step).collect();
    let steps = capital(&steps_text(&before));
    let held = match failed {
        0 => format!("{steps}: all {held} checks still hold"),
        1 => format!("{steps}: {held} checks still hold, 1 does not"),
        _ => format!("{steps}: {held} checks still hold, {failed} do not"),
    };
    match (failed, skipped) {
        (0, 0) => format!("{held}."),
        (_, 0) => format!("{held}:"),
        _ => format!("{held}; {skipped} cannot be looked for here:"),
    }
}

/// What several may have in common, in the order in which it is met first; none for a check whose answer
/// is its own.
fn by_reason<'a>(
    reports: impl Iterator<Item = &'a Report>,
    outcome: &Outcome,
) -> Vec<(Option<String>, Vec<&'a Report>)> {
    let mut groups: Vec<(Option<String>, Vec<&Report>)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for report in reports {
        let reason = reason(report, outcome);
        let new = groups.len();
        let at = reason.clone().map_or(new, |reason| *places.entry(reason).or_insert(new));
        if at == new {
            groups.push((reason, Vec::new()));
        }
        groups[at].1.push(report);
    }
    groups
}

fn reason(report: &Report, outcome: &Outcome) -> Option<String> {
    match (report.unwritten(), report.passed) {
        (Some(exercise), _) => {
            Some(format!("end in exercise {exercise}, which is not written yet"))
        }
        (None, None) => Some(format!("cannot be looked for: {}", report.evidence)),
        _ => outcome.is_common(report).then(|| "end with the error above".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_met_is_one_group() {
        let report = |passed, evidence: &str| Report {
            step: 3,
            passed,
            evidence: evidence.into(),
            ..Report::example()
        };
        let blank = "it ended: error: exercise 4.3 is not written yet: pivot";
        let failed = [blank, "found 1", "found 1", blank];
        let mut checks = failed.map(|said| report(Some(false), said)).to_vec();
        checks.extend(["no root", "no root"].map(|said| report(None, said)));
        let outcome = Outcome { checks, ..Outcome::example() };
        let groups = by_reason(outcome.checks.iter(), &outcome);
        let sizes: Vec<_> = groups.iter().map(|(_, reports)| reports.len()).collect();
        assert_eq!(sizes, [2, 1, 1, 2]);
    }
}
