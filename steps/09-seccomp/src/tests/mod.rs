//! The compiled filter is run here by an interpreter of our own and compared with what the
//! profile's text says, and it is installed for real in a child.

mod calls;
mod facts;
mod interpreter;
mod kernel;
mod operators;
mod profiles;
mod reference;
mod speed;

use libc::sock_filter;

use crate::compile::compile;
use crate::names::number;
use crate::{DEFAULT, parse};

/// The words that filters return, named as in seccomp(2).
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const EPERM: u32 = errno(libc::EPERM);
const ENOSYS: u32 = errno(libc::ENOSYS);

const fn errno(number: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | number as u32
}

/// The program of a profile in JSON.
fn program(json: &str) -> Vec<sock_filter> {
    compile(&parse(json).expect("the profile is valid")).expect("the profile compiles")
}

/// What the default profile says of a call.
fn verdict(name: &str, args: [u64; 6]) -> u32 {
    let call = number(name).unwrap_or_else(|| panic!("no call named {name}"));
    interpreter::run(&program(DEFAULT), call, args).word
}

/// A rule of a profile as JSON, in few words.
fn rule(names: &[&str], action: &str, args: &str) -> String {
    format!(
        r#"{{ "names": {names:?}, "action": "SCMP_ACT_{action}", "errnoRet": 7, "args": [{args}] }}"#
    )
}

/// A profile with a default action and rules.
fn profile(default: &str, rules: &[String]) -> String {
    let rules = rules.join(", ");
    format!(r#"{{ "defaultAction": "SCMP_ACT_{default}", "syscalls": [{rules}] }}"#)
}

/// Numbers that look random and are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A value near `edge`, in one half of it or both; sometimes any value.
    fn near(&mut self, edge: u64) -> u64 {
        let step = self.next() % 5;
        let moved = edge.wrapping_add(step).wrapping_sub(2);
        match self.next() % 6 {
            0 => edge,
            1 => moved,
            2 => moved ^ (1 << (self.next() % 64)),
            3 => (edge & 0xffff_ffff) | (self.next() << 32),
            4 => (edge & !0xffff_ffff) | (self.next() & 0xffff_ffff),
            _ => self.next(),
        }
    }
}
