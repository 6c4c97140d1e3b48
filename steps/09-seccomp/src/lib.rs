//! Step 9, seccomp: the command may ask the kernel for what it needs and no more. A profile in
//! Docker's format becomes a BPF program, in the parent; `Filter::install` puts it, with
//! no_new_privs, on the process that is about to become the command. Neither can be undone.

mod assemble;
mod compare;
pub mod compile;
mod names;
pub mod profile;
pub mod rules;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use libc::{sock_filter, sock_fprog};
use nix::errno::Errno;
use nix::sys::{prctl, utsname};

use profile::{Host, Profile, Version};
use rules::Rules;

/// The default profile, an allowlist. The facts are those of Docker's default profile
/// (github.com/moby/profiles, seccomp/default.json, June 2026), with the same verdicts but for
/// two: `ioctl` TIOCSTI and TIOCLINUX are refused, and `socket` looks at the 32 bits that the
/// kernel looks at, so that AF_VSOCK cannot hide under higher bits.
pub const DEFAULT: &str = include_str!("../default.json");

/// The capabilities that Docker leaves to a container; its profile has rules that depend on them.
pub const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// A profile is a few kilobytes; this keeps /dev/zero from filling the memory.
const LARGEST_PROFILE: u64 = 1 << 20;

/// Which filter the command gets.
#[derive(clap::Args)]
#[group(skip)]
pub struct Args {
    /// seccomp=FILE: a profile in Docker's format; seccomp=unconfined: none
    #[arg(long = "security-opt", value_name = "OPTION", value_parser = parse_option)]
    pub security: Vec<SecurityOption>,
}

/// One value of `--security-opt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityOption {
    /// `seccomp=FILE`
    Profile(PathBuf),
    /// `seccomp=builtin`: what there is without any option.
    Builtin,
    /// `seccomp=unconfined`
    Unconfined,
    /// `no-new-privileges`: set in any case.
    NoNewPrivileges,
}

fn parse_option(text: &str) -> Result<SecurityOption, String> {
    match text.split_once('=') {
        Some(("seccomp", "unconfined")) => Ok(SecurityOption::Unconfined),
        Some(("seccomp", "builtin")) => Ok(SecurityOption::Builtin),
        Some(("seccomp", file)) if !file.is_empty() => Ok(SecurityOption::Profile(file.into())),
        None if text == "no-new-privileges" => Ok(SecurityOption::NoNewPrivileges),
        _ => Err("it is seccomp=FILE, seccomp=unconfined or no-new-privileges".to_string()),
    }
}

/// Reads and compiles the profile that `args` ask for; of several the last counts.
pub fn load(args: &Args) -> Result<Filter> {
    let chosen = args.security.iter().rfind(|option| **option != SecurityOption::NoNewPrivileges);
    match chosen {
        Some(SecurityOption::Unconfined) => Ok(Filter { program: Vec::new() }),
        Some(SecurityOption::Profile(file)) => {
            let text = read(file)?;
            let error = || format!("cannot use the seccomp profile {}", file.display());
            parse(&text).and_then(|rules| Filter::new(&rules)).with_context(error)
        }
        _ => Filter::new(&parse(DEFAULT)?),
    }
}

fn read(file: &Path) -> Result<String> {
    let mut text = String::new();
    File::open(file)
        .and_then(|opened| opened.take(LARGEST_PROFILE).read_to_string(&mut text))
        .with_context(|| format!("cannot read the seccomp profile {}", file.display()))?;
    Ok(text)
}

/// The rules of a profile in JSON that hold on this host, for Docker's capabilities.
pub fn parse(json: &str) -> Result<Rules> {
    let profile: Profile = serde_json::from_str(json)?;
    let uname = utsname::uname().context("cannot ask for the kernel's release")?;
    let release = uname.release().to_string_lossy().into_owned();
    let kernel = Version::try_from(release).map_err(anyhow::Error::msg)?;
    Ok(profile.rules(&Host { capabilities: &CAPABILITIES, kernel }))
}

/// A compiled filter; without a program there is nothing to install but no_new_privs.
pub struct Filter {
    program: Vec<sock_filter>,
}

impl Filter {
    /// Compiles `rules`.
    pub fn new(rules: &Rules) -> Result<Filter> {
        Ok(Filter { program: compile::compile(rules)? })
    }

    /// Takes from this thread, for good and for all that it starts, new privileges by execve(2)
    /// and the calls that the filter refuses. Allocates nothing.
    ///
    /// First no_new_privs, PR_SET_NO_NEW_PRIVS(2const): without it a filter could fool a setuid
    /// program, so the kernel asks for it or for CAP_SYS_ADMIN. Then the program, if there is one:
    /// seccomp(2) with SECCOMP_SET_MODE_FILTER, through syscall(2).
    ///
    /// Exercise 9.1
    pub fn install(&self) -> Result<()> {
        prctl::set_no_new_privs().context("cannot set no_new_privs")?;
        if self.program.is_empty() {
            return Ok(());
        }
        let program =
            sock_fprog { len: self.program.len() as u16, filter: self.program.as_ptr().cast_mut() };
        // SAFETY: the kernel copies the program, and only reads it.
        let result = unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
        };
        Errno::result(result).context("cannot install the seccomp filter")?;
        Ok(())
    }
}
