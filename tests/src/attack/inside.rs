//! The part inside: the container's command, `/attack inside NAME WHAT-THE-LURE-TOLD...`.
//! Says what came of the attempt on stdout and by its exit code: 0 worked, 1 stopped, 2 not
//! to be tried on this kernel, 3 went wrong.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::Attack;
use crate::answer;

/// Why an attack cannot be tried on this kernel, with or without a container.
#[derive(Debug)]
pub(super) struct Untried(String);

impl std::fmt::Display for Untried {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Untried {}

/// The error of a lure or an attempt for which this kernel lacks something: it is not counted.
pub fn untried(reason: impl Into<String>) -> anyhow::Error {
    Untried(reason.into()).into()
}

/// Reads a secret by its path: the proof of attacks that get out.
pub fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    read_from(file)
}

/// Reads the first line of a secret that the attacker has already opened.
pub fn read_from(secret: impl Read) -> Result<String> {
    let mut line = String::new();
    BufReader::new(secret).read_line(&mut line).context("cannot read the secret")?;
    Ok(format!("read {:?}", line.trim_end()))
}

/// Makes the attempt and returns the exit code. `cat FILE` is for judges that look from inside.
pub(super) fn main(attacks: &[Attack], args: &[String]) -> u8 {
    let (name, told) = args.split_first().expect("the harness names an attack");
    if name == "cat" {
        return say(read(&told[0]), &[Errno::ENOENT]);
    }
    let attack =
        attacks.iter().find(|attack| attack.name == name).expect("the harness knows its attacks");
    say((attack.attempt)(told), attack.refusals)
}

fn say(result: Result<String>, refusals: &[Errno]) -> u8 {
    let (text, code) = match &result {
        Ok(proof) => (proof.clone(), 0),
        Err(error) => (describe(error), verdict(error, refusals)),
    };
    println!("{text}");
    code
}

/// An attempt is stopped by one of the errors that its author expects, or where it says itself
/// that it got nothing. Any other error means that the attack is broken, not that the wall holds.
fn verdict(error: &anyhow::Error, refusals: &[Errno]) -> u8 {
    if error.downcast_ref::<Untried>().is_some() {
        return 2;
    }
    match errno(error) {
        None => 1,
        Some(errno) if refusals.contains(&errno) => 1,
        Some(_) => 3,
    }
}

/// The kernel's error at the bottom of an error's causes, if there is one.
fn errno(error: &anyhow::Error) -> Option<Errno> {
    let cause = error.root_cause();
    let from_io = || cause.downcast_ref::<io::Error>()?.raw_os_error().map(Errno::from_raw);
    cause.downcast_ref::<Errno>().copied().or_else(from_io)
}

/// One line: the acts, then the kernel's error in words and by name.
pub(super) fn describe(error: &anyhow::Error) -> String {
    let Some(errno) = errno(error) else {
        return format!("{error:#}");
    };
    let acts = error.chain().take(error.chain().count() - 1);
    let acts: String = acts.map(|act| format!("{act}: ")).collect();
    acts + &answer::describe(errno)
}
