//! Step 2: the container gets a host name of its own.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Run COMMAND with ROOT as its root directory
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    chroot: chroot::Args,
    #[command(flatten)]
    uts: uts::Args,
}

fn main() -> ExitCode {
    chroot::main(run)
}

fn run(cli: Cli) -> Result<u8> {
    uts::unshare()?;
    uts::set_names(&cli.uts)?;
    chroot::enter(&cli.chroot.root)?;
    chroot::exec(&cli.chroot)
}
