//! workshop: the learner's companion. It builds the steps, runs them where they can run (here, with
//! sudo, or in the lab), shows what the kernel says of them, and clears up.

mod attack;
mod build;
mod checkout;
mod clean;
mod doctor;
mod home;
mod lab;
mod place;
mod run;
mod scene;
mod steps;
mod tour;
mod xray;

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use nix::{
    errno::Errno,
    sys::signal::{SigHandler, Signal, signal},
};

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
    /// Run a step's attack against the step before it, and against the step
    Attack(attack::Args),
    /// A machine of your own, without root on the host: one command or a shell
    Lab {
        /// What to run there; nothing is an interactive shell
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Try what each step needs here; for what fails: why, what mends it, what undoes that
    Doctor(doctor::Args),
    /// Remove everything that the workshop left on this host; `my/` and target/ stay
    Clean,
    /// What the tour shows, as events for it to read
    #[command(hide = true)]
    Scene(scene::Args),
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
        eprintln!("error: {}", describe(&error));
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
        Some(Command::Attack(args)) => attack::attack(&args),
        Some(Command::Lab { command }) => place::lab(&command),
        Some(Command::Doctor(args)) => doctor::doctor(&args),
        Some(Command::Clean) => clean::clean(),
        Some(Command::Scene(args)) => scene::scene(&args),
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
