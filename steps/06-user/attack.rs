//! What step 6 stops: root in the container is root on the host, wherever the two share a file.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::ExitCode;

use anyhow::{Context, Result};
use evidence::attack::{self, Attack, Host, Outcome};
use nix::errno::Errno;
use nix::unistd::geteuid;

const HARMLESS: &str = "A program would do: whoever runs it would be root.\n";

fn main() -> ExitCode {
    attack::main(
        "user",
        &[
            Attack {
                name: "volume",
                claim: "changes a file of root's in a volume",
                lure: file_of_root,
                attempt: change_file,
                judge: Some(file_is_changed),
                refusals: &[Errno::EACCES, Errno::EPERM],
                ..Attack::DEFAULT
            },
            Attack {
                name: "setuid",
                claim: "leaves a setuid-root program in a volume, for a friend on the host",
                lure: |host| host.volume().map(drop),
                attempt: leave_setuid,
                judge: Some(setuid_is_root),
                refusals: &[Errno::EPERM],
                ..Attack::DEFAULT
            },
        ],
    )
}

/// As /etc/sudoers would be: root's, and nobody else may write it.
fn file_of_root(host: &mut Host) -> Result<()> {
    if !geteuid().is_root() {
        return Err(attack::untried("only root can make a file of root's to try it on"));
    }
    let path = host.volume()?.join("sudoers");
    fs::write(&path, "root ALL=(ALL) ALL\n").context("cannot make a file of root's")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    Ok(())
}

fn change_file(_told: &[String]) -> Result<String> {
    fs::write("/volume/sudoers", "attacker ALL=(ALL) NOPASSWD: ALL\n")
        .context("cannot write /volume/sudoers")?;
    Ok("write succeeded".into())
}

fn file_is_changed(host: &mut Host) -> Result<Outcome> {
    let text = fs::read_to_string(host.dir().join("volume/sudoers"))?;
    Ok(match text.starts_with("attacker") {
        true => Outcome::Worked(format!("the file now says {:?}", text.trim_end())),
        false => Outcome::Stopped(format!("the file still says {:?}", text.trim_end())),
    })
}

/// Root of a user namespace may own files and set their mode, as far as its map goes.
fn leave_setuid(_told: &[String]) -> Result<String> {
    fs::write("/volume/friend", HARMLESS).context("cannot write /volume/friend")?;
    fs::set_permissions("/volume/friend", fs::Permissions::from_mode(0o4755))
        .context("cannot make /volume/friend setuid")?;
    Ok("chmod succeeded".into())
}

fn setuid_is_root(host: &mut Host) -> Result<Outcome> {
    let file = fs::metadata(host.dir().join("volume/friend")).context("cannot look at it")?;
    let (uid, mode) = (file.uid(), file.mode() & 0o7777);
    let whose = format!("on the host the program has mode {mode:o} and is uid {uid}'s");
    Ok(match uid == 0 && mode & 0o4000 != 0 {
        true => Outcome::Worked(whose),
        false => Outcome::Stopped(whose),
    })
}
