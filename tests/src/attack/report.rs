//! What the reader sees: two lines an attack, red where the attacker wins, green where the wall holds.
//! Or one JSON object a line, for programs.

use std::io::IsTerminal;

use serde_json::json;

use super::{Attack, Outcome, PLACES};

const RED: u8 = 31;
const GREEN: u8 = 32;
const YELLOW: u8 = 33;

/// Prints as it goes, and remembers enough for the exit code.
pub(super) struct Report {
    own: usize,
    json: bool,
    against: bool,
    colour: bool,
    /// How many worked, were stopped, could not be tried or failed.
    counts: [usize; 4],
    /// How many came out otherwise than the step promises.
    wrong: usize,
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
        Report { own, json, against, colour, counts: [0; 4], wrong: 0 }
    }

    /// The heading of one attack.
    pub(super) fn attack(&self, attack: &Attack) {
        if !self.json {
            println!("{}: {}", self.paint(1, attack.name), attack.claim);
        }
    }

    /// The line of one outcome.
    pub(super) fn outcome(&mut self, attack: &Attack, place: usize, outcome: Outcome) {
        let side = if place < self.own { "before" } else { "after" };
        let (kind, colour, word, proof) = match &outcome {
            Outcome::Worked(proof) => (0, RED, "worked", proof),
            Outcome::Stopped(reason) => (1, GREEN, "stopped", reason),
            Outcome::Untried(reason) => (2, YELLOW, "could not be tried here", reason),
            Outcome::Failed(reason) => (3, YELLOW, "failed", reason),
        };
        let wanted = usize::from(place >= self.own);
        self.counts[kind] += 1;
        self.wrong += usize::from(kind != wanted && kind != 2);
        if self.json {
            let (step, against) = (PLACES[self.own], PLACES[place]);
            let mut line = json!({"step": step, "attack": attack.name, "claim": attack.claim,
                "against": against, "side": side, "expected": kind == wanted});
            line["outcome"] =
                json!(word.split(' ').next().map(|word| if kind == 2 { "untried" } else { word }));
            line["proof"] = json!(proof);
            println!("{line}");
        } else {
            let place = match place {
                0 => "without a container".to_owned(),
                _ => format!("in step {place}, {}", PLACES[place]),
            };
            println!(
                "  {:7} {:20} {}: {proof}",
                format!("{side},"),
                place,
                self.paint(colour, word)
            );
        }
    }

    /// Before and after: 0 as promised, 1 not, 2 nothing could be tried.
    /// In one place: 0 all worked, 1 all stopped, 2 neither.
    pub(super) fn exit_code(&self) -> u8 {
        let [worked, stopped, _, failed] = self.counts;
        match self.against {
            true if failed == 0 && worked > 0 && stopped == 0 => 0,
            true if failed == 0 && stopped > 0 && worked == 0 => 1,
            true => 2,
            false if self.wrong > 0 => 1,
            false if worked + stopped == 0 => 2,
            false => 0,
        }
    }

    fn paint(&self, colour: u8, text: &str) -> String {
        match self.colour {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}
