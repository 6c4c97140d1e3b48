//! What the tour shows of a step, found out where the step can run and told as events, a line of JSON
//! each: so they come through sudo and out of the lab alike.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use evidence::Xray;
use serde::{Deserialize, Serialize};

use crate::{build, checkout, steps::Step, xray};

/// `workshop scene 1 2 3`: the tour starts it, with everything built.
#[derive(clap::Args)]
pub struct Args {
    steps: Vec<Step>,
}

/// One thing that was found out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    Attack(Attack),
    Xray(Xray),
    /// It could not be found out, for this reason.
    Failed(String),
    /// Nothing more of the step of this number.
    End(u32),
}

/// One attack in one place, as the attack's `--json` says it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attack {
    pub attack: String,
    pub claim: String,
    /// `before` or `after`
    pub side: String,
    /// `worked`, `stopped`, `untried` or `failed`
    pub outcome: String,
    /// Whether that is what the step promises.
    pub expected: bool,
    pub proof: String,
}

pub fn scene(args: &Args) -> Result<i32> {
    crate::end_with_reader();
    for step in &args.steps {
        if let Err(error) = attack(*step) {
            tell(&Event::Failed(crate::describe(&error)))?;
        }
        match xray::of_step(*step) {
            Ok(picture) => tell(&Event::Xray(picture))?,
            Err(error) => tell(&Event::Failed(crate::describe(&error)))?,
        }
        tell(&Event::End(step.number()))?;
    }
    Ok(0)
}

/// Runs the attack against the step before and the step, and passes on what it says.
fn attack(step: Step) -> Result<()> {
    let mut command = Command::new(build::attack_program(step)?);
    command.arg("--json").arg("--steps").arg(checkout::programs()?).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run the attack on {step}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    for line in said.lines() {
        tell(&Event::Attack(serde_json::from_str(line).context("cannot understand the attack")?))?;
    }
    if said.is_empty() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("the attack on {step} said nothing: {}", reason.trim().trim_start_matches("error: "));
    }
    Ok(())
}

fn tell(event: &Event) -> Result<()> {
    println!("{}", serde_json::to_string(event)?);
    Ok(())
}
