//! workshop: the learner's companion. It builds the steps, runs them where they can run (here, with
//! sudo, or in the lab), shows what the kernel says of them, and clears up.

mod advice;
mod aside;
mod attack;
mod book;
mod bug;
mod build;
mod check;
mod class;
mod clean;
mod compare;
mod diff;
mod doctor;
mod explain;
mod handout;
mod hint;
mod home;
mod image;
mod judge;
mod lab;
mod manifest;
mod my;
mod pager;
mod place;
mod progress;
mod run;
mod scene;
mod settle;
mod shape;
mod shown;
mod solve;
mod start;
mod state;
mod tour;
mod xray;

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use nix::{
    errno::Errno,
    sys::signal::{SigHandler, Signal, signal},
};
use workshop::{checkout, exercise, source, steps};

/// Nine steps to a container: build it, break it, look through it
#[derive(Parser)]
#[command(name = "cargo workshop", bin_name = "cargo workshop", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Two minutes: all steps on this machine, each with its attack before and after
    Tour(tour::Args),
    /// Build a step and run it
    Run(run::Args),
    /// The picture of one container: which walls it has, which it shares with the host
    Xray(xray::Args),
    /// The same probe in our container and in docker's, podman's, bwrap's, crun's or runc's, side by side
    Compare(compare::Args),
    /// Run a step's attack against the step before it, and against the step
    Attack(attack::Args),
    /// Run a step, and say why a system call of it failed
    Explain(explain::Args),
    /// A machine of your own, without root on the host: one command or a shell
    Lab {
        /// What to run there; nothing is an interactive shell
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Write my/ with a step's exercises blank, on top of your own earlier steps
    Start(start::Args),
    /// Where you are, and what is next
    Next(progress::Args),
    /// One more hint for an exercise
    Hint(hint::Args),
    /// Fill in one function, or main.rs
    Solve(solve::Args),
    /// Yours and the reference; or of two steps the lesson: what the second adds
    Diff(diff::Args),
    /// Get to a step, keeping every function of yours that passes its checks
    Jump(start::Args),
    /// Ask the kernel what holds of your container, and what does not yet
    Check(check::Args),
    /// A step with a real mistake in it: find it
    Bug(bug::Args),
    /// Who of a class is where, from what `check --json` said
    Class(class::Args),
    /// Try what each step needs here; for what fails: why, what mends it, what undoes that
    Doctor(doctor::Args),
    /// Show the book in a browser, and build it again after each save
    Book(book::Args),
    /// Remove everything that the workshop left on this host; `my/` and target/ stay
    Clean,
    /// What the tour shows, as events for it to read
    #[command(hide = true)]
    Scene(scene::Args),
    /// The checks of a step, run where this is started
    #[command(hide = true, name = check::runner::HERE)]
    CheckHere(check::here::Args),
    /// Why the program of a step fails, found out where this is started
    #[command(hide = true, name = check::why::EXPLAIN)]
    ExplainHere(check::here::Args),
    /// The process that keeps a lab running between checks
    #[command(hide = true, name = lab::kept::KEEP)]
    LabKeep {
        /// Which of those that work side by side
        #[arg(default_value_t = 0)]
        lab: usize,
        /// End them all; exit code 1 if there was none
        #[arg(long)]
        end: bool,
    },
    /// The process that takes its orders, inside that lab
    #[command(hide = true, name = lab::kept::SERVE)]
    LabServe,
    /// Ourselves, inside the lab
    #[command(hide = true, name = lab::GUEST)]
    LabGuest {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return misused(&usage),
    };
    let code = dispatch(cli).unwrap_or_else(|error| {
        eprint!("{}", build::said(&error).unwrap_or_default());
        eprintln!("error: {}", describe(&error));
        if let Some(advice) = advice::of(&error) {
            eprintln!("hint: {advice}");
        }
        125
    });
    ExitCode::from(code as u8)
}

/// Help is an answer; a wrong command line is a failure of ours, not of what we were to run.
fn misused(usage: &clap::Error) -> ExitCode {
    let _ = usage.print();
    ExitCode::from(if usage.use_stderr() { 125 } else { 0 })
}

/// Does what is asked and returns the exit code.
fn dispatch(cli: Cli) -> Result<i32> {
    match cli.command {
        None => home::show(),
        Some(Command::Tour(args)) => tour::tour(&args),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Xray(args)) => xray::xray(&args),
        Some(Command::Compare(args)) => compare::compare(&args),
        Some(Command::Attack(args)) => attack::attack(&args),
        Some(Command::Explain(args)) => explain::explain(&args),
        Some(Command::Lab { command }) => place::lab(&command),
        Some(Command::Start(args)) => start::start(&args),
        Some(Command::Next(args)) => progress::next(&args),
        Some(Command::Hint(args)) => hint::hint(&args),
        Some(Command::Solve(args)) => solve::solve(&args),
        Some(Command::Diff(args)) => diff::diff(&args),
        Some(Command::Jump(args)) => start::jump(&args),
        Some(Command::Check(args)) => check::check(&args),
        Some(Command::Bug(args)) => bug::bug(&args),
        Some(Command::Class(args)) => class::class(&args),
        Some(Command::Doctor(args)) => doctor::doctor(&args),
        Some(Command::Book(args)) => book::book(&args),
        Some(Command::Clean) => clean::clean(),
        Some(Command::Scene(args)) => scene::scene(&args),
        Some(Command::CheckHere(args)) => check::here::check_here(&args),
        Some(Command::ExplainHere(args)) => check::why::explain_here(&args),
        Some(Command::LabKeep { end: true, .. }) => Ok(i32::from(!lab::kept::end()?)),
        Some(Command::LabKeep { lab, end: false }) => lab::kept::keep(lab),
        Some(Command::LabServe) => lab::kept::serve(),
        Some(Command::LabGuest { arguments }) => lab::guest(&arguments),
    }
}

/// From now on we end, without a word, when nobody reads our output any more: `… xray 4 | head -3`.
fn end_with_reader() {
    // SAFETY: no handler of ours is replaced.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
}

/// One line: the acts from the outermost to the kernel's reason, with its name.
fn describe(error: &anyhow::Error) -> String {
    let reason = match error.root_cause().downcast_ref::<std::io::Error>() {
        Some(error) => error.raw_os_error().map(Errno::from_raw),
        None => error.root_cause().downcast_ref::<Errno>().copied(),
    };
    let mut acts: Vec<String> = error.chain().map(ToString::to_string).collect();
    if let (Some(last), Some(errno)) = (acts.last_mut(), reason) {
        *last = evidence::answer::describe(errno);
    }
    acts.join(": ")
}
