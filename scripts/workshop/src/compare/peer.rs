//! The programs that people know, each told as little as it works with: its own defaults are what is
//! compared. All write below the yard only.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use evidence::{answer, image};
use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit},
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use serde_json::{Value, json};

use super::specimen::Yard;
use crate::{advice::advised, checkout, doctor, steps::Step};

/// The second cgroup hierarchy of a host with both.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// Open files and processes, for one probe.
const ENOUGH: u64 = 4096;

/// Whose container is put beside ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    Docker,
    Podman,
    Bwrap,
    Crun,
    Runc,
}

/// Step 5 and later have a network of their own: both sides get one with nobody in it.
pub fn step(step: Step, yard: &Yard) -> Result<Command> {
    let mut command = Command::new(checkout::programs()?.join(step.name()));
    let network: &[&str] = if step.number() >= 5 { &["--network", "none"] } else { &[] };
    if step.takes_root() {
        command.args(network).arg(yard.root()).args(yard.words());
        return Ok(command);
    }
    let (layout, store) = (yard.path().join("layout"), yard.path().join("store"));
    image::save(&yard.root(), &layout)?;
    image::import(Command::new(command.get_program()), &layout, &store, "root")?;
    command.arg("--store").arg(store).arg("run").args(network).arg("root").args(yard.words());
    Ok(command)
}

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Peer::Docker => "docker",
            Peer::Podman => "podman",
            Peer::Bwrap => "bwrap",
            Peer::Crun => "crun",
            Peer::Runc => "runc",
        }
    }

    /// What it calls itself: `podman version 4.3.1`. Errors: it cannot be run.
    pub fn version(self) -> Result<String> {
        let name = self.name();
        match Command::new(name).arg("--version").output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout);
                Ok(said.lines().next().unwrap_or(name).to_string())
            }
            Err(error) => {
                let reason = Errno::from_raw(error.raw_os_error().unwrap_or_default());
                let failure = format!("cannot run {name}: {}", answer::describe(reason));
                Err(advised(failure, doctor::install(name)))
            }
        }
    }

    /// A command that makes a container with the probe in it.
    pub fn command(self, yard: &Yard) -> Result<Command> {
        match self {
            Peer::Docker => docker(yard),
            Peer::Podman => podman(yard),
            Peer::Bwrap => Ok(bwrap(yard)),
            Peer::Crun | Peer::Runc => self.runtime(yard),
        }
    }

    /// Removes what the container leaves outside the yard.
    pub fn clear(self, yard: &Yard) {
        match self {
            Peer::Docker => drop(Command::new("docker").args(["rmi", &image(yard)]).output()),
            Peer::Podman => clear_podman(yard),
            _ => {}
        }
    }

    /// An OCI bundle with the runtime's own `spec`, where no more is changed than what runs.
    fn runtime(self, yard: &Yard) -> Result<Command> {
        let mut spec = Command::new(self.name());
        spec.arg("spec").current_dir(yard.path());
        if !geteuid().is_root() {
            spec.arg("--rootless");
        }
        asked(&mut spec)?;
        let file = yard.path().join("config.json");
        let text = fs::read(&file).context("cannot read the bundle")?;
        let mut config: Value = serde_json::from_slice(&text).context("cannot read the bundle")?;
        config["process"]["args"] = json!(yard.words());
        config["process"]["terminal"] = json!(false);
        config["root"] = json!({ "path": yard.root() });
        fs::write(&file, config.to_string()).context("cannot write the bundle")?;
        let mut command = if self == Peer::Crun { apart("crun") } else { Command::new("runc") };
        command.arg("--root").arg(yard.path().join("state"));
        if self == Peer::Crun && !geteuid().is_root() {
            command.arg("--cgroup-manager=disabled");
        }
        command.args(["run", "--bundle"]).arg(yard.path()).arg(&yard.words()[2]);
        Ok(command)
    }
}

/// Root's crun, which refuses a host with both cgroup hierarchies, and podman, which calls crun and
/// mounts for itself, get mounts of their own, without the second hierarchy.
fn apart(name: &str) -> Command {
    if !geteuid().is_root() {
        return Command::new(name);
    }
    let mut command = Command::new("unshare");
    let script = format!("[ ! -d {UNIFIED} ] || umount {UNIFIED}; exec \"$0\" \"$@\"");
    command.args(["--mount", "sh", "-c", &script, name]);
    command
}

fn bwrap(yard: &Yard) -> Command {
    let mut command = Command::new("bwrap");
    command.arg("--unshare-all").arg("--bind").arg(yard.root()).arg("/");
    command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]).args(yard.words());
    command
}

/// By default podman raises limits, which not every root may: here it does not. Its cgroup is in one
/// with our name, that can be found again.
fn podman(yard: &Yard) -> Result<Command> {
    let limit = |name, resource| -> Result<String> {
        let (_, hard) = getrlimit(resource).context("cannot read our limits")?;
        Ok(format!("\"{name}={0}:{0}\"", hard.min(ENOUGH)))
    };
    let limits =
        [limit("nofile", Resource::RLIMIT_NOFILE)?, limit("nproc", Resource::RLIMIT_NPROC)?];
    let file = yard.path().join("containers.conf");
    let text = format!("[containers]\ndefault_ulimits = [{}]\n", limits.join(", "));
    fs::write(&file, text).context("cannot write containers.conf")?;
    let mut command = apart("podman");
    command.env("CONTAINERS_CONF", file).env("XDG_RUNTIME_DIR", runtime_directory(yard)?);
    command.arg("--root").arg(yard.path().join("storage"));
    command.arg("--runroot").arg(yard.path().join("run"));
    command.args(["--cgroup-manager=cgroupfs", "run", "--rm", "--interactive"]);
    if geteuid().is_root() {
        command.arg(format!("--cgroup-parent=/{}", yard.words()[2]));
    }
    command.args(["--network=none", "--rootfs"]).arg(yard.root()).args(yard.words());
    Ok(command)
}

fn runtime_directory(yard: &Yard) -> Result<std::path::PathBuf> {
    let directory = yard.path().join("user");
    fs::create_dir_all(&directory).context("cannot make a directory for podman")?;
    Ok(directory)
}

/// Root's podman leaves the parent of its cgroup; an ordinary user's a process that keeps its user
/// namespace, and says its number in a file.
fn clear_podman(yard: &Yard) {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    for hierarchy in hierarchies.map(|one| one.path()).chain(["/sys/fs/cgroup".into()]) {
        let parent = hierarchy.join(&yard.words()[2]);
        let _ = fs::remove_dir(parent.join("conmon"));
        let _ = fs::remove_dir(parent);
    }
    let file = yard.path().join("user/libpod/tmp/pause.pid");
    if let Some(pid) = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// docker takes no directory: the root becomes an image for as long as this takes.
fn docker(yard: &Yard) -> Result<Command> {
    let tar = yard.path().join("root.tar");
    asked(Command::new("tar").arg("-C").arg(yard.root()).arg("-cf").arg(&tar).arg("."))?;
    asked(Command::new("docker").arg("import").arg(&tar).arg(image(yard)))?;
    let mut command = Command::new("docker");
    command.args(["run", "--rm", "--interactive", "--network=none", &image(yard)]);
    command.args(yard.words());
    Ok(command)
}

/// Image names are in lower case.
fn image(yard: &Yard) -> String {
    format!("workshop-{}", yard.words()[2].to_lowercase())
}

/// Runs it to its end; what it complains of is our error.
fn asked(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed: {}", said.trim().lines().next().unwrap_or("without a word"));
    }
    Ok(())
}
