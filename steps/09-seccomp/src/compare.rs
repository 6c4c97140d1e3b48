//! Conditions on arguments. An argument has 64 bits and the BPF machine 32, so every comparison
//! is made of two: the high half first, the low half where the high one leaves it open.

use std::mem::{offset_of, size_of};

use anyhow::{Result, ensure};
use libc::seccomp_data;

use crate::assemble::{Assembler, Label, Test};
use crate::rules::{Comparison, Condition};

/// Code that goes to `yes` if the condition holds, else to `no`.
pub fn condition(
    asm: &mut Assembler,
    &Condition { argument, ref comparison }: &Condition,
    yes: Label,
    no: Label,
) -> Result<Label> {
    match *comparison {
        Comparison::Eq(value) => equal(asm, argument, u64::MAX, value, yes, no),
        Comparison::Ne(value) => equal(asm, argument, u64::MAX, value, no, yes),
        Comparison::MaskedEq { mask, value } => equal(asm, argument, mask, value, yes, no),
        Comparison::Gt(value) => above(asm, argument, Test::Gt, value, yes, no),
        Comparison::Le(value) => above(asm, argument, Test::Gt, value, no, yes),
        Comparison::Ge(value) => above(asm, argument, Test::Ge, value, yes, no),
        Comparison::Lt(value) => above(asm, argument, Test::Ge, value, no, yes),
    }
}

/// Where the two halves of an argument lie in `seccomp_data`, on a little-endian machine.
fn halves(argument: u8) -> Result<(u32, u32)> {
    ensure!(argument < 6, "a system call has no argument {argument}: they are 0 to 5");
    let start = offset_of!(seccomp_data, args) + usize::from(argument) * size_of::<u64>();
    Ok((start as u32, start as u32 + 4))
}

/// `argument & mask == value`
fn equal(
    asm: &mut Assembler,
    argument: u8,
    mask: u64,
    value: u64,
    yes: Label,
    no: Label,
) -> Result<Label> {
    let (low, high) = halves(argument)?;
    let low = half_equal(asm, low, mask as u32, value as u32, yes, no);
    Ok(half_equal(asm, high, (mask >> 32) as u32, (value >> 32) as u32, low, no))
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

/// Code for `argument > value` or, with `Test::Ge`, `argument >= value`; seccomp(2).
///
/// The high halves decide: a greater one is `yes`, a smaller one `no`. Where they are equal, `test`
/// on the low halves decides. Written from its end to its beginning, as the assembler wants it.
///
/// Exercise 9.4
fn above(
    asm: &mut Assembler,
    argument: u8,
    test: Test,
    value: u64,
    yes: Label,
    no: Label,
) -> Result<Label> {
    let (low, high) = halves(argument)?;
    let last = asm.branch(test, value as u32, yes, no);
    let low = asm.load(low, last);
    let equal = asm.branch(Test::Eq, (value >> 32) as u32, low, no);
    let greater = asm.branch(Test::Gt, (value >> 32) as u32, yes, equal);
    Ok(asm.load(high, greater))
}
