//! What step 3 stops: signals to processes of the host, and a look into their memory.

use std::io::IoSliceMut;
use std::process::ExitCode;

use anyhow::{Context, Result};
use evidence::attack::{self, Attack, Host, Outcome};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, pause};

fn main() -> ExitCode {
    attack::main(
        "pid",
        &[
            Attack {
                name: "kill",
                claim: "kills a process of the host",
                lure: victim,
                attempt: kill_victim,
                judge: Some(victim_is_dead),
                refusals: &[Errno::ESRCH],
                ..Attack::DEFAULT
            },
            Attack {
                name: "memory",
                claim: "reads the memory of a process of the host",
                lure: victim_with_secret,
                attempt: read_memory,
                refusals: &[Errno::ESRCH],
                ..Attack::DEFAULT
            },
        ],
    )
}

fn victim(host: &mut Host) -> Result<()> {
    let victim = host.process(pause)?;
    host.tell(victim);
    Ok(())
}

fn kill_victim(told: &[String]) -> Result<String> {
    kill(victim_id(told)?, Signal::SIGKILL)
        .with_context(|| format!("cannot kill process {}", told[0]))?;
    Ok("kill succeeded".into())
}

/// We end it by another signal, which comes too late if the attacker's was there.
fn victim_is_dead(host: &mut Host) -> Result<Outcome> {
    let victim = victim_id(host.told())?;
    kill(victim, Signal::SIGTERM).context("cannot end the victim")?;
    let status = waitpid(victim, None).context("cannot wait for the victim")?;
    Ok(match status {
        WaitStatus::Signaled(_, Signal::SIGKILL, _) => {
            Outcome::Worked(format!("process {victim} of the host died of SIGKILL"))
        }
        _ => Outcome::Stopped(format!("process {victim} of the host lived until we ended it")),
    })
}

/// A process whose memory holds a secret, at an address that the attacker has found out.
fn victim_with_secret(host: &mut Host) -> Result<()> {
    let secret: &'static str = Box::leak("a password of the host".to_owned().into_boxed_str());
    let victim = host.process(pause)?;
    host.tell(victim);
    host.tell(secret.as_ptr() as usize);
    host.tell(secret.len());
    Ok(())
}

/// A debugger reads like this, and so does an attacker: see process_vm_readv(2).
fn read_memory(told: &[String]) -> Result<String> {
    let mut secret = vec![0; told[2].parse()?];
    let place = RemoteIoVec { base: told[1].parse()?, len: secret.len() };
    process_vm_readv(victim_id(told)?, &mut [IoSliceMut::new(&mut secret)], &[place])
        .with_context(|| format!("cannot read the memory of process {}", told[0]))?;
    Ok(format!("read {:?}", String::from_utf8_lossy(&secret)))
}

fn victim_id(told: &[String]) -> Result<Pid> {
    Ok(Pid::from_raw(told[0].parse()?))
}
