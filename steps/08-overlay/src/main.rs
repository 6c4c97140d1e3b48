//! Step 8: the root directory becomes a layer that the command cannot change.

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
    #[command(flatten)]
    user: user::Args,
    #[command(flatten)]
    cgroups: cgroups::Args,
    #[command(flatten)]
    overlay: overlay::Args,
}

fn main() -> ExitCode {
    chroot::main(run)
}

fn run(cli: Cli) -> Result<u8> {
    let mounts = cli.mount.mounts();
    let mounts = user::mountable(mounts, cli.net.namespace());
    let maps = user::Maps::plan(&cli.user);
    let mut files = user::Files::default();
    let root = &cli.chroot.root;
    let layers = overlay::Layers::prepare(root, &cli.overlay, &maps, &mut files)?;
    let cgroup = cgroups::Cgroup::create(&cli.uts.name, &cgroups::Limits::from(&cli.cgroups))?;
    let mounts = cgroup.show(mounts);
    let mut clone = pid::Clone3::default();
    clone.namespace(uts::NAMESPACE);
    clone.namespace(pid::NAMESPACE);
    clone.namespace(mount::NAMESPACE);
    clone.namespace(cli.net.namespace());
    clone.namespace(user::NAMESPACE);
    clone.into_cgroup(cgroup.descriptor());
    let mut child = clone.spawn(|gate| {
        gate.wait()?;
        cgroup.enter()?;
        uts::set_names(&cli.uts)?;
        let address = net::bring_up(&cli.net)?;
        mount::make_private()?;
        files.attach()?;
        let mounts = mount::copy_sources(mounts)?;
        let layers = layers.open(root)?;
        user::become_root(&maps)?;
        let root = layers.mount()?;
        root.fill(&mounts)?;
        root.place(net::files(&cli.net, &cli.uts.hostname, address))?;
        root.pivot(cli.mount.read_only)?;
        user::switch(&cli.user, &maps)?;
        gate.die_with_parent()?;
        pid::init(&cli.pid)?;
        chroot::exec(&cli.chroot)
    })?;
    maps.write(child.pid())?;
    files.map(child.pid())?;
    let _connection = net::connect(child.pid(), &cli.uts.name, &cli.net)?;
    child.release()?;
    let code = child.wait()?;
    let code = cgroup.finish(code)?;
    layers.print_changes()?;
    Ok(code)
}
