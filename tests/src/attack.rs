//! Attacks: small programs that get out of a container before a step, and no longer after it.
//! One static binary plays both parts: outside it lays a lure, starts the container and judges;
//! inside, as the container's command, it makes the attempt.
//! Promises: every attempt is real, none harms the host, nothing is left behind however it ends.

mod host;
mod inside;
mod report;
mod run;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use nix::errno::Errno;
use nix::sched::CloneFlags;

use crate::steps;

pub(crate) use host::loopback_up;
pub use host::{Host, end, start};
pub use inside::{read, read_from, untried};
pub use run::Outcome;

/// One attack: what it is called, what it needs, and its two or three parts.
pub struct Attack {
    /// What the command line and the tests call it.
    pub name: &'static str,
    /// What the attacker does: "reads a file of the host by its path".
    pub claim: &'static str,
    /// Flags with which its step stops it. The steps before do not know them and run without.
    pub flags: &'static [&'static str],
    /// The namespaces in which a throwaway stands in for the host, see [`host::stand_in`].
    pub stand_in: CloneFlags,
    /// Outside, before: prepares what the attacker is after, and tells the attempt where it is.
    pub lure: fn(&mut Host) -> Result<()>,
    /// Inside: the attempt, with what the lure told it. Ok is the proof that it worked.
    pub attempt: fn(&[String]) -> Result<String>,
    /// Outside, after an attempt that ended well: did it reach the host?
    pub judge: Option<fn(&mut Host) -> Result<Outcome>>,
    /// The errors by which the attempt counts as stopped. Any other is a fault of the attack.
    pub refusals: &'static [Errno],
    /// The kernel may also kill it (SIGKILL): for what has no call that could be refused.
    pub deadly: bool,
    /// Outside, in the place of all that: for what attacks before there is a container. It is told whether
    /// its step is there already.
    pub outside: Option<fn(&Host, bool) -> Result<Outcome>>,
}

impl Attack {
    /// An attack without a lure, flags or a stand-in, for `..Attack::DEFAULT`.
    pub const DEFAULT: Attack = Attack {
        name: "",
        claim: "",
        flags: &[],
        stand_in: CloneFlags::empty(),
        lure: |_| Ok(()),
        attempt: |_| bail!("nothing was tried"),
        judge: None,
        refusals: &[],
        deadly: false,
        outside: None,
    };
}

/// Runs each attack in a container of the step before and in one of this step.
#[derive(Parser)]
#[command(name = "attack")]
struct Cli {
    /// Only this attack
    name: Option<String>,
    /// Only in this step's container, or on the `host`; exit 0: it worked, 1: stopped, 2: not tried
    #[arg(long, value_name = "STEP")]
    against: Option<String>,
    /// Name the attacks and what they claim
    #[arg(long)]
    list: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Where the step binaries are [default: beside this program, built first when cargo runs it]
    #[arg(long, value_name = "DIR")]
    steps: Option<std::path::PathBuf>,
    /// More flags for the step's binary
    #[arg(last = true)]
    flags: Vec<String>,
}

/// The `main` of a step's `attack.rs`. Exit code: 0 when every attack worked before the step and
/// was stopped by it, 1 when one did not or was not, 2 when they could not be tried.
pub fn main(step: &'static str, attacks: &'static [Attack]) -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let code = match args.get(1).map(String::as_str) {
        Some("inside") => inside::main(attacks, &args[2..]),
        _ => outside(step, attacks, Cli::parse()).unwrap_or_else(|error| {
            eprintln!("error: {}", inside::describe(&error));
            2
        }),
    };
    ExitCode::from(code)
}

fn outside(step: &'static str, attacks: &'static [Attack], cli: Cli) -> Result<u8> {
    let mut chosen: Vec<&Attack> = attacks.iter().collect();
    if let Some(name) = &cli.name {
        chosen.retain(|attack| attack.name == *name);
        if chosen.is_empty() {
            bail!("no attack {name} in step {step}; --list names them");
        }
    }
    if cli.list {
        report::list(step, &chosen, cli.json);
        return Ok(0);
    }
    let own = place(step)?;
    let places = match &cli.against {
        Some(name) => vec![place(name)?],
        None => vec![steps::before(own), own],
    };
    if places.contains(&0) && own != 1 {
        bail!("only step 1's attacks are harmless without a container");
    }
    if !nix::unistd::geteuid().is_root() && places.iter().any(|place| needs_root(*place)) {
        bail!("steps 1 to 5 need root: `cargo workshop attack {own}` runs this where there is one");
    }
    let runner = run::Runner::new(own, &places, cli.steps, cli.flags)?;
    let mut report = report::Report::new(own, cli.json, cli.against.is_some());
    for attack in chosen {
        report.attack(attack);
        for place in &places {
            let outcome = runner.run(attack, *place);
            if let Some(code) = run::interrupted() {
                return Ok(code);
            }
            report.outcome(attack, *place, &outcome);
        }
    }
    Ok(report.exit_code())
}

fn place(name: &str) -> Result<usize> {
    steps::number(name).with_context(|| {
        let names = steps::STEPS.map(|(_, name)| name);
        format!("no step {name}; there are host {}", names.join(" "))
    })
}

/// A user namespace of its own, in step 6, is what makes root unnecessary.
fn needs_root(place: usize) -> bool {
    (1..6).contains(&place)
}
