//! The transcripts of the lab: a stand-in, as here, in a machine with cgroup v2 on which everybody is root.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};

use super::{Job, Seen, stand_in};
use crate::place::programs;

/// The file in the kit that holds the job: the lab's standard input is not ours.
const JOB: &str = "job.json";

/// Boots a lab and runs the job in it.
pub fn run(job: &Job) -> Result<Seen> {
    if job.commands.is_empty() {
        return Ok(Seen::default());
    }
    let file = job.kit.join(JOB);
    fs::write(&file, serde_json::to_vec(job)?).context("cannot write the job")?;
    let (workshop, us) = (programs()?.join("workshop"), programs()?.join("book"));
    let output = Command::new(workshop).arg("lab").arg(us).arg(LAB).arg(&file).output();
    let output = output.context("cannot run the workshop")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the lab could not run the transcripts: {}", said.trim());
    serde_json::from_slice(&output.stdout).context("cannot understand what was run in the lab")
}

/// The subcommand by which we are started in the lab.
pub const LAB: &str = "in-lab";

/// What we do there.
pub fn main(file: &std::path::Path) -> Result<()> {
    let job: Job = serde_json::from_slice(&fs::read(file).context("cannot read the job")?)?;
    println!("{}", serde_json::to_string(&stand_in::start(&job)?)?);
    Ok(())
}
