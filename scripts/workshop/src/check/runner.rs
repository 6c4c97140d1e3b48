//! Runs the checks of a step in the place where the step can run. It starts ourselves again there: a
//! scene needs a process with one thread, which goes into namespaces of its own.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
    sync::mpsc::{Sender, channel},
    thread,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{Report, hand_over::HandOver};
use crate::{
    build, checkout, lab,
    place::{Choice, Place},
    steps::Step,
};

/// The subcommand by which we are started again: see [`super::here`].
pub const HERE: &str = "check-here";

/// What we say there, a line of JSON each.
#[derive(Serialize, Deserialize)]
pub enum Said {
    /// The kernel that is asked, by its release: the lab's is another than the host's.
    Kernel(String),
    Report(Report),
}

/// What came of all checks.
pub struct Asked {
    pub kernel: String,
    pub reports: Vec<Report>,
}

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
    Ok(ask(choice.place_of(step)?, programs, step, on)?.reports)
}

/// Builds what checks need besides the learner's program: the actor, and the reference's step, by
/// which the place is chosen.
pub fn prepare(step: Step, progress: &mut dyn FnMut(&str)) -> Result<()> {
    build::checks(step, progress)?;
    checkout::make_rootfs().map(drop)
}

/// Which part of the checks: several labs do one each.
#[derive(Clone, Copy)]
pub struct Share {
    number: usize,
    of: usize,
}

impl Share {
    pub const ALL: Share = Share { number: 0, of: 1 };
}

/// [`run`], with the place chosen and everything built.
pub fn ask(
    place: Place,
    programs: &Path,
    step: Step,
    on: &mut dyn FnMut(&Report),
) -> Result<Asked> {
    let of = if place == Place::Lab { lab::kept::side_by_side() } else { 1 };
    let (mut kernel, mut reports) = (String::new(), Vec::new());
    thread::scope(|scope| {
        let (send, lines) = channel();
        let ask = |number, send: Sender<String>| {
            let mut on = |line: &str| send.send(line.into()).context("nobody listens any more");
            start(place, HERE, programs, step, Share { number, of }, &mut on)
        };
        let asking = Vec::from_iter((0..of).map(|number| {
            let send = send.clone();
            scope.spawn(move || ask(number, send))
        }));
        drop(send);
        for line in lines {
            match serde_json::from_str(&line).context("cannot understand the checks")? {
                Said::Kernel(release) => kernel = release,
                Said::Report(report) => {
                    on(&report);
                    reports.push(report);
                }
            }
        }
        asking.into_iter().try_for_each(|it| it.join().expect("asking does not panic"))
    })?;
    sort(&mut reports, step);
    Ok(Asked { kernel, reports })
}

/// Starts ourselves in a place, to do something with a step's program, and hands over each line that
/// we say there.
pub fn start(
    place: Place,
    what: &str,
    programs: &Path,
    step: Step,
    share: Share,
    on: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    let (us, act) = (checkout::this_program()?, checkout::programs()?.join("act"));
    let done = match place {
        Place::Lab => {
            let hand = HandOver::new(&[&us, &act, &programs.join(step.name())])?;
            let arguments = arguments(what, hand.directory(), &hand.path("act"), step, share);
            let command = [&[hand.path("workshop").into()], &arguments[..]].concat();
            lab::kept::lines(share.number, &command, on)? == 0
        }
        _ => {
            let mut command = place.command(&us)?;
            command.args(arguments(what, programs, &act, step, share));
            let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
            let output = child.stdout.take().context("the checks have no output")?;
            for line in BufReader::new(output).lines() {
                on(&line.context("cannot read what the checks say")?)?;
            }
            child.wait()?.success()
        }
    };
    if !done {
        bail!("the checks could not be run");
    }
    Ok(())
}

fn arguments(what: &str, programs: &Path, act: &Path, step: Step, share: Share) -> [OsString; 10] {
    [
        what.into(),
        "--programs".into(),
        programs.into(),
        "--act".into(),
        act.into(),
        "--share".into(),
        share.number.to_string().into(),
        "--of".into(),
        share.of.to_string().into(),
        step.name().into(),
    ]
}

/// The table's order: they come as they end.
fn sort(reports: &mut [Report], step: Step) {
    let checks = super::here::of_step(step.number() as usize);
    let order: Vec<String> = checks.iter().map(|check| check.full_name()).collect();
    reports.sort_by_key(|report| order.iter().position(|name| *name == report.check));
}
