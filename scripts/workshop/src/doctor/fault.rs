//! What to do about what fails: the reason that holds here, the command that mends it, the command
//! that undoes that. Trials that fail for one reason are one fault.

use serde::{Deserialize, Serialize};

use super::{
    advice::{Advice, advise},
    host::Host,
    side::{Outcomes, Side},
    trial::{Need, Outcome, Trial},
    trials,
};

/// One reason, for one or more trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    pub side: Side,
    /// The steps that it is about; 0 is building.
    pub steps: Vec<u32>,
    /// The trials that failed, by name.
    pub trials: Vec<String>,
    /// Whether a step cannot be done for it; else a part of one.
    pub blocks: bool,
    /// What the kernel, or a program, answered to the first.
    pub answer: String,
    #[serde(flatten)]
    pub advice: Advice,
}

/// The faults of one side, the first first.
pub fn of(side: Side, outcomes: &Outcomes, host: &Host) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    for trial in trials::all() {
        let Some(Outcome::Fails { reason, hint }) = outcomes.get(trial.name) else { continue };
        if trial.step == trials::BEYOND || follows(trial, &faults) {
            continue;
        }
        let advice = advise(trial.name, side, (reason, hint.as_deref()), host);
        match faults.iter_mut().find(|fault| fault.advice == advice) {
            Some(fault) => fault.add(trial),
            None => faults.push(Fault::new(trial, side, reason, advice)),
        }
    }
    faults
}

/// That a step does not run says nothing new where something that it needs has failed.
fn follows(trial: &Trial, faults: &[Fault]) -> bool {
    trial.name.starts_with("program-")
        && faults.iter().any(|fault| fault.blocks && fault.steps[0] <= trial.step)
}

impl Fault {
    fn new(trial: &Trial, side: Side, answer: &str, advice: Advice) -> Fault {
        let (steps, trials) = (vec![trial.step], vec![trial.name.into()]);
        let blocks = blocks(trial);
        Fault { side, steps, trials, blocks, answer: answer.into(), advice }
    }

    fn add(&mut self, trial: &Trial) {
        self.trials.push(trial.name.into());
        self.blocks |= blocks(trial);
        if !self.steps.contains(&trial.step) {
            self.steps.push(trial.step);
        }
    }
}

fn blocks(trial: &Trial) -> bool {
    !matches!(trial.need, Need::Part(_))
}

#[cfg(test)]
mod tests {
    use super::super::host::tests;
    use super::*;

    fn outcomes(failures: &[(&str, &str)]) -> Outcomes {
        let fails = |reason: &str| Outcome::Fails { reason: reason.into(), hint: None };
        failures.iter().map(|(name, reason)| (name.to_string(), fails(reason))).collect()
    }

    #[test]
    fn one_reason_is_one_fault() {
        let refused = "cannot write /proc/self/uid_map: Operation not permitted (EPERM)";
        let failures =
            [("user-namespace", refused), ("uts-namespace", refused), ("program-6", "?")];
        let faults = of(Side::User, &outcomes(&failures), &tests::ubuntu_24_04());
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].trials, ["uts-namespace", "user-namespace"]);
        assert_eq!((&faults[0].steps[..], faults[0].blocks), (&[2, 6][..], true));
    }

    #[test]
    fn a_part_blocks_nothing_and_what_is_to_come_is_no_fault() {
        let failures = [("range", "newuidmap is not installed"), ("landlock", "no")];
        let faults = of(Side::User, &outcomes(&failures), &tests::fedora());
        assert_eq!(faults.len(), 1);
        assert!(!faults[0].blocks && faults[0].advice.fix.contains("dnf install shadow-utils"));
    }

    #[test]
    fn a_step_that_fails_alone_is_a_fault() {
        let faults = of(Side::Root, &outcomes(&[("program-4", "odd")]), &tests::fedora());
        assert_eq!(faults[0].answer, "odd");
    }
}
