//! How long a container takes from start to exit, beside the tools that people know and beside
//! the floor. All subjects take turns in every round, so that a noisy machine disturbs them
//! alike; what counts are ratios of medians within one run.

mod measure;
mod peers;
mod subject;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use peers::Peers;
use subject::Subject;

/// Compare the start-up of the steps with that of their peers
#[derive(Parser)]
struct Cli {
    /// Rounds; each starts every subject once
    #[arg(long, default_value_t = 200)]
    rounds: usize,

    /// Containers for each figure of "containers per second"; 0 leaves them out
    #[arg(long, default_value_t = 200)]
    throughput: usize,

    /// Where the steps are
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,

    /// A root directory with a static /bin/true
    #[arg(long, value_name = "DIR")]
    root: PathBuf,

    /// Fail if a goal is missed
    #[arg(long)]
    strict: bool,

    /// The figures as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(125)
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let own = std::env::current_exe().context("cannot find this program")?;
    let beside = own.parent().context("this program is in no directory")?;
    let binaries = cli.binaries.clone().unwrap_or_else(|| beside.into());
    let root = cli.root.canonicalize().with_context(|| format!("no {}", cli.root.display()))?;
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    let peers = Peers::prepare(work.path(), &root)?;
    let subjects = subject::all(&binaries, &root, &peers, work.path())?;
    let mut figures = measure::rounds(&subjects, cli.rounds)?;
    measure::peaks(&subjects, &mut figures, &beside.join("peak"))?;
    if cli.throughput > 0 {
        measure::throughput(&subjects, &mut figures, cli.throughput)?;
    }
    let goals = table::goals(&figures);
    match cli.json {
        true => println!("{}", table::json(&figures, &goals)),
        false => table::print(&figures, &goals),
    }
    let missed = goals.iter().any(|goal| !goal.met);
    Ok(if cli.strict && missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
