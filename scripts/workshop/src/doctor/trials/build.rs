//! What building needs, and what the companion's other commands call: a program is really built with
//! the flags of `.cargo/config.toml`, and run.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use evidence::checks::installed;
use nix::{
    sys::statvfs::statvfs,
    unistd::{AccessFlags, access, geteuid},
};

use super::super::{host::Host, trial::untried};
use crate::{checkout, lab, place};

/// A debug build of everything takes 1.5 GB, the tests as much again.
const ROOM: u64 = 3 << 30;
/// The linker needs the most.
const MEMORY: u64 = 1 << 30;

pub fn architecture() -> Result<String> {
    match env::consts::ARCH {
        known @ ("x86_64" | "aarch64") => Ok(known.into()),
        other => bail!("the steps are written for x86_64 and aarch64, and this is {other}"),
    }
}

pub fn cargo() -> Result<String> {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let said = said(Command::new(cargo).arg("--version")).context("cannot run cargo")?;
    Ok(said.trim().to_string())
}

/// `fn main() {}` as a static program: the compiler, the linker and the C library in one.
pub fn static_program() -> Result<String> {
    let version = said(Command::new("rustc").arg("--version")).context("cannot run rustc")?;
    ensure!(
        release(&version) >= release(env!("CARGO_PKG_RUST_VERSION")),
        "{} is too old: this workspace asks for {}",
        version.trim(),
        env!("CARGO_PKG_RUST_VERSION")
    );
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    let (source, program) = (work.path().join("main.rs"), work.path().join("main"));
    fs::write(&source, "fn main() {}")?;
    let mut rustc = Command::new("rustc");
    rustc.args(["-C", "target-feature=+crt-static", "-C", "relocation-model=static", "-o"]);
    rustc.arg(&program).arg(&source);
    said(&mut rustc).map_err(|error| anyhow::Error::msg(missing(&error.to_string())))?;
    said(&mut Command::new(&program)).context("cannot run what was built")?;
    Ok(version.trim().to_string())
}

/// What the linker's many lines come down to.
fn missing(said: &str) -> String {
    match said {
        text if text.contains("linker `") => "there is no C linker (cc)".into(),
        text if text.contains("cannot find -l") => "there is no static C library (libc.a)".into(),
        text => text.lines().next().unwrap_or("rustc said nothing").into(),
    }
}

/// `rustc 1.90.0 (…)` or `1.88`, as numbers to compare.
fn release(text: &str) -> Vec<u32> {
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_numeric()));
    let parts = number.unwrap_or_default().split(['.', '-']);
    parts.map_while(|part| part.parse().ok()).collect()
}

/// Runs a program that must succeed; an error has what it wrote.
fn said(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub fn disk() -> Result<String> {
    let checkout = checkout::checkout()?;
    let status = statvfs(&checkout).context("cannot ask for the free space")?;
    let free = status.blocks_available() * status.fragment_size();
    let built = checkout::programs()?.join("seccomp").exists();
    let text = format!("{} GB free at {}", gigabytes(free), checkout.display());
    ensure!(free >= ROOM || built, "{text}: building takes {}", gigabytes(ROOM));
    Ok(text)
}

pub fn memory() -> Result<String> {
    let available = Host::read("/".as_ref()).memory_available;
    let text = format!("{} GB to be had", gigabytes(available));
    ensure!(available >= MEMORY, "{text}: building takes {}", gigabytes(MEMORY));
    Ok(text)
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 30))
}

fn tool(name: &str) -> Result<String> {
    ensure!(installed(name), "{name} is not on the PATH");
    Ok(String::new())
}

pub fn git() -> Result<String> {
    tool("git")
}

pub fn pager() -> Result<String> {
    tool("less")
}

pub fn apt() -> Result<String> {
    tool("apt-get")
}

pub fn sudo() -> Result<String> {
    if geteuid().is_root() {
        return untried("we are root");
    }
    tool("sudo")?;
    match (place::silent_sudo(), place::administrator()) {
        (true, _) => Ok("without a password".into()),
        (false, true) => untried("it wants a password: run `sudo -v`, then doctor again"),
        (false, false) => bail!("it does not make us root without a password"),
    }
}

/// It is fetched when a lab is booted, and not before.
pub fn lab_kernel() -> Result<String> {
    let checkout = checkout::checkout()?;
    if lab::fetched(&checkout) {
        return Ok("fetched".into());
    }
    ensure!(cfg!(target_arch = "x86_64"), "there is one for x86_64 alone");
    let given = checkout.join(".workshop/lab/user-mode-linux.deb").exists();
    if !given {
        tool("apt-get").context("it is not fetched yet, and cannot be")?;
    }
    writable(&checkout.join(".workshop"))?;
    untried("not fetched yet: the first boot does (41 MB)")
}

/// Whether we may make `directory`, or write to it.
fn writable(directory: &Path) -> Result<()> {
    let there = directory.ancestors().find(|path| path.exists()).unwrap_or(directory);
    access(there, AccessFlags::W_OK).with_context(|| {
        format!("it is not fetched yet, and cannot be put into {}", there.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_as_numbers() {
        assert!(release("rustc 1.100.0 (abc 2026-01-01)") > release("1.88"));
        assert!(release("rustc 1.88.0 (abc)") >= release("1.88"));
        assert!(release("rustc 1.87.1-nightly") < release("1.88"));
    }

    #[test]
    fn the_linker_is_put_in_a_word() {
        assert!(missing("error: linker `cc` not found\n").contains("linker"));
        assert!(missing("error: linking with …\n = cannot find -lc: No such").contains("libc.a"));
    }
}
