//! The steps: what each adds. Their names and numbers are evidence's, as are their questions: the walls'.

use std::{fmt, str::FromStr};

use evidence::steps;

/// A step of the workshop, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step(u32);

/// What each adds, in order.
const ADDS: [&str; steps::STEPS.len()] = [
    "another root directory",
    "a host name of its own",
    "its own process numbers, and a parent that looks after it",
    "its own mounts; the old root is gone",
    "its own network, joined to the host's by a cable",
    "a root that is nobody outside; no sudo from here on",
    "limits on memory, CPU and processes",
    "layers: changes go to a copy of its own",
    "a filter for system calls",
    "a root directory from a registry, layer by layer",
];

impl Step {
    /// All of them, in order.
    pub fn all() -> impl Iterator<Item = Step> {
        steps::numbers().map(|number| Step(number as u32))
    }

    /// Those of part I: each builds a wall, and takes a root directory.
    pub fn walls() -> impl Iterator<Item = Step> {
        Step::all().filter(|step| step.takes_root())
    }

    pub fn number(self) -> u32 {
        self.0
    }

    /// Its package, library and program.
    pub fn name(self) -> &'static str {
        steps::name(self.0 as usize)
    }

    pub fn adds(self) -> &'static str {
        let place = Step::all().position(|step| step == self);
        place.map_or("", |place| ADDS[place])
    }

    /// Its package's directory: `05-net`.
    pub fn directory(self) -> String {
        format!("{:02}-{}", self.0, self.name())
    }

    /// The step after; none after the last.
    pub fn after(self) -> Option<Step> {
        Step::all().find(|step| *step > self)
    }

    /// The step before; none before the first.
    pub fn before(self) -> Option<Step> {
        Step::all().take_while(|step| *step < self).last()
    }

    /// Its program is `STEP [FLAGS] ROOT COMMAND`; without, it is `image run [FLAGS] IMAGE [COMMAND]`.
    pub fn takes_root(self) -> bool {
        self.0 <= steps::LAST_WITH_ROOT as u32
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
        found.ok_or_else(|| format!("there are steps {}, from chroot to image", steps::which()))
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
        assert!(["0", "10", "13", "15"].iter().all(|number| number.parse::<Step>().is_err()));
        assert_eq!(
            "15".parse::<Step>().unwrap_err(),
            "there are steps 1 to 9 and 14, from chroot to image"
        );
        assert_eq!(Step::walls().last(), "seccomp".parse().ok());
        assert_eq!(Step::all().last(), "image".parse().ok());
    }

    #[test]
    fn a_gap_lies_between_two_steps() {
        let (seccomp, image): (Step, Step) = ("9".parse().unwrap(), "14".parse().unwrap());
        assert_eq!((seccomp.after(), image.before()), (Some(image), Some(seccomp)));
        assert_eq!((Step(1).before(), image.after()), (None, None));
        assert_eq!((image.directory(), image.adds()), ("14-image".into(), ADDS[9]));
    }
}
