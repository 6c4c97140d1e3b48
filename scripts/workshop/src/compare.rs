//! `workshop compare`: the same probe in a container of ours and in one that another program makes by
//! its most ordinary defaults; wall by wall, who keeps what apart, and with which evidence.

mod difference;
mod peer;
mod specimen;
mod table;

use std::io::stdout;

use anyhow::{Error, Result};
use difference::Difference;
use evidence::paint::{self, Paint};
use nix::unistd::geteuid;
use peer::Peer;
use serde::Serialize;
use specimen::{Specimen, Yard};

use crate::{advice::advised, build, checkout, place::Choice, steps::Step};

#[derive(clap::Args)]
#[command(after_help = "\
Both run the same program in the same root directory, without a network. What the other program is not
told, it does as it does by itself.

  cargo workshop compare podman
  cargo workshop compare bwrap 4
  cargo workshop compare runc --json")]
pub struct Args {
    /// Whose container to put beside ours
    #[arg(value_enum)]
    peer: Peer,
    /// The step of ours: 1 to 9 or 14, or its name
    #[arg(default_value = "9")]
    step: Step,
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    choice: Choice,
}

/// Two containers, and all in which they differ.
#[derive(Serialize)]
struct Comparison {
    version: u32,
    ours: Specimen,
    theirs: Specimen,
    differences: Difference,
}

pub fn compare(args: &Args) -> Result<i32> {
    let version = args.peer.version()?;
    if !args.choice.here {
        return build_and_compare(args);
    }
    let comparison = look(args, &version)?;
    crate::end_with_reader();
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&comparison)?),
        false => print!("{}", table::draw(&comparison, Paint(paint::wanted(&stdout())))),
    }
    Ok(0)
}

/// Builds what is needed; then compares where the step can run.
fn build_and_compare(args: &Args) -> Result<i32> {
    build::probe()?;
    build::steps(&[args.step], &mut |_| {})?;
    checkout::make_rootfs()?;
    let mut arguments = vec!["compare", args.peer.name(), args.step.name()];
    arguments.extend(args.json.then_some("--json"));
    args.choice.place_of(args.step)?.become_us(&arguments)
}

fn look(args: &Args, version: &str) -> Result<Comparison> {
    let yard = Yard::make()?;
    let ours = peer::step(args.step, &yard)?;
    let ours = Specimen::take(&args.step.to_string(), ours, &yard)?;
    let theirs = args.peer.command(&yard)?;
    let theirs = Specimen::take(version, theirs, &yard);
    args.peer.clear(&yard);
    let theirs = theirs.map_err(|error| failure(args.peer, &error))?;
    let differences = Difference::between(&ours, &theirs);
    Ok(Comparison { version: 1, ours, theirs, differences })
}

/// Not all that root's may do, an ordinary user's may.
fn failure(peer: Peer, error: &Error) -> Error {
    let failure = format!("cannot compare with {}: {}", peer.name(), crate::describe(error));
    match geteuid().is_root() {
        true => Error::msg(failure),
        false => advised(
            failure,
            format!(
                "root may do more, here or in the lab: cargo workshop compare {} --lab",
                peer.name()
            ),
        ),
    }
}
