//! book: builds the book, serves it, checks it, and brings what was run in it up to date.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, ensure};
use book::{
    bless, build,
    chapter::{self, Chapter},
    picture,
    place::Place,
    serve,
    transcript::{self, Kit, lab, stand_in},
};
use clap::{Parser, Subcommand};

/// Build the book into book/book, which opens from its index.html
#[derive(Parser)]
#[command(name = "book", bin_name = "cargo run -p book --", max_term_width = 100)]
struct Cli {
    /// Another book than this checkout's: the directory of its book.toml
    #[arg(long, global = true, value_name = "DIR")]
    book: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Show it in a browser, and build it again after each save
    Serve {
        /// On 127.0.0.1
        #[arg(long, default_value_t = 3000)]
        port: u16,
    },
    /// Build it, and say which x-rays and transcripts do not hold any more
    Check {
        /// By their names, 04-mount; none is all, and the x-rays
        chapters: Vec<String>,
    },
    /// Draw the x-rays anew, and write what the transcripts print now
    Bless {
        /// By their names, 04-mount; none is all
        chapters: Vec<String>,
        /// Leave the x-rays as they are
        #[arg(long)]
        no_pictures: bool,
    },
    #[command(hide = true, name = stand_in::COMMAND)]
    StandIn,
    #[command(hide = true, name = lab::LAB)]
    InLab { job: PathBuf },
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let mut place = Place::here()?;
    if let Some(book) = cli.book {
        place.book = std::path::absolute(book)?;
    }
    match cli.command {
        None => build::build(&place),
        Some(Command::Serve { port }) => serve::serve(&place, port),
        Some(Command::Check { chapters }) => check(&place, &chapters),
        Some(Command::Bless { chapters, no_pictures }) => {
            if !no_pictures {
                bless::pictures(&place)?;
            }
            blessed(&place, &named(&place, &chapters)?)
        }
        Some(Command::StandIn) => stand_in::main(),
        Some(Command::InLab { job }) => lab::main(&job),
    }
}

fn named(place: &Place, names: &[String]) -> Result<Vec<Chapter>> {
    match names {
        [] => chapter::all(place),
        names => names.iter().map(|name| chapter::named(place, name)).collect(),
    }
}

fn check(place: &Place, names: &[String]) -> Result<()> {
    build::build(place)?;
    let pictures = if names.is_empty() { bless::outdated(place)? } else { Vec::new() };
    for (step, _) in &pictures {
        println!("{}: another x-ray", place.named(&picture::xray_file(place, *step)));
    }
    let wrong = transcripts(place, &named(place, names)?)?;
    ensure!(
        pictures.is_empty() && wrong == 0,
        "it is not as it is written; `bless` writes it anew"
    );
    Ok(())
}

/// How many commands print something else than is written.
fn transcripts(place: &Place, chapters: &[Chapter]) -> Result<usize> {
    let kit = Kit::new()?;
    let mut all = 0;
    for chapter in chapters {
        let outcomes = transcript::run(place, &kit, chapter)?;
        let wrong: Vec<_> = outcomes.iter().filter(|it| !it.holds()).collect();
        wrong.iter().for_each(|it| println!("{}", it.complaint(chapter)));
        println!("{}: {} commands, {} wrong", chapter.path.display(), outcomes.len(), wrong.len());
        all += wrong.len();
    }
    Ok(all)
}

fn blessed(place: &Place, chapters: &[Chapter]) -> Result<()> {
    let kit = Kit::new()?;
    for chapter in chapters {
        let (run, written) = bless::transcripts(place, &kit, chapter)?;
        println!("{}: {run} commands, {written} written", chapter.path.display());
    }
    Ok(())
}
