//! The lab's kernel: Debian's package user-mode-linux, fetched once and taken apart, never installed.
//! apt checks what it fetches against Debian's signed lists; we keep a checksum of what came out of it,
//! and check that at every boot.

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Kernel {
    /// Where the lab keeps its own: `.workshop/lab`.
    pub directory: PathBuf,
    pub program: PathBuf,
    /// The directory of modules.dep.
    pub modules: PathBuf,
}

const PACKAGE: &str = "user-mode-linux";

/// What to do where there is no apt, or its lists do not have the package.
const BY_HAND: &str = "fetch it from a Debian mirror:
  pool/main/u/user-mode-linux/user-mode-linux_6.1um4+b13_amd64.deb (Debian 12, or a later version)
  SHA-256 0ce700f835c385ab09860ad33137817402403a29e424177510244bd75a81c687
and put it at";

/// The kernel of this checkout, fetched if it is not there yet (41 MB).
pub fn kernel(checkout: &Path) -> Result<Kernel> {
    let directory = checkout.join(".workshop/lab");
    let unpacked = directory.join("kernel");
    if !unpacked.exists() {
        fetch(&directory).context("cannot get the lab's kernel")?;
    }
    let program = unpacked.join("usr/bin/linux.uml");
    verify(&unpacked)?;
    let modules = unpacked.join("usr/lib/uml/modules");
    let version =
        fs::read_dir(&modules).with_context(|| format!("cannot read {}", modules.display()))?;
    let version = version.flatten().next().context("the lab's kernel came without modules")?;
    Ok(Kernel { directory, program, modules: version.path() })
}

/// Whether the kernel is there already, so that no boot has to fetch it.
pub fn fetched(checkout: &Path) -> bool {
    checkout.join(".workshop/lab/kernel").exists()
}

/// Makes `kernel` in the directory, all or nothing; one process at a time.
fn fetch(directory: &Path) -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        bail!("Debian has no {PACKAGE} for this processor: only for x86_64");
    }
    fs::create_dir_all(directory).with_context(|| {
        format!(
            "cannot make {}: run the lab once as the user to whom the checkout belongs",
            directory.display()
        )
    })?;
    let lock = File::create(directory.join("lock")).context("cannot lock the lab's directory")?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| e)?;
    let kernel = directory.join("kernel");
    if kernel.exists() {
        return Ok(());
    }
    let work =
        tempfile::tempdir_in(directory).context("cannot make a directory for the download")?;
    let package = match directory.join(format!("{PACKAGE}.deb")) {
        given if given.exists() => given,
        given => download(work.path(), &given)?,
    };
    let unpacked = work.path().join("kernel");
    unpack(&package, &unpacked)?;
    record(&unpacked)?;
    fs::rename(unpacked, kernel).context("cannot put the lab's kernel in its place")
}

/// Downloads the package with apt, which needs no root for it. Returns the file.
fn download(directory: &Path, given: &Path) -> Result<PathBuf> {
    let mut apt = Command::new("apt-get");
    apt.args(["download", PACKAGE]).current_dir(directory).stdout(Stdio::null());
    let Ok(apt) = apt.stderr(Stdio::piped()).spawn() else {
        bail!("this host has no apt-get: {BY_HAND}\n  {}", given.display());
    };
    eprintln!("The lab: fetching its kernel (41 MB, once)");
    let output = apt.wait_with_output().context("cannot wait for apt-get")?;
    let mut files = fs::read_dir(directory)?.flatten().map(|f| f.path());
    match files.find(|f| f.extension().is_some_and(|e| e == "deb")) {
        Some(package) if output.status.success() => Ok(package),
        _ => bail!(
            "apt-get download {PACKAGE}: {}\nTry `sudo apt-get update`. If your distribution has no such package, {BY_HAND}\n  {}",
            String::from_utf8_lossy(&output.stderr).trim(),
            given.display()
        ),
    }
}

/// Takes a package apart, with dpkg or without: it is an ar(1) archive with a compressed tar in it.
fn unpack(package: &Path, into: &Path) -> Result<()> {
    fs::create_dir(into)?;
    let (mut tool, input) =
        match Command::new("dpkg").arg("--version").stdout(Stdio::null()).status() {
            Ok(status) if status.success() => (Command::new("dpkg"), None),
            _ => (Command::new("tar"), Some(data_of(package)?)),
        };
    match input {
        None => tool.arg("-x").args([package, into]),
        Some((format, _)) => tool.args([format, "-x", "-C"]).arg(into),
    };
    let mut child = tool.stdin(Stdio::piped()).spawn().context("cannot start tar")?;
    let mut pipe = child.stdin.take().context("no pipe to tar")?;
    pipe.write_all(input.as_ref().map_or(&[], |(_, data)| data)).context("cannot write to tar")?;
    drop(pipe);
    if !child.wait()?.success() {
        bail!("cannot take {} apart", package.display());
    }
    Ok(())
}

/// The data member of a Debian package, deb(5), and how tar is told about its compression.
fn data_of(package: &Path) -> Result<(&'static str, Vec<u8>)> {
    let bytes = fs::read(package).with_context(|| format!("cannot read {}", package.display()))?;
    let mut rest = bytes.strip_prefix(b"!<arch>\n").context("not a Debian package")?;
    while let Some((header, after)) = rest.split_at_checked(60) {
        let size: usize = String::from_utf8_lossy(&header[48..58]).trim().parse()?;
        let data = after.get(..size).context("the package is cut short")?;
        match String::from_utf8_lossy(&header[..16]).trim() {
            "data.tar.xz" => return Ok(("--xz", data.to_vec())),
            "data.tar.zst" => return Ok(("--zstd", data.to_vec())),
            _ => rest = after.get(size.next_multiple_of(2)..).unwrap_or_default(),
        }
    }
    bail!("the package has no data that we can read")
}

const SUMS: &str = "SHA256SUMS";

fn record(unpacked: &Path) -> Result<()> {
    let script = format!("find usr/bin usr/lib/uml -type f -print0 | xargs -0 sha256sum >{SUMS}");
    let status = Command::new("sh").args(["-c", &script]).current_dir(unpacked).status();
    if !status.context("cannot start sh")?.success() {
        bail!("cannot record the checksums of the lab's kernel");
    }
    Ok(())
}

/// Checks the kernel itself; the modules are not worth half a second at every boot.
fn verify(unpacked: &Path) -> Result<()> {
    let script = format!("grep ' usr/bin/linux.uml$' {SUMS} | sha256sum --check --status");
    let status = Command::new("sh").args(["-c", &script]).current_dir(unpacked).status();
    if !status.context("cannot start sh")?.success() {
        bail!(
            "the lab's kernel is not the one that was fetched: remove {} and try again",
            unpacked.display()
        );
    }
    Ok(())
}
