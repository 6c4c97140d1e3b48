//! Where each step can be done, from what was tried: here, here with sudo, or in the lab. It chooses
//! as `run` and `check` do, see `place`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    side::{Outcomes, Side},
    trial::{Need, Outcome, Trial},
    trials::{self, BUILD},
};
use crate::{checkout, place::Place, steps::Step};

/// What each side has found out; a side that could not try is not there.
pub type Columns = BTreeMap<Side, Outcomes>;

/// How root can be had here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rights {
    /// We are root.
    Root,
    /// By sudo, without a word.
    Sudo,
    /// By sudo, perhaps, with a password that we do not ask for.
    Password,
    None,
}

/// One step's place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    pub step: u32,
    pub name: String,
    /// `here`, `sudo`, `lab` or `nowhere`.
    pub place: String,
    /// Why it is not here, if it is not.
    pub why: Option<String>,
    /// What it does without there.
    pub without: Vec<String>,
}

/// The plan for all steps.
pub fn plan(columns: &Columns, rights: Rights) -> Vec<Planned> {
    Step::all().map(|step| one(step, columns, rights)).collect()
}

/// Whether all steps have a place on this host itself.
pub fn needs_no_lab(columns: &Columns, rights: Rights) -> bool {
    let plan = plan(columns, rights);
    plan.iter().all(|one| matches!(one.place.as_str(), "here" | "sudo"))
}

fn one(step: Step, columns: &Columns, rights: Rights) -> Planned {
    let first = candidate(step, rights);
    let planned = |place: &str, side: Option<Side>, why: Option<String>| Planned {
        step: step.number(),
        name: step.name().into(),
        place: place.into(),
        why,
        without: side.map_or(vec![], |side| without(step, &columns[&side])),
    };
    if let Some(why) = unbuildable(columns) {
        return planned("nowhere", None, Some(why));
    }
    let obstacle = match first {
        Some((_, side)) => obstacle(step, side, columns),
        None if rights == Rights::Password => Some(
            "root is needed, and sudo wants a password: run `sudo -v`, then doctor again".into(),
        ),
        None => Some("root is needed, and there is none".into()),
    };
    match (first, obstacle) {
        (Some((Place::Sudo, side)), None) => planned("sudo", Some(side), None),
        (Some((_, side)), None) => planned("here", Some(side), None),
        (_, why) if obstacle_in_lab(step, columns).is_none() => {
            planned("lab", Some(Side::Lab), why)
        }
        (_, why) => planned("nowhere", None, why),
    }
}

/// Where it is done if nothing is in the way, and whose trials tell.
fn candidate(step: Step, rights: Rights) -> Option<(Place, Side)> {
    match (rights, step.needs_root()) {
        (Rights::Root, _) => Some((Place::Here, Side::Root)),
        (_, false) => Some((Place::Here, Side::User)),
        (Rights::Sudo, true) => Some((Place::Sudo, Side::Root)),
        (Rights::Password | Rights::None, true) => None,
    }
}

fn obstacle_in_lab(step: Step, columns: &Columns) -> Option<String> {
    obstacle(step, Side::Lab, columns)
}

/// Without a toolchain there is nothing to run, wherever; but for a kit, which has the programs.
fn unbuildable(columns: &Columns) -> Option<String> {
    if checkout::kit().is_some() {
        return None;
    }
    let needed = trials::all().filter(|row| row.step == BUILD && row.need == Need::Step);
    let mut outcomes = needed.flat_map(|row| columns.values().filter_map(|it| it.get(row.name)));
    outcomes.find(|outcome| outcome.fails()).map(|outcome| outcome.words().to_string())
}

/// What is in the way of a step on one side, if anything: what it needs, or a step before it needs.
fn obstacle(step: Step, side: Side, columns: &Columns) -> Option<String> {
    let Some(outcomes) = columns.get(&side) else { return Some("it was not tried there".into()) };
    let needed = trials::all().filter(|row| is_needed(row, step));
    let mut failed = needed.filter_map(|row| Some((row, outcomes.get(row.name)?)));
    let (row, outcome) = failed.find(|(_, outcome)| outcome.fails())?;
    Some(format!("{}: {}", row.what, outcome.words()))
}

fn is_needed(row: &Trial, step: Step) -> bool {
    match row.need {
        Need::Step => (1..=step.number()).contains(&row.step),
        Need::StepAlone => row.step == step.number(),
        Need::Part(_) => false,
    }
}

/// The parts of the step that fail there.
fn without(step: Step, outcomes: &Outcomes) -> Vec<String> {
    let fails = |row: &&Trial| outcomes.get(row.name).is_some_and(Outcome::fails);
    let rows = trials::all().filter(|row| row.step == step.number()).filter(fails);
    let part = |row: &Trial| match row.need {
        Need::Part(text) if !text.starts_with("nothing") => Some(text.to_string()),
        _ => None,
    };
    rows.filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A side on which all works but these.
    fn column(side: Side, broken: &[&str]) -> (Side, Outcomes) {
        let outcome = |name: &str| match broken.contains(&name) {
            true => Outcome::Fails { reason: "no".into(), hint: None },
            false => Outcome::Works { evidence: String::new() },
        };
        let outcomes = trials::all().map(|row| (row.name.to_string(), outcome(row.name)));
        (side, outcomes.collect())
    }

    fn places(columns: &Columns, rights: Rights) -> Vec<String> {
        plan(columns, rights).into_iter().map(|one| one.place).collect()
    }

    #[test]
    fn root_does_all_here() {
        let columns = [column(Side::Root, &[]), column(Side::User, &["user-namespace"])].into();
        assert_eq!(places(&columns, Rights::Root), ["here"; 10]);
        assert!(needs_no_lab(&columns, Rights::Root));
    }

    #[test]
    fn sudo_does_the_first_five() {
        let columns = [column(Side::Root, &[]), column(Side::User, &[])].into();
        let expected = [vec!["sudo"; 5], vec!["here"; 5]].concat();
        assert_eq!(places(&columns, Rights::Sudo), expected);
    }

    #[test]
    fn without_root_the_lab_has_what_the_host_lacks() {
        let limited = column(Side::User, &["memory-limit", "range"]);
        let mut columns: Columns = [limited].into();
        let expected =
            [vec!["nowhere"; 5], vec!["here", "nowhere", "here", "here", "here"]].concat();
        assert_eq!(places(&columns, Rights::None), expected);
        assert!(!needs_no_lab(&columns, Rights::None));
        columns.extend([column(Side::Lab, &["time-namespace"])]);
        let plan = plan(&columns, Rights::None);
        let lab: Vec<u32> = plan.iter().filter(|it| it.place == "lab").map(|it| it.step).collect();
        assert_eq!(lab, [1, 2, 3, 4, 5, 7]);
        assert!(plan[5].without[0].starts_with("more than one user"), "{:?}", plan[5]);
    }

    #[test]
    fn what_a_step_needs_all_later_ones_need() {
        let columns = [column(Side::Root, &["proc"])].into();
        let expected = [vec!["here"; 3], vec!["nowhere"; 7]].concat();
        assert_eq!(places(&columns, Rights::Root), expected);
    }

    #[test]
    fn without_a_compiler_nothing_is_to_be_done() {
        let columns = [column(Side::Root, &["static-program"]), column(Side::Lab, &[])].into();
        assert_eq!(places(&columns, Rights::Root), ["nowhere"; 10]);
    }
}
