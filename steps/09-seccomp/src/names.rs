//! Names of system calls and their numbers in the native architecture's table.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use syscalls::Sysno;

/// A call named in a profile: its number, if this architecture has it.
pub struct Call(pub Option<u32>);

/// `Sysno`'s own search by name compares with one name after the other.
static NUMBERS: LazyLock<HashMap<&str, u32>> = LazyLock::new(|| {
    let mut numbers: HashMap<&str, u32> =
        Sysno::iter().map(|call| (call.name(), call.id() as u32)).collect();
    // The kernel's name on aarch64 is newfstatat, asm-generic/unistd.h; the table has the other.
    if let Some(number) = numbers.get("fstatat").copied() {
        numbers.entry("newfstatat").or_insert(number);
    }
    numbers
});

/// The number of the call named `name`.
pub fn number(name: &str) -> Option<u32> {
    NUMBERS.get(name).copied()
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
