//! One container, looked at from both sides: its walls from outside, as every x-ray, and the rest as the
//! probe inside says it. The probe waits on its standard input: it ends when we do, however that is.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::{BufRead, BufReader, Read},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use evidence::{Probe, Process, Xray};
use serde::Serialize;
use tempfile::TempDir;

use crate::checkout;

/// How long a container may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// A temporary directory with a root directory in it: the probe, and what is mounted over.
pub struct Yard(TempDir);

impl Yard {
    pub fn make() -> Result<Yard> {
        let yard = tempfile::Builder::new().prefix("compare-").tempdir();
        let yard = Yard(yard.context("cannot make a temporary directory")?);
        // The container's root may be nobody's out here.
        fs::set_permissions(yard.path(), Permissions::from_mode(0o755))
            .context("cannot open the temporary directory to all")?;
        for directory in ["proc", "sys", "dev", "etc", "run", "tmp"] {
            let mut builder = DirBuilder::new();
            let directory = yard.root().join(directory);
            let made = builder.recursive(true).mode(0o755).create(&directory);
            made.with_context(|| format!("cannot make {}", directory.display()))?;
        }
        for file in ["hostname", "hosts", "resolv.conf"] {
            fs::write(yard.root().join("etc").join(file), "").context("cannot write to etc")?;
        }
        let probe = checkout::programs()?.join("probe");
        fs::copy(&probe, yard.root().join("probe"))
            .with_context(|| format!("cannot copy {}", probe.display()))?;
        Ok(yard)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn root(&self) -> PathBuf {
        self.path().join("root")
    }

    /// What runs inside. The last word is nobody else's: by it the process is found from outside.
    pub fn words(&self) -> [String; 3] {
        let name = self.path().file_name().unwrap_or_default().to_string_lossy();
        ["/probe".into(), "--wait".into(), name.into()]
    }
}

/// What was seen of one container.
#[derive(Serialize)]
pub struct Specimen {
    /// From outside: `process.uid_map` and `process.mounts` are the kernel's words to the host.
    #[serde(skip)]
    pub process: Process,
    pub xray: Xray,
    pub probe: Probe,
}

impl Specimen {
    /// Runs the command, which makes a container with the probe in it, and ends it again.
    pub fn take(title: &str, mut command: Command, yard: &Yard) -> Result<Specimen> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
        let seen = look(title, &mut child, yard);
        end(&mut child)?;
        seen
    }
}

fn look(title: &str, child: &mut Child, yard: &Yard) -> Result<Specimen> {
    let mut line = String::new();
    let stdout = child.stdout.take().context("the container has no output")?;
    BufReader::new(stdout).read_line(&mut line).context("cannot read what the probe says")?;
    if line.is_empty() {
        bail!("the container was not made: {}", complaint(child));
    }
    let probe = serde_json::from_str(&line).context("cannot understand the probe")?;
    let process = find(yard)?;
    let host = Process::own().context("cannot read /proc/self")?;
    Ok(Specimen { xray: Xray::of(title, &process, &host), process, probe })
}

/// The probe's process; who made it may be no parent of it: podman's monitor, docker's engine.
fn find(yard: &Yard) -> Result<Process> {
    let words = yard.words().map(|word| word + "\0").concat().into_bytes();
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let entry = entry?;
        if fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == words)
            && let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok())
        {
            return Process::read(pid).with_context(|| format!("cannot read process {pid}"));
        }
    }
    bail!("cannot find the container's process: it is not on this machine")
}

/// What it said went wrong: some call it so, others end with it.
fn complaint(child: &mut Child) -> String {
    let mut text = String::new();
    let _ = child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut text));
    let called = text.lines().find_map(|line| line.strip_prefix("error: "));
    let last = text.trim().lines().last().unwrap_or("it said nothing");
    called.unwrap_or(last).trim_start_matches("Error: ").to_string()
}

/// Ends the probe's input, and waits until its container is cleared up.
fn end(child: &mut Child) -> Result<()> {
    drop(child.stdin.take());
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if child.try_wait().context("cannot wait for the container")?.is_some() {
            return Ok(());
        }
        sleep(Duration::from_millis(2));
    }
    child.kill().and_then(|()| child.wait()).context("cannot end the container")?;
    bail!("the container did not end by itself in {} s", PATIENCE.as_secs())
}
