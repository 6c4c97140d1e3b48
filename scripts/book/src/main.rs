//! book: builds the book.

use std::process::ExitCode;

use anyhow::Result;
use book::{build, place::Place};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    build::build(&Place::here()?)
}
