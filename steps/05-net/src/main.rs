//! Step 5: the container gets a network of its own, joined to the host by a cable.

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
    #[command(flatten)]
    net: net::Args,
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
    clone.namespace(cli.net.namespace());
    let mut child = clone.spawn(|gate| {
        gate.wait()?;
        uts::set_names(&cli.uts)?;
        let address = net::bring_up(&cli.net)?;
        mount::make_private()?;
        let root = mount::Root::bind(&cli.chroot.root)?;
        root.fill(&mounts)?;
        root.place(net::files(&cli.net, &cli.uts.hostname, address))?;
        root.pivot(cli.mount.read_only)?;
        pid::init(&cli.pid)?;
        chroot::exec(&cli.chroot)
    })?;
    let _connection = net::connect(child.pid(), &cli.uts.name, &cli.net)?;
    child.release()?;
    let code = child.wait()?;
    Ok(code)
}
