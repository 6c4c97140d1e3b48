//! book: builds the book, serves it, checks it, and brings what was run in it up to date.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, ensure};
use book::{
    bless, build,
    chapter::{self, Chapter},
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
    /// Run all transcripts and say which do not hold any more
    Transcripts {
        /// By their names, 04-mount; none is all
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
        Some(Command::Transcripts { chapters }) => transcripts(&place, &named(&place, &chapters)?),
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

fn transcripts(place: &Place, chapters: &[Chapter]) -> Result<()> {
    let kit = Kit::new()?;
    let mut wrong = 0;
    for chapter in chapters {
        let outcomes = transcript::run(place, &kit, chapter)?;
        for outcome in outcomes.iter().filter(|it| !it.holds()) {
            wrong += 1;
            println!("{}", outcome.complaint(chapter));
        }
        println!("{}: {} commands", chapter.path.display(), outcomes.len());
    }
    ensure!(wrong == 0, "{wrong} commands print something else than is written");
    Ok(())
}

fn blessed(place: &Place, chapters: &[Chapter]) -> Result<()> {
    let kit = Kit::new()?;
    for chapter in chapters {
        let (run, written) = bless::transcripts(place, &kit, chapter)?;
        println!("{}: {run} commands, {written} written", chapter.path.display());
    }
    Ok(())
}
