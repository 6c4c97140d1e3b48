//! Step 1: a command that sees one directory as its whole file tree.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Run COMMAND with ROOT as its root directory
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    chroot: chroot::Args,
}

fn main() -> ExitCode {
    chroot::main(run)
}

fn run(cli: Cli) -> Result<u8> {
    chroot::enter(&cli.chroot.root)?;
    chroot::exec(&cli.chroot)
}
