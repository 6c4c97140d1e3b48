//! Conditions on arguments. An argument has 64 bits and the BPF machine 32, so every comparison
//! is made of two: the high half first, the low half where the high one leaves it open.

use std::mem::{offset_of, size_of};

use libc::seccomp_data;

use crate::assemble::{Assembler, Label, Test};
use crate::rules::{Comparison, Condition};

/// Code that goes to `yes` if the condition holds, else to `no`.
pub fn condition(asm: &mut Assembler, condition: &Condition, yes: Label, no: Label) -> Label {
    let (low, high) = halves(condition.argument);
    match condition.comparison {
        Comparison::Eq(value) => equal(asm, (low, high), u64::MAX, value, yes, no),
        Comparison::Ne(value) => equal(asm, (low, high), u64::MAX, value, no, yes),
        Comparison::MaskedEq { mask, value } => equal(asm, (low, high), mask, value, yes, no),
        Comparison::Gt(value) => above(asm, (low, high), Test::Gt, value, yes, no),
        Comparison::Le(value) => above(asm, (low, high), Test::Gt, value, no, yes),
        Comparison::Ge(value) => above(asm, (low, high), Test::Ge, value, yes, no),
        Comparison::Lt(value) => above(asm, (low, high), Test::Ge, value, no, yes),
    }
}

/// Where the two halves of an argument lie in `seccomp_data`, on a little-endian machine.
fn halves(argument: u8) -> (u32, u32) {
    let start = offset_of!(seccomp_data, args) + usize::from(argument) * size_of::<u64>();
    (start as u32, start as u32 + 4)
}

/// `argument & mask == value`
fn equal(
    asm: &mut Assembler,
    (low, high): (u32, u32),
    mask: u64,
    value: u64,
    yes: Label,
    no: Label,
) -> Label {
    let low = half_equal(asm, low, mask as u32, value as u32, yes, no);
    half_equal(asm, high, (mask >> 32) as u32, (value >> 32) as u32, low, no)
}

/// The same for 32 bits; nothing to do where no bit counts.
fn half_equal(
    asm: &mut Assembler,
    offset: u32,
    mask: u32,
    value: u32,
    yes: Label,
    no: Label,
) -> Label {
    if mask == 0 && value == 0 {
        return yes;
    }
    let test = asm.branch(Test::Eq, value, yes, no);
    let masked = if mask == u32::MAX { test } else { asm.and(mask, test) };
    asm.load(offset, masked)
}

/// `argument > value` or, with `Test::Ge`, `argument >= value`: the high halves decide unless
/// they are equal.
fn above(
    asm: &mut Assembler,
    (low, high): (u32, u32),
    test: Test,
    value: u64,
    yes: Label,
    no: Label,
) -> Label {
    let last = asm.branch(test, value as u32, yes, no);
    let low = asm.load(low, last);
    let equal = asm.branch(Test::Eq, (value >> 32) as u32, low, no);
    let greater = asm.branch(Test::Gt, (value >> 32) as u32, yes, equal);
    asm.load(high, greater)
}
