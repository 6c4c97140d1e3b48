//! What step 8 stops: one container changes the root directory for all that come after it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;

use anyhow::{Context, Result};
use evidence::attack::{self, Attack, Host, Outcome};
use nix::errno::Errno;

/// Where owners cannot be mapped (a filesystem without idmapped mounts), the image's belong to
/// nobody, and overlayfs refuses to copy their files up at all.
const UNMAPPED: &[Errno] = &[Errno::EOVERFLOW];

fn main() -> ExitCode {
    attack::main(
        "overlay",
        &[
            Attack {
                name: "poison",
                claim: "changes a file of the image; the next container gets it",
                lure: image,
                attempt: poison,
                judge: Some(image_is_changed),
                refusals: UNMAPPED,
                ..Attack::DEFAULT
            },
            Attack {
                name: "delete",
                claim: "deletes a file of the image; the next container lacks it",
                lure: image,
                attempt: delete,
                judge: Some(image_is_changed),
                refusals: UNMAPPED,
                ..Attack::DEFAULT
            },
        ],
    )
}

/// The file may be changed by everyone: it is not its mode that must save it.
fn image(host: &mut Host) -> Result<()> {
    let etc = host.root().join("etc");
    fs::write(etc.join("motd"), "welcome\n").context("cannot write /etc/motd")?;
    fs::set_permissions(etc.join("motd"), Permissions::from_mode(0o666))?;
    fs::set_permissions(etc, Permissions::from_mode(0o777))?;
    Ok(())
}

fn poison(_told: &[String]) -> Result<String> {
    fs::write("/etc/motd", "poisoned\n").context("cannot write /etc/motd")?;
    attack::read("/etc/motd")
}

fn delete(_told: &[String]) -> Result<String> {
    fs::remove_file("/etc/motd").context("cannot delete /etc/motd")?;
    Ok("unlink succeeded".into())
}

/// Both calls succeed in step 8, too. What is left of it in the next container is the question.
fn image_is_changed(host: &mut Host) -> Result<Outcome> {
    Ok(match host.next_container_reads("/etc/motd")? {
        Some(line) if line.contains("welcome") => {
            Outcome::Stopped(format!("changed for itself alone: the next container {line}"))
        }
        Some(line) => Outcome::Worked(format!("the next container {line}")),
        None => Outcome::Worked("the next container has no such file".into()),
    })
}
