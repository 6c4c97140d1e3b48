//! `workshop attack`: builds a step's attack and becomes it. The attack runs itself against the
//! step before and the step, and says what came of both.

use std::ffi::OsString;

use anyhow::Result;

use crate::{
    build, checkout,
    place::{self, Choice, Place},
    steps::Step,
};

#[derive(clap::Args)]
#[command(after_help = "What follows `--` is for the attack: `cargo workshop attack 4 -- --help`.")]
pub struct Args {
    /// The step that stops the attack: 1 to 9 or 14, or its name
    step: Step,
    #[command(flatten)]
    choice: Choice,
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

pub fn attack(args: &Args) -> Result<i32> {
    let program = build(args.step, &mut |_| {})?;
    let steps = ["--steps".into(), checkout::programs()?.into()];
    let arguments = [&steps, args.arguments.as_slice()].concat();
    let (place, reason) = place(args.step, args.choice)?;
    place::explain(reason);
    place.become_program(&program, &arguments)
}

/// Builds the attack on a step, and the steps that it is run against.
pub fn build(step: Step, progress: &mut dyn FnMut(&str)) -> Result<std::path::PathBuf> {
    let both: Vec<Step> = step.before().into_iter().chain([step]).collect();
    build::steps(&both, progress)?;
    build::attack(step, progress)
}

/// Where the attack can run, and why if it is not here. Both steps must run there: the attack on
/// step 6 needs root, for step 5.
pub fn place(step: Step, choice: Choice) -> Result<(Place, Option<String>)> {
    checkout::make_rootfs()?;
    let limits = step.name() == "cgroups";
    // What step 14 stops, it stops before there is a container.
    if let Some(before) = step.before().filter(|_| !step.takes_root()) {
        return choice.decide(before, false);
    }
    match step.before().map(|before| choice.decide(before, false)) {
        Some(Ok((Place::Here, None))) | None => choice.decide(step, limits),
        Some(elsewhere) => elsewhere,
    }
}
