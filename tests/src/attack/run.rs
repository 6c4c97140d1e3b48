//! One attack in one place. A process of its own, the stage, does it all: the stand-in for the host,
//! the lure, the container, the judgement. We, the keeper, only wait for it and clear up.

use std::fs;
use std::io::{PipeWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, alarm, fork, geteuid};
use serde::{Deserialize, Serialize};

use super::inside::{Untried, describe};
use super::{Attack, Host, host};
use crate::steps;

/// What came of an attack, with its proof or the reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "proof", rename_all = "lowercase")]
pub enum Outcome {
    /// The attacker got what he wanted.
    Worked(String),
    /// The kernel said no, or what he did reached only the container.
    Stopped(String),
    /// This kernel does not have what the attack abuses.
    Untried(String),
    /// The attack or its container is broken: nothing was learned.
    Failed(String),
}

/// Seconds after which an attack is ended.
const PATIENCE: u32 = 60;

/// No process, no signal.
const NONE: i32 = 0;

/// The stage's process id, for [`end_stage`], and the signal that made us end it.
static STAGE: AtomicI32 = AtomicI32::new(NONE);
static ENDED_BY: AtomicI32 = AtomicI32::new(NONE);

/// Everything that does not change from attack to attack.
pub(super) struct Runner {
    own: usize,
    steps: PathBuf,
    flags: Vec<String>,
}

impl Runner {
    /// Finds the binaries of the steps at `places`, and builds them first where cargo runs us:
    /// `cargo run --example` builds the program of one step only.
    pub(super) fn new(
        own: usize,
        places: &[usize],
        steps: Option<PathBuf>,
        flags: Vec<String>,
    ) -> Result<Self> {
        let build = steps.is_none();
        let steps = steps.map_or_else(beside_us, Ok)?;
        let wanted: Vec<&str> =
            places.iter().filter(|place| **place > 0).map(|place| steps::name(*place)).collect();
        if build && !wanted.is_empty() {
            cargo_build(&wanted, &steps)?;
        }
        if let Some(missing) = wanted.iter().find(|name| !steps.join(name).exists()) {
            bail!("no {} in {}; `cargo build -p {missing}` makes it", missing, steps.display());
        }
        handle(SigHandler::Handler(end_stage))?;
        Ok(Runner { own, steps, flags })
    }

    /// Runs one attack in one place. The stage may die of its attack; what it made is still removed.
    pub(super) fn run(&self, attack: &Attack, place: usize) -> Outcome {
        self.keep(attack, place).unwrap_or_else(|error| Outcome::Failed(describe(&error)))
    }

    fn keep(&self, attack: &Attack, place: usize) -> Result<Outcome> {
        let dir = tempfile::Builder::new()
            .prefix("attack-")
            .tempdir()
            .context("cannot make a directory")?;
        let (mut reader, writer) = std::io::pipe().context("cannot make a pipe")?;
        // SAFETY: the harness has one thread, so the child may do what any program may.
        let stage = match unsafe { fork() }.context("cannot fork")? {
            ForkResult::Child => self.stage(attack, place, dir.path(), writer),
            ForkResult::Parent { child } => child,
        };
        drop(writer);
        STAGE.store(stage.as_raw(), Ordering::SeqCst);
        if interrupted().is_some() {
            end_stage(NONE);
        }
        let mut said = String::new();
        let heard = reader.read_to_string(&mut said).context("cannot hear the stage");
        STAGE.store(NONE, Ordering::SeqCst);
        match waitpid(stage, None).context("cannot wait for the stage")? {
            WaitStatus::Signaled(_, Signal::SIGALRM, _) => bail!("not done after {PATIENCE} s"),
            WaitStatus::Signaled(_, signal, _) => bail!("the stage was ended by {signal}"),
            _ => heard.and_then(|_| serde_json::from_str(&said).context("the stage said nothing")),
        }
    }

    fn stage(&self, attack: &Attack, place: usize, dir: &Path, mut writer: PipeWriter) -> ! {
        alarm::set(PATIENCE);
        let played = handle(SigHandler::SigDfl).and_then(|()| self.play(attack, place, dir));
        let outcome = played.unwrap_or_else(|error| match error.is::<Untried>() {
            true => Outcome::Untried(describe(&error)),
            false => Outcome::Failed(describe(&error)),
        });
        let said = serde_json::to_string(&outcome).expect("an outcome is text");
        let heard = writer.write_all(said.as_bytes());
        std::process::exit(heard.is_err().into())
    }

