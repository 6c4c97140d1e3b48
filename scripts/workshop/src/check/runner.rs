//! Runs the checks of a step in the place where the step can run. It starts ourselves again there: a
//! scene needs a process with one thread, which goes into namespaces of its own.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
};

use anyhow::{Context, Result, bail};

use super::Report;
use crate::{
    build, checkout,
    place::{Choice, Place},
    steps::Step,
};

/// The subcommand by which we are started again: see [`super::here`].
pub const HERE: &str = "check-here";

/// Runs all checks of `step`, its own first and then those of earlier steps, against its program in
/// `programs`, in the place where the step can run. Each report is handed to `on` as it comes; all of
/// them, in the table's order, are returned.
pub fn run(
    programs: &Path,
    step: Step,
    choice: Choice,
    on: &mut dyn FnMut(&Report),
) -> Result<Vec<Report>> {
    prepare(step, &mut |_| {})?;
    let place = choice.place_of(step)?;
    run_in(place, programs, step, on)
}

/// Builds what checks need besides the learner's program: the actor, and the reference's step, by
/// which the place is chosen.
pub fn prepare(step: Step, progress: &mut dyn FnMut(&str)) -> Result<()> {
    build::checks(step, progress)?;
    checkout::make_rootfs().map(drop)
}

/// [`run`], with the place chosen and everything built.
pub fn run_in(
    place: Place,
    programs: &Path,
    step: Step,
    on: &mut dyn FnMut(&Report),
) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    let act = checkout::programs()?.join("act");
    let arguments: [OsString; 6] = [
        HERE.into(),
        "--programs".into(),
        programs.into(),
        "--act".into(),
        act.into(),
        step.name().into(),
    ];
    lines(place, &arguments, &mut |line| {
        let report: Report = serde_json::from_str(line).context("cannot understand the checks")?;
        on(&report);
        reports.push(report);
        Ok(())
    })?;
    sort(&mut reports, step);
    Ok(reports)
}

/// Starts ourselves in a place and hands over each line that we say there.
fn lines(
    place: Place,
    arguments: &[OsString],
    on: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    let mut command = place.command(&checkout::this_program()?)?;
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start the checks")?;
    let output = child.stdout.take().context("the checks have no output")?;
    for line in BufReader::new(output).lines() {
        on(&line.context("cannot read what the checks say")?)?;
    }
    if !child.wait()?.success() {
        bail!("the checks could not be run");
    }
    Ok(())
}

/// The table's order: they come as they end.
fn sort(reports: &mut [Report], step: Step) {
    let order: Vec<String> = super::here::of_step(step.number() as usize)
        .iter()
        .map(|check| check.full_name())
        .collect();
    reports.sort_by_key(|report| order.iter().position(|name| *name == report.check));
}
