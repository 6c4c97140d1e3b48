//! The checks of every step: what the kernel must answer of a container that the step has made. One table, for
//! the tests and for the learner's companion alike. A check looks at /proc from outside and through
//! `act` from inside; what the program claims counts for nothing.

mod cgroups;
mod chroot;
mod image;
mod knock_on;
mod mount;
mod need;
mod net;
mod overlay;
mod pid;
mod run;
mod scene;
mod seccomp;
mod user;
mod uts;

use std::fmt::Debug;

use anyhow::{Result, bail};

use crate::steps::{self, LAST};

pub use knock_on::{KnockOn, knock_ons};
pub use need::{Need, disk, granted, installed};
pub use run::{Ended, ORDINARY, Run, Running};
pub use scene::{OwnRoot, Scene};

/// One promise of a step, and how to see that it is kept.
pub struct Check {
    /// The step that makes the promise; every later one up to `until` keeps it.
    pub step: usize,
    /// What the command line calls it; unique in its step.
    pub name: &'static str,
    /// What is asked of the kernel, in a sentence.
    pub asks: &'static str,
    /// Where to look if it fails: a function, a manual page.
    pub look_at: &'static str,
    /// The exercise that brings it about: `3.2`, or `3` for wiring the step into main.rs.
    pub exercise: &'static str,
    /// What the machine must have for it.
    pub needs: &'static [Need],
    /// The last step that it is true of: what a later step replaces ends before that.
    pub until: usize,
    /// Why it holds already in the step before, if it does. All others must fail there.
    pub before: Option<&'static str>,
    /// Looks. An error says what was found instead.
    pub run: fn(&Context) -> Result<()>,
}

impl Check {
    /// What most checks have in common, for `..Check::DEFAULT`.
    pub const DEFAULT: Check = Check {
        step: 0,
        name: "",
        asks: "",
        look_at: "",
        exercise: "",
        needs: &[],
        until: LAST,
        before: None,
        run: |_| bail!("nothing to look at"),
    };

    /// `04-mount/old-root-is-gone`
    pub fn full_name(&self) -> String {
        format!("{:02}-{}/{}", self.step, steps::name(self.step), self.name)
    }

    /// Whether it is true of this step, if the step is right.
    pub fn applies_to(&self, step: usize) -> bool {
        (self.step..=self.until).contains(&step)
    }

    /// Why it cannot be looked for here, if it cannot.
    pub fn missing(&self, context: &Context) -> Option<String> {
        let makes_containers = [Need::Program(context.step), Need::RightsOf(context.step)];
        let mut needs = makes_containers.iter().chain(self.needs);
        needs.find_map(|need| need.missing(context))
    }
}

/// All checks, in the order of the steps.
pub fn all() -> impl Iterator<Item = &'static Check> {
    let tables: &[&'static [Check]] = &[
        chroot::CHECKS,
        uts::CHECKS,
        pid::CHECKS,
        mount::CHECKS,
        net::CHECKS,
        user::CHECKS,
        cgroups::CHECKS,
        overlay::CHECKS,
        seccomp::CHECKS,
        image::CHECKS,
    ];
    tables.iter().copied().flatten()
}

/// The step under check, and the scene that it plays in.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub step: usize,
    pub scene: &'a Scene,
}

impl<'a> Context<'a> {
    /// A container of this step, not yet started: in the shared root directory, without a network.
    pub fn container(&self) -> Run<'a> {
        Run::new(*self)
    }

    /// Starts one that does these deeds and then waits.
    pub fn start(&self, deeds: &[&str]) -> Result<Running> {
        self.container().start(deeds)
    }
}

/// An error unless both are the same.
fn expect<T: PartialEq + Debug + ?Sized>(what: &str, found: &T, wanted: &T) -> Result<()> {
    if found != wanted {
        bail!("{what}: found {found:?}, expected {wanted:?}");
    }
    Ok(())
}