    fn play(&self, attack: &Attack, place: usize, dir: &Path) -> Result<Outcome> {
        host::stand_in(attack.stand_in)?;
        make_root(dir)?;
        let step = (place > 0).then(|| self.steps.join(steps::name(place)));
        let mut host = Host::new(dir, step, self.flags(attack, place));
        if let Some(act) = attack.outside {
            return act(&host, place >= self.own);
        }
        (attack.lure)(&mut host)?;
        match (outcome(attack, &host.attempt(attack.name)?), attack.judge) {
            (Outcome::Worked(_), Some(judge)) => judge(&mut host),
            (outcome, _) => Ok(outcome),
        }
    }

    fn flags(&self, attack: &Attack, place: usize) -> Vec<String> {
        let own = attack.flags.iter().filter(|_| place >= self.own);
        own.map(|flag| flag.to_string()).chain(self.flags.clone()).collect()
    }
}

/// The smallest root directory: the attack itself, and all that steps mount things on, so that
/// nothing has to be made by a container that may not (where the kernel cannot map owners).
fn make_root(dir: &Path) -> Result<()> {
    umask(Mode::from_bits_truncate(0o022));
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    let root = dir.join("root");
    for name in ["dev", "etc", "mnt", "proc", "run", "sys", "tmp", "volume"] {
        fs::create_dir_all(root.join(name)).with_context(|| format!("cannot make {name}"))?;
    }
    for name in ["etc/hostname", "etc/hosts", "etc/resolv.conf"] {
        fs::write(root.join(name), "").with_context(|| format!("cannot make {name}"))?;
    }
    fs::copy("/proc/self/exe", root.join("attack"))
        .context("cannot copy the attack into the root")?;
    Ok(())
}

/// What the part inside said, or why it could say nothing: killed, or its container not made. Not
/// every host lets an ordinary user make every container: that alone is no failure.
fn outcome(attack: &Attack, output: &Output) -> Outcome {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().replace('\n', "; ");
    let (said, error) = (text(&output.stdout), text(&output.stderr));
    match output.status.code() {
        Some(0) if !said.is_empty() => Outcome::Worked(said),
        Some(1) if !said.is_empty() => Outcome::Stopped(said),
        Some(2) if !said.is_empty() => Outcome::Untried(said),
        Some(125) if !geteuid().is_root() => Outcome::Untried(error.replace("error: ", "")),
        Some(137) if attack.deadly => Outcome::Stopped(error.replace("error: ", "")),
        _ => Outcome::Failed(format!("{}: {said}{error}", output.status)),
    }
}

/// With `end_stage`, what would end us ends the stage; and with it, by their parent-death signals,
/// all that it started. We then go on and remove what is left.
fn handle(handler: SigHandler) -> Result<()> {
    for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: `end_stage` uses two atomics and kill(2), which is async-signal-safe.
        unsafe { signal(number, handler) }.context("cannot handle signals")?;
    }
    Ok(())
}

extern "C" fn end_stage(signal: libc::c_int) {
    let _ = ENDED_BY.compare_exchange(NONE, signal, Ordering::SeqCst, Ordering::SeqCst);
    match STAGE.load(Ordering::SeqCst) {
        NONE => {}
        stage => kill(Pid::from_raw(stage), Signal::SIGKILL).unwrap_or(()),
    }
}

/// The exit code after a signal that ended the stage, if one did.
pub(super) fn interrupted() -> Option<u8> {
    match ENDED_BY.load(Ordering::SeqCst) {
        NONE => None,
        signal => Some(128 + signal as u8),
    }
}

/// Examples are in target/PROFILE/examples, the steps one directory up.
fn beside_us() -> Result<PathBuf> {
    let us = std::env::current_exe().context("cannot find this program")?;
    let dir = us.parent().and_then(Path::parent).context("this program is in no directory")?;
    Ok(dir.to_owned())
}

fn cargo_build(packages: &[&str], steps: &Path) -> Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else {
        return Ok(());
    };
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet"]).args(packages.iter().flat_map(|name| ["-p", name]));
    if steps.ends_with("release") {
        command.arg("--release");
    }
    if !command.status().context("cannot run cargo")?.success() {
        bail!("cannot build {}", packages.join(" and "));
    }
    Ok(())
}
