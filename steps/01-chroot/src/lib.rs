//! Step 1, chroot: a command that sees one directory as its whole file tree.
//! `enter` changes the root directory, `exec` replaces this process with the command and
//! hands it nothing that it was not given: no descriptor above 2, no inherited environment.

mod exec;
mod outcome;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd;

pub use exec::exec;
pub use outcome::{Hint, HintExt, describe, main, report, tell};

/// What runs, in which directory, with which environment.
#[derive(clap::Args)]
#[group(skip)]
pub struct Args {
    /// Set an environment variable; KEY alone passes yours on
    #[arg(short = 'e', long = "env", value_name = "KEY=VALUE")]
    pub env: Vec<OsString>,

    /// The working directory inside the container
    #[arg(short = 'w', long, value_name = "DIR", default_value = "/")]
    pub workdir: PathBuf,

    /// The directory that becomes the container's /
    pub root: PathBuf,

    /// The command that runs inside, and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

/// Makes `root` this process's root directory, and `/` in it the working directory.
///
/// chroot(2) changes where absolute paths start and nothing else: the working directory stays
/// where it was, outside, and `..` climbs from there to the host's real root. So chdir(2) follows.
/// An error names `root`; where the kernel says EPERM, a hint names the capability.
///
/// Exercise 1.1
pub fn enter(root: &Path) -> Result<()> {
    unistd::chroot(root)
        .with_context(|| format!("cannot change the root directory to {}", root.display()))
        .hint(
            Errno::EPERM,
            "chroot(2) needs CAP_SYS_CHROOT: run this step with sudo, or in the lab",
        )?;
    unistd::chdir("/").context("cannot change to / in the new root directory")
}
