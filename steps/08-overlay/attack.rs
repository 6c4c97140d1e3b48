//! What step 8 stops: one container changes the root directory for all that come after it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use evidence::attack::{self, Attack, Host};

fn main() -> ExitCode {
    attack::main(
        "overlay",
        &[
            Attack {
                name: "poison",
                claim: "changes a file of the image; the next container gets it",
                lure: image,
                attempt: poison,
                judge: Some(next_container_is_poisoned),
                ..Attack::DEFAULT
            },
            Attack {
                name: "delete",
                claim: "deletes a file of the image; the next container lacks it",
                lure: image,
                attempt: delete,
                judge: Some(next_container_lacks_it),
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

fn next_container_is_poisoned(host: &mut Host) -> Result<String> {
    let found = host.next_container_reads("/etc/motd")?;
    match found.contains("poisoned") {
        true => Ok(format!("the next container {found}")),
        false => bail!("changed for itself; the next container {found}"),
    }
}

fn delete(_told: &[String]) -> Result<String> {
    fs::remove_file("/etc/motd").context("cannot delete /etc/motd")?;
    Ok("unlink succeeded".into())
}

fn next_container_lacks_it(host: &mut Host) -> Result<String> {
    let found = host.next_container_reads("/etc/motd")?;
    match found.starts_with("read") {
        true => bail!("deleted for itself; the next container {found}"),
        false => Ok(format!("the next container {found}")),
    }
}
