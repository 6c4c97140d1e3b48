//! What step 1 stops: files of the host, by their path and by a descriptor left open.
//! "Before" is no container at all.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::process::ExitCode;

use anyhow::{Context, Result};
use evidence::attack::{self, Attack, Host};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, FdFlag, OFlag, fcntl, openat};
use nix::sys::stat::{Mode, fstatat};

fn main() -> ExitCode {
    attack::main(
        "chroot",
        &[
            Attack {
                name: "path",
                claim: "reads a file of the host by its path; it could be /etc/shadow",
                lure: secret,
                attempt: |told| attack::read(&told[0]),
                refusals: &[Errno::ENOENT],
                ..Attack::DEFAULT
            },
            Attack {
                name: "descriptor",
                claim: "climbs out through a directory that somebody left open",
                lure: open_directory,
                attempt: climb_from_descriptor,
                refusals: &[Errno::EBADF],
                ..Attack::DEFAULT
            },
        ],
    )
}

fn secret(host: &mut Host) -> Result<()> {
    let path = host.secret()?;
    host.tell(path.display());
    Ok(())
}

/// Programs leak descriptors all the time: one flag forgotten, and the next program has it too.
fn open_directory(host: &mut Host) -> Result<()> {
    host.secret()?;
    let root = File::open(host.root()).context("cannot open the root directory")?;
    fcntl(&root, FcntlArg::F_SETFD(FdFlag::empty()))?;
    host.tell(root.as_raw_fd());
    host.keep(root);
    Ok(())
}

/// A root directory is where paths that begin with `/` start. A path that begins at a
/// descriptor passes it by: `..` leads out, step by step.
fn climb_from_descriptor(told: &[String]) -> Result<String> {
    let number: RawFd = told[0].parse()?;
    // SAFETY: if the number is no open descriptor, the kernel says EBADF, and that is the answer.
    let root = unsafe { BorrowedFd::borrow_raw(number) };
    fstatat(root, ".", AtFlags::empty()).context("cannot use the descriptor")?;
    let secret = openat(root, "../secret", OFlag::O_RDONLY, Mode::empty())
        .context("cannot open ../secret")?;
    attack::read_from(File::from(secret))
}
