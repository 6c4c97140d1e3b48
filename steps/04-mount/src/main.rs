//! Step 4: the container gets a file tree of its own, and the host's is gone from it.

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
    #[command(flatten)]
    mount: mount::Args,
}

fn main() -> ExitCode {
    chroot::main(run)
}

fn run(cli: Cli) -> Result<u8> {
    let mounts = cli.mount.mounts();
    let mut clone = pid::Clone3::default();
    clone.namespace(uts::NAMESPACE);
    clone.namespace(pid::NAMESPACE);
    clone.namespace(mount::NAMESPACE);
    let mut child = clone.spawn(|gate| {
        gate.wait()?;
        uts::set_names(&cli.uts)?;
        mount::make_private()?;
        let root = mount::Root::bind(&cli.chroot.root)?;
        root.fill(&mounts)?;
        root.pivot(cli.mount.read_only)?;
        pid::init(&cli.pid)?;
        chroot::exec(&cli.chroot)
    })?;
    child.release()?;
    let code = child.wait()?;
    Ok(code)
}
