//! What step 2 stops: root in the container renames the host.

use std::process::ExitCode;

use anyhow::{Context, Result};
use evidence::attack::{self, Attack, Host, Outcome};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::{gethostname, sethostname};

fn main() -> ExitCode {
    attack::main(
        "uts",
        &[Attack {
            name: "rename",
            claim: "gives the host another name",
            stand_in: CloneFlags::CLONE_NEWUTS,
            attempt: rename,
            judge: Some(name_of_host),
            refusals: &[Errno::EPERM],
            ..Attack::DEFAULT
        }],
    )
}

fn rename(_told: &[String]) -> Result<String> {
    sethostname("owned").context("cannot set the host name")?;
    Ok("sethostname succeeded".into())
}

/// The call itself still works in step 2. What it changes is the question.
fn name_of_host(_host: &mut Host) -> Result<Outcome> {
    let name = gethostname().context("cannot ask for the host name")?.display().to_string();
    Ok(match name == "owned" {
        true => Outcome::Worked(format!("the host is now {name:?}")),
        false => Outcome::Stopped(format!("the container is renamed; the host is still {name:?}")),
    })
}
