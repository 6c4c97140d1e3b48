//! The nine steps: what each is called and what it adds. Their questions are the walls' (evidence).

use std::{fmt, str::FromStr};

/// A step of the workshop, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step(u32);

/// Package (and library, and binary), and what it adds, in order.
const STEPS: [(&str, &str); 9] = [
    ("chroot", "another root directory"),
    ("uts", "a host name of its own"),
    ("pid", "its own process numbers, and a parent that looks after it"),
    ("mount", "its own mounts; the old root is gone"),
    ("net", "its own network, joined to the host's by a cable"),
    ("user", "a root that is nobody outside; no sudo from here on"),
    ("cgroups", "limits on memory, CPU and processes"),
    ("overlay", "layers: changes go to a copy of its own"),
    ("seccomp", "a filter for system calls"),
];

impl Step {
    /// All of them, in order.
    pub fn all() -> impl Iterator<Item = Step> {
        (1..=STEPS.len() as u32).map(Step)
    }

    pub fn number(self) -> u32 {
        self.0
    }

    pub fn name(self) -> &'static str {
        STEPS[self.0 as usize - 1].0
    }

    pub fn adds(self) -> &'static str {
        STEPS[self.0 as usize - 1].1
    }

    /// Its package's directory: `05-net`.
    pub fn directory(self) -> String {
        format!("{:02}-{}", self.0, self.name())
    }

    /// The step after; none after the last.
    pub fn after(self) -> Option<Step> {
        Step::all().find(|step| step.0 == self.0 + 1)
    }

    /// The step before; none before the first.
    pub fn before(self) -> Option<Step> {
        Some(Step(self.0 - 1)).filter(|step| step.0 > 0)
    }

    /// Namespaces are root's to make, until step 6 makes a user namespace first.
    pub fn needs_root(self) -> bool {
        self.0 < 6
    }
}

impl FromStr for Step {
    type Err = String;

    /// A number or a name.
    fn from_str(text: &str) -> Result<Step, String> {
        let number = text.parse().ok();
        if let Some((step, _)) =
            text.split_once('.').filter(|(step, _)| step.parse::<u32>().is_ok())
        {
            return Err(format!("that is an exercise; its step is {step}"));
        }
        let found = Step::all().find(|step| Some(step.0) == number || step.name() == text);
        found.ok_or_else(|| format!("there are steps 1 to {}, from chroot to seccomp", STEPS.len()))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "step {}, {}", self.0, self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_a_number_and_a_name() {
        assert_eq!("4".parse::<Step>(), "mount".parse::<Step>());
        assert!("0".parse::<Step>().is_err() && "10".parse::<Step>().is_err());
        assert_eq!(Step(1).before(), None);
        assert_eq!(Step::all().last(), "seccomp".parse().ok());
    }

    #[test]
    fn attacks_and_companion_count_the_same_steps() {
        let names: Vec<_> = Step::all().map(Step::name).collect();
        assert_eq!(names, evidence::attack::PLACES[1..]);
    }
}
