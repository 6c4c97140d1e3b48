//! How long an image takes from the registry to a directory, and a container of it to start, beside
//! the tools that people know and beside two floors: the same files made from memory, and the layers
//! decompressed to nothing. All take turns in every round; what counts are ratios of medians.

mod make;
mod pulls;
mod starts;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use usage::Row;

/// Compare the pulling and the running of images with other tools
#[derive(Parser)]
struct Cli {
    /// Rounds of pulls; each pulls the image once with every tool
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// Rounds of starts; 0 leaves them out
    #[arg(long, default_value_t = 50)]
    starts: usize,

    /// What the image is made of, until it is large enough
    #[arg(long, value_name = "DIR", default_value = "/usr")]
    from: PathBuf,

    /// How large the image is, in megabytes
    #[arg(long, default_value_t = 725)]
    megabytes: u64,

    /// How many files it has at most
    #[arg(long, default_value_t = 59_000)]
    files: usize,

    /// Where it is all done, on a disk: five times the image's size for each round, and three more
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,

    /// Where `image` and `files` are
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,

    /// Fail if a goal is missed
    #[arg(long)]
    strict: bool,
}

/// A promise: this row over that one, or its peak in MiB, is at most so much.
struct Goal(&'static str, Option<&'static str>, f64);

const GOALS: [Goal; 6] = [
    Goal("image pull", Some("podman pull"), 0.30),
    Goal("image pull", Some("curl | tar"), 0.65),
    Goal("image pull", None, 64.0),
    Goal("1 GB", Some("10 MB"), 1.25),
    Goal("16 layers", Some("1 layer"), 1.25),
    Goal("128 layers", Some("1 layer"), 2.0),
];

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
    let binaries = cli.binaries.as_deref().unwrap_or(beside);
    let mut builder = tempfile::Builder::new();
    let work = match &cli.work {
        Some(work) => builder.prefix("bench-").tempdir_in(work),
        None => builder.prefix("bench-").tempdir(),
    };
    let work = work.context("cannot make a directory to work in")?;
    let mut rows = Vec::new();
    if cli.starts > 0 {
        rows.extend(starts::measure(&work.path().join("starts"), binaries, cli.starts)?);
    }
    let size = make::Size { bytes: cli.megabytes * 1_000_000, files: cli.files };
    rows.extend(pulls::measure(&work.path().join("pulls"), binaries, &cli.from, size, cli.rounds)?);
    print(&rows);
    let missed = goals(&rows);
    Ok(if cli.strict && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(rows: &[Row]) {
    println!("{:<24} {:>10} {:>10} {:>10}", "", "ms", "cpu ms", "peak KiB");
    for row in rows {
        let (wall, cpu) = (row.wall_ms(), row.cpu_ms());
        println!("{:<24} {wall:>10.1} {cpu:>10.1} {:>10}", row.name, row.peak_kib);
    }
    println!();
}

/// Says which goals are met; gives the number of those that are not.
fn goals(rows: &[Row]) -> usize {
    let find = |name: &str| rows.iter().find(|row| row.name == name);
    let mut missed = 0;
    for Goal(name, reference, most) in GOALS {
        let Some(row) = find(name) else { continue };
        let (text, measured) = match reference.map(|it| (it, find(it))) {
            Some((_, None)) => continue,
            Some((other, Some(it))) => (format!("{name} / {other}"), row.wall_ms() / it.wall_ms()),
            None => (format!("peak MiB of {name}"), row.peak_kib as f64 / 1024.0),
        };
        let word = if measured <= most { "met   " } else { "missed" };
        missed += usize::from(measured > most);
        println!("{word} {text} ≤ {most}: {measured:.2}");
    }
    missed
}
