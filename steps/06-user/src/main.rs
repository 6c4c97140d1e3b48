//! Step 6, not yet with its network
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
    user: user::Args,
}

fn main() -> ExitCode {
    chroot::main(run)
}

fn run(cli: Cli) -> Result<u8> {
    let mounts = cli.mount.mounts();
    let maps = user::Maps::plan(&cli.user);
    let mut files = user::Files::default();
    files.add(&cli.chroot.root, &maps)?;
    let mut clone = pid::Clone3::default();
    clone.namespace(uts::NAMESPACE);
    clone.namespace(pid::NAMESPACE);
    clone.namespace(mount::NAMESPACE);
    clone.namespace(nix::sched::CloneFlags::CLONE_NEWNET);
    clone.namespace(user::NAMESPACE);
    let mut child = clone.spawn(|gate| {
        gate.wait()?;
        user::become_root(&maps)?;
        uts::set_names(&cli.uts)?;
        mount::make_private()?;
        files.attach()?;
        let root = mount::Root::bind(&cli.chroot.root)?;
        root.fill(&mounts)?;
        root.pivot(cli.mount.read_only)?;
        user::switch(&cli.user, &maps)?;
        gate.die_with_parent()?;
        pid::init(&cli.pid)?;
        chroot::exec(&cli.chroot)
    })?;
    maps.write(child.pid())?;
    files.map(child.pid())?;
    child.release()?;
    child.wait()
}
