//! Names of system calls and their numbers in the native architecture's table.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use syscalls::Sysno;

/// A call named in a profile: its number, if this architecture has it.
pub struct Call(pub Option<u32>);

/// Five times the number of calls, so that two seldom want the same place.
const PLACES: usize = 2048;

/// A hash table of all calls, made by the compiler of this program: a profile has hundreds of
/// names, every start of a container looks them up, and building a table would take longer.
static CALLS: [Option<Sysno>; PLACES] = {
    let mut calls = [None; PLACES];
    let mut next = Some(Sysno::first());
    while let Some(call) = next {
        let mut place = first_place(call.name());
        while calls[place].is_some() {
            place = (place + 1) % PLACES;
        }
        calls[place] = Some(call);
        next = call.next();
    }
    calls
};

/// FNV-1a.
const fn first_place(name: &str) -> usize {
    let (mut hash, mut at) = (0x811c_9dc5_u32, 0);
    while at < name.len() {
        hash = (hash ^ name.as_bytes()[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash as usize % PLACES
}

/// The number of the call named `name`, as the kernel spells it.
pub fn number(name: &str) -> Option<u32> {
    // asm-generic/unistd.h says newfstatat for all 64-bit machines; the table differs here.
    let name = if cfg!(target_arch = "aarch64") && name == "newfstatat" { "fstatat" } else { name };
    let mut place = first_place(name);
    loop {
        match CALLS[place]? {
            call if call.name() == name => return Some(call.id() as u32),
            _ => place = (place + 1) % PLACES,
        }
    }
}

impl<'de> Deserialize<'de> for Call {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Call, D::Error> {
        from.deserialize_str(Name)
    }
}

/// Looks a name up where it lies in the JSON text, without a copy.
struct Name;

impl Visitor<'_> for Name {
    type Value = Call;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the name of a system call")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Call, E> {
        Ok(Call(number(name)))
    }
}
