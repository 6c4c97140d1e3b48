//! What the tour looks like.

use evidence::{
    Xray,
    paint::Paint,
    walls::{Wall, Whose},
};

use super::{Count, Plan, stage::Scene};
use crate::{place::Place, scene::Attack, steps::Step};

const WIDTH: usize = 88;

const OPENING: &str = "
  A container is a process for which the kernel answers some questions differently. Each
  step changes one answer. For each you will see an attack that works without it, the wall
  that it builds, and the attack failing.
";

const TOUCHES: &str =
    "  Nothing is staged: it happens now, on this machine. It writes to target/ and .workshop/ of
  this checkout, to /tmp while an attack runs, and to nothing else.
";

/// A place to print on, in colour or not.
pub struct Page(Paint);

impl Page {
    pub fn new(paint: Paint) -> Page {
        Page(paint)
    }

    /// What will happen, and what it touches.
    pub fn opening(&self) {
        let Page(paint) = self;
        println!("\n  {}", paint.bold("Nine steps to a container: the tour"));
        println!("{OPENING}");
        println!("{}", paint.dim(TOUCHES));
    }

    /// Which steps run where, and why.
    pub fn plan(&self, plan: &Plan) {
        for (place, steps) in plan.groups() {
            let where_ = match place {
                Place::Here => "here",
                Place::Sudo => "here, as root by sudo",
                Place::Lab => "in the lab, a machine of their own that cannot harm this one",
            };
            println!("  {}: {where_}.", capital(&steps_text(&steps)));
        }
        if let Some(reason) = &plan.reason {
            println!("  {}", self.0.dim(&format!("Why the lab: {reason}.")));
        }
    }

    /// The heading of a step, and the question that it answers.
    pub fn question(&self, step: Step) {
        let Page(paint) = self;
        let rule = WIDTH.saturating_sub(step.name().len() + 8);
        let (number, name) = (paint.bold(&step.number().to_string()), paint.bold(step.name()));
        println!("\n{} {number} {name} {}\n", paint.dim("━━"), paint.dim(&"━".repeat(rule)));
        println!("  {}\n", paint.bold(evidence::walls::question(step.number())));
    }

    pub fn before(&self, step: Step, scene: &Scene) {
        let place = match step.before() {
            Some(before) => format!("Without it, in {before}:"),
            None => "Without it, in no container:".to_string(),
        };
        self.attacks(&place, "before", scene);
    }

    pub fn after(&self, step: Step, scene: &Scene) {
        self.attacks(&format!("With it, in {step}:"), "after", scene);
        for reason in &scene.failures {
            println!("  {} {reason}\n", self.0.red("failed:"));
        }
    }

    fn attacks(&self, place: &str, side: &str, scene: &Scene) {
        println!("  {place}");
        for attack in scene.attacks.iter().filter(|attack| attack.side == side) {
            self.attack(attack);
        }
        println!();
    }

    /// Before: what the attack does, and its proof. After: what came of it. Red: the attacker wins.
    fn attack(&self, attack: &Attack) {
        let Page(paint) = self;
        let (mark, word) = match attack.outcome.as_str() {
            "worked" => (paint.red("✗"), paint.red("worked")),
            "stopped" => (paint.green("✓"), paint.green("stopped")),
            "untried" => (paint.yellow("–"), paint.yellow("not tried here")),
            other => (paint.yellow("?"), paint.yellow(other)),
        };
        let claim = match attack.side.as_str() {
            "before" => format!(": {}", attack.claim),
            _ => String::new(),
        };
        println!("  {mark} {}{claim}", paint.bold(&attack.attack));
        println!("    {word}: {}", paint.dim(&attack.proof));
    }

    /// The wall that is new, and the rest of the room.
    pub fn wall(&self, step: Step, scene: &Scene) {
        println!("  The wall: {}", step.adds());
        let Some(xray) = &scene.xray else {
            return println!("  {}\n", self.0.yellow("not seen"));
        };
        if let Some(wall) = xray.of_step(step.number()) {
            println!("{}", wall.row(self.0));
        }
        println!("{}", self.room(xray, step));
    }

    /// All walls in two lines, dim but for the new one.
    fn room(&self, xray: &Xray, step: Step) -> String {
        let name = |wall: &Wall| {
            let line = if wall.whose == Whose::Own { "━" } else { "╌" };
            let text = format!("{line} {}", wall.name);
            match wall.step == Some(step.number()) {
                true => self.0.green(&text),
                false => self.0.dim(&text),
            }
        };
        let lines = xray.walls.chunks(7).map(|part| {
            let names: Vec<String> = part.iter().map(name).collect();
            format!("  {}\n", names.join("  "))
        });
        lines.collect()
    }

    /// The count, and what to do next.
    pub fn closing(&self, steps: &[Step], count: &Count) {
        let Page(paint) = self;
        println!("{}\n", paint.dim(&"━".repeat(WIDTH)));
        let text = format!(
            "{} of {} steps: {} attacks worked before, {} of them were stopped after",
            count.steps,
            steps.len(),
            count.worked,
            count.stopped
        );
        let untried = match count.untried {
            0 => String::new(),
            n => format!("; {n} could not be tried here"),
        };
        let wrong = match count.wrong {
            0 => String::new(),
            n => paint.red(&format!("; {n} not as promised")),
        };
        println!("  {}{untried}{wrong}.\n", paint.bold(&text));
        println!("  Next: {}", paint.dim("read steps/01-chroot/src/lib.rs, then its main.rs"));
        for (command, does) in [
            ("cargo workshop run 9", "a shell behind all nine walls"),
            ("cargo workshop xray 9", "what is still the host's"),
            ("cargo workshop clean", "as if you had never been here"),
        ] {
            println!("        {command:22}  {}", paint.dim(does));
        }
        println!();
    }
}

/// `step 4`, `steps 1 to 6`, `steps 1, 4 and 7`.
pub fn steps_text(steps: &[Step]) -> String {
    let numbers: Vec<usize> = steps.iter().map(|step| step.number() as usize).collect();
    match numbers.as_slice() {
        [] => "no step".to_string(),
        [one] => format!("step {one}"),
        many => format!("steps {}", evidence::steps::said(many)),
    }
}

/// With its first letter large.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_as_people_do() {
        let text = |names: &[&str]| {
            steps_text(&names.iter().map(|name| name.parse().unwrap()).collect::<Vec<_>>())
        };
        assert_eq!(text(&["4"]), "step 4");
        assert_eq!(text(&["7", "8"]), "steps 7 and 8");
        assert_eq!(text(&["1", "2", "3"]), "steps 1 to 3");
        assert_eq!(text(&["1", "4", "7"]), "steps 1, 4 and 7");
        assert_eq!(capital("steps"), "Steps");
    }
}
