//! What the reader sees: two lines an attack, red where the attacker wins, green where the wall holds.
//! Or one JSON object a line, for programs.

use std::io::IsTerminal;

use serde_json::json;

use super::{Attack, Outcome};
use crate::steps;

const RED: u8 = 31;
const GREEN: u8 = 32;
const YELLOW: u8 = 33;

/// Prints as it goes, and remembers enough for the exit code.
pub(super) struct Report {
    own: usize,
    json: bool,
    against: bool,
    colour: bool,
    worked: usize,
    stopped: usize,
    failed: usize,
    /// One came out otherwise than the step promises.
    wrong: bool,
}

pub(super) fn list(step: &str, attacks: &[&Attack], json: bool) {
    for Attack { name, claim, .. } in attacks {
        match json {
            true => println!("{}", json!({"step": step, "attack": name, "claim": claim})),
            false => println!("{name:20} {claim}"),
        }
    }
}

impl Report {
    pub(super) fn new(own: usize, json: bool, against: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let colour = forced || (std::io::stdout().is_terminal() && !plain);
        Report { own, json, against, colour, worked: 0, stopped: 0, failed: 0, wrong: false }
    }

    /// The heading of one attack.
    pub(super) fn attack(&self, attack: &Attack) {
        if !self.json {
            println!("{}: {}", self.paint(1, attack.name), attack.claim);
        }
    }

    /// The line of one outcome.
    pub(super) fn outcome(&mut self, attack: &Attack, place: usize, outcome: &Outcome) {
        let before = place < self.own;
        let expected =
            matches!((before, outcome), (true, Outcome::Worked(_)) | (false, Outcome::Stopped(_)));
        let untried = matches!(outcome, Outcome::Untried(_));
        self.wrong |= !expected && !untried;
        match outcome {
            Outcome::Worked(_) => self.worked += 1,
            Outcome::Stopped(_) => self.stopped += 1,
            Outcome::Untried(_) => {}
            Outcome::Failed(_) => self.failed += 1,
        }
        let side = if before { "before" } else { "after" };
        match self.json {
            true => self.json_line(attack, place, side, expected, outcome),
            false => self.line(place, side, outcome),
        }
    }

    fn line(&self, place: usize, side: &str, outcome: &Outcome) {
        let (colour, word, proof) = match outcome {
            Outcome::Worked(proof) => (RED, "worked", proof),
            Outcome::Stopped(reason) => (GREEN, "stopped", reason),
            Outcome::Untried(reason) => (YELLOW, "cannot be tried here", reason),
            Outcome::Failed(reason) => (YELLOW, "failed", reason),
        };
        let place = match place {
            0 => "without a container".to_owned(),
            _ => format!("in step {place}, {}", steps::name(place)),
        };
        println!("  {side:6} {place:19}  {}: {proof}", self.paint(colour, word));
    }

    /// The outcome's own fields, `outcome` and `proof`, and what it is the outcome of.
    fn json_line(
        &self,
        attack: &Attack,
        place: usize,
        side: &str,
        expected: bool,
        outcome: &Outcome,
    ) {
        let mut line = json!(outcome);
        line["step"] = json!(steps::name(self.own));
        line["attack"] = json!(attack.name);
        line["claim"] = json!(attack.claim);
        line["against"] = json!(steps::name(place));
        line["side"] = json!(side);
        line["expected"] = json!(expected);
        println!("{line}");
    }

    /// Before and after: 0 as promised, 1 not, 2 there was nothing to compare.
    /// In one place: 0 all worked, 1 all stopped, 2 neither.
    pub(super) fn exit_code(&self) -> u8 {
        match (self.against, self.worked > 0, self.stopped > 0) {
            (true, _, _) if self.failed > 0 => 2,
            (true, true, false) => 0,
            (true, false, true) => 1,
            (true, _, _) => 2,
            (false, _, _) if self.wrong => 1,
            (false, true, true) => 0,
            (false, _, _) => 2,
        }
    }

    fn paint(&self, colour: u8, text: &str) -> String {
        match self.colour {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}
