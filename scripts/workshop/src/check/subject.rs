//! What is checked: a step of the learner's, or of the reference. It is built, and the kernel is asked
//! about it.

use std::{path::PathBuf, thread, time::Instant};

use anyhow::{Error, Result};

use super::{
    Args, Outcome, Progress, Report,
    outcome::{Versions, rustc},
    runner::{self, Asked},
    why::why,
};
use crate::{
    advice, build, checkout,
    my::My,
    place::{Choice, Place},
    steps::Step,
};

pub struct Subject {
    pub step: Step,
    /// None: the reference.
    pub my: Option<My>,
    choice: Choice,
}

impl Subject {
    pub fn new(args: &Args) -> Result<Subject> {
        let my = match args.reference {
            true => None,
            false => Some(My::open(args.place.dir.as_deref())?),
        };
        let step = match (args.step, &my) {
            (Some(step), _) => step,
            (None, Some(my)) => my.state()?.step,
            (None, None) => Step::all().last().expect("there are steps"),
        };
        Ok(Subject { step, my, choice: args.choice })
    }

    /// The same workspace at another step.
    pub fn of_step(&self, step: Step) -> Subject {
        Subject { step, my: self.my.clone(), choice: self.choice }
    }

    /// The learner's sources, or the reference's.
    pub fn sources(&self) -> Result<PathBuf> {
        match &self.my {
            Some(my) => Ok(my.dir().join("steps")),
            None => Ok(checkout::checkout()?.join("steps")),
        }
    }

    /// Builds and asks. That the learner's step does not compile is an outcome, not an error.
    pub fn check(&self, progress: &mut Progress) -> Result<Outcome> {
        let start = Instant::now();
        let mut outcome = Outcome {
            step: self.step.number(),
            passed: false,
            error: None,
            checks: Vec::new(),
            why: None,
            place: String::new(),
            versions: Versions {
                workshop: env!("CARGO_PKG_VERSION").into(),
                ..Versions::default()
            },
            seconds: 0.0,
        };
        let rustc = thread::spawn(rustc);
        match self.build(progress)? {
            Ok(programs) => self.ask(programs, progress, &mut outcome)?,
            Err(error) => outcome.error = Some(complaint(&error)),
        }
        progress.done();
        outcome.versions.rustc = rustc.join().expect("asking rustc does not panic")?;
        outcome.seconds = start.elapsed().as_secs_f64();
        Ok(outcome)
    }

    /// The directory of the programs; the inner error is the learner's, whose step does not compile.
    fn build(&self, progress: &mut Progress) -> Result<Result<PathBuf, Error>> {
        let Some(my) = &self.my else {
            runner::prepare(self.step, &mut |name| progress.built(name))?;
            return Ok(Ok(checkout::programs()?));
        };
        // Both at once: a learner waits for the longer of them only.
        let prepared = thread::spawn({
            let step = self.step;
            move || runner::prepare(step, &mut |_| {})
        });
        let built = my.build(&[self.step], &mut |name| progress.built(name));
        progress.done();
        prepared.join().expect("building does not panic")?;
        match built {
            Err(error) if advice::of(&error).is_some() => Err(error),
            built => Ok(built),
        }
    }

    fn ask(&self, programs: PathBuf, progress: &mut Progress, outcome: &mut Outcome) -> Result<()> {
        let place = self.choice.place_of(self.step)?;
        let Asked { kernel, reports } = runner::ask(place, &programs, self.step, &mut |report| {
            progress.asked(self.step, report)
        })?;
        if reports.iter().any(Report::failed) {
            // It is one help more: without it the checks' own words stand.
            outcome.why = why(place, &programs, self.step).unwrap_or(None);
        }
        outcome.place = name(place).into();
        outcome.versions.kernel = kernel;
        outcome.checks = reports;
        outcome.passed = !outcome.checks.iter().any(Report::failed);
        Ok(())
    }
}

/// What cargo said, or why it could not be asked.
fn complaint(error: &Error) -> String {
    build::said(error).map_or_else(|| crate::describe(error), |said| said.trim_end().into())
}

fn name(place: Place) -> &'static str {
    match place {
        Place::Here => "here",
        Place::Sudo => "sudo",
        Place::Lab => "lab",
    }
}
