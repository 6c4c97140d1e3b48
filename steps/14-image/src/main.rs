//! Step 14: the root directory comes from a registry, layer by layer.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use image::{commands, container, store};

/// Pull images, look at them, run them
#[derive(Parser)]
struct Cli {
    /// Where images are kept: by default /var/lib/container-workshop/images for root, and
    /// container-workshop/images in $XDG_DATA_HOME or ~/.local/share for others
    #[arg(long, global = true, env = "IMAGE_STORE", value_name = "DIR")]
    #[arg(default_value_os_t = store::default_path(), hide_default_value = true)]
    store: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run COMMAND in a container of IMAGE
    Run(Box<Container>),
    #[command(flatten)]
    Other(commands::Command),
}

#[derive(Parser)]
#[command(mut_arg("root", |arg| arg.value_name("IMAGE").help("Pulled if it is missing")))]
#[command(mut_arg("command", |arg| arg.required(false)))]
#[command(mut_arg("workdir", |arg| arg.default_value(".").hide_default_value(true)))]
struct Container {
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
    image: container::Args,
    #[arg(skip)]
    user: user::Args,
    #[command(flatten)]
    cgroups: cgroups::Args,
    #[command(flatten)]
    overlay: overlay::Args,
    #[command(flatten)]
    seccomp: seccomp::Args,
}

fn main() -> ExitCode {
    chroot::main(|cli: Cli| match cli.command {
        Command::Run(container) => run(*container, &cli.store),
        Command::Other(command) => commands::run(command, &cli.store),
    })
}

fn run(mut cli: Container, store: &Path) -> Result<u8> {
    let flags = (&mut cli.chroot, &mut cli.user, &mut cli.overlay);
    let image = container::prepare(store, &cli.image, flags)?;
    let filter = seccomp::load(&cli.seccomp)?;
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
        container::make_workdir(&cli.chroot.workdir)?;
        user::switch(&cli.user, &maps)?;
        gate.die_with_parent()?;
        filter.install()?;
        pid::init(&cli.pid)?;
        chroot::exec(&cli.chroot)
    })?;
    maps.write(child.pid())?;
    files.map(child.pid())?;
    let _connection = net::connect(child.pid(), &cli.uts.name, &cli.net)?;
    child.stop_with(image.stop_signal);
    child.release()?;
    let code = child.wait()?;
    let code = cgroup.finish(code)?;
    layers.print_changes()?;
    Ok(code)
}
