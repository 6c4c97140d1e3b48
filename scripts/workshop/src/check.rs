//! `workshop check`: the kernel is asked about the learner's container, and says what holds. Built, run
//! where it can run, shown line by line, and what to do next.

mod hand_over;
pub mod here;
mod keys;
mod next;
mod outcome;
mod page;
mod report;
pub mod runner;
mod side_by_side;
mod signals;
mod subject;
mod text;
mod watch;
pub mod why;

use std::io::stderr;

use anyhow::Result;
use evidence::paint;
use std::io::IsTerminal;

use crate::{bug, my::Where, place::Choice, steps::Step};
pub use next::stopped_by;
pub use outcome::Outcome;
use page::Page;
pub use report::Report;
use subject::Subject;
pub use text::{Text, turns};

#[derive(clap::Args)]
#[command(after_help = "\
Exit code 0 if everything holds that can be looked for here, 1 if not.

  cargo workshop check            where you are
  cargo workshop check 4 --watch  again after every save
  cargo workshop check 4 --json   for programs; the schema is book/src/check.schema.json")]
pub struct Args {
    /// The step: 1 to 9 or 14, or its name; without one, where you are
    step: Option<Step>,
    /// One object of JSON, for programs
    #[arg(long)]
    json: bool,
    /// Again after every save, until q
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// The reference's program instead of yours
    #[arg(long, conflicts_with = "dir")]
    reference: bool,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    choice: Choice,
}

/// Exit code 0 if all holds, 1 if not.
pub fn check(args: &Args) -> Result<i32> {
    let subject = Subject::new(args)?;
    if args.watch {
        return watch::watch(subject);
    }
    crate::end_with_reader();
    let outcome = subject.check(&mut Progress::new())?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print!("{}", Page::of_stdout().whole(&subject, &outcome));
        if let (true, Some(my)) = (outcome.passed, &subject.my) {
            bug::found(my, subject.step)?;
        }
    }
    Ok(i32::from(!outcome.passed))
}

/// A line that moves, on a terminal, as long as nothing can be shown. What the step's own checks say is
/// known first: in a lab, earlier steps' take some seconds more.
pub struct Progress {
    moving: bool,
    own: usize,
    failed: usize,
    earlier: usize,
}

impl Progress {
    fn new() -> Progress {
        let moving = stderr().is_terminal() && paint::wanted(&stderr());
        Progress { moving, ..Progress::silent() }
    }

    /// Nothing moves: somebody else has the terminal.
    fn silent() -> Progress {
        Progress { moving: false, own: 0, failed: 0, earlier: 0 }
    }

    fn built(&mut self, name: &str) {
        self.show(&format!("building: {name}"));
    }

    fn asked(&mut self, step: Step, report: &Report) {
        match report.step == step.number() {
            true => self.own += 1,
            false => self.earlier += 1,
        }
        self.failed += usize::from(report.failed());
        let failed = match self.failed {
            0 => "all hold".to_string(),
            failed => format!("{failed} not held"),
        };
        let (own, earlier) = (self.own, self.earlier);
        self.show(&format!(
            "asked: {own} of step {}, {earlier} of those before; {failed}",
            step.number()
        ));
    }

    fn show(&self, what: &str) {
        if self.moving {
            eprint!("\r\x1b[K  {what}");
        }
    }

    fn done(&mut self) {
        if self.moving {
            eprint!("\r\x1b[K");
        }
        (self.own, self.failed, self.earlier) = (0, 0, 0);
    }
}
