//! What step 4 stops: the way out of a chroot, and mounts that the host gets to see.

use std::fs::{self, File};
use std::process::ExitCode;

use anyhow::{Context, Result};
use evidence::attack::{self, Attack, Host, Outcome};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::unistd::{chdir, chroot, fchdir};

fn main() -> ExitCode {
    attack::main(
        "mount",
        &[
            Attack {
                name: "double-chroot",
                claim: "leaves a chroot by a second one and a directory kept open",
                lure: secret,
                attempt: double_chroot,
                refusals: &[Errno::ENOENT, Errno::EPERM],
                ..Attack::DEFAULT
            },
            Attack {
                name: "mount",
                claim: "mounts something that the host sees",
                stand_in: CloneFlags::CLONE_NEWNS,
                attempt: mount_in_container,
                judge: Some(host_sees_mount),
                refusals: &[Errno::EPERM],
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

/// `..` stops at the root directory, and nowhere else. Whoever stands outside of it climbs to the
/// real root of the mount namespace; and chroot(2) moves the root, not those who stand.
fn double_chroot(told: &[String]) -> Result<String> {
    let above = File::open("/").context("cannot open /")?;
    fs::create_dir_all("/tmp/deeper").context("cannot make /tmp/deeper")?;
    chroot("/tmp/deeper").context("cannot chroot a second time")?;
    fchdir(&above).context("cannot return to the directory kept open")?;
    for _ in 0..100 {
        chdir("..").context("cannot climb")?;
    }
    chroot(".").context("cannot chroot a third time")?;
    attack::read(&told[0])
}

fn mount_in_container(_told: &[String]) -> Result<String> {
    mount(Some("owned"), "/mnt", Some("tmpfs"), MsFlags::empty(), None::<&str>)
        .context("cannot mount a tmpfs on /mnt")?;
    Ok("mount succeeded".into())
}

/// The host's own list of mounts, proc_pid_mountinfo(5), has the answer.
fn host_sees_mount(host: &mut Host) -> Result<Outcome> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot list the mounts")?;
    let target = host.root().join("mnt").display().to_string();
    Ok(match mounts.lines().any(|line| line.split(' ').nth(4) == Some(&target)) {
        true => Outcome::Worked(format!("the host has a mount on {target}")),
        false => Outcome::Stopped(format!("mounted inside; the host has no mount on {target}")),
    })
}
