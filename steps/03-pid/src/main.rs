//! Step 3: the container's processes are its own, and the command is number 1 of them.

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
    #[command(flatten)]
    pid: pid::Args,
}

fn main() -> ExitCode {
    chroot::main(run)
}

fn run(cli: Cli) -> Result<u8> {
    let mut clone = pid::Clone3::default();
    clone.namespace(uts::NAMESPACE);
    clone.namespace(pid::NAMESPACE);
    let mut child = clone.spawn(|gate| {
        gate.wait()?;
        uts::set_names(&cli.uts)?;
        chroot::enter(&cli.chroot.root)?;
        pid::init(&cli.pid)?;
        chroot::exec(&cli.chroot)
    })?;
    child.release()?;
    let code = child.wait()?;
    Ok(code)
}
