//! From rules to a BPF program. The kernel runs a new filter once for every call number, and then
//! on many a call, so the number is looked up by a binary search over ranges with one verdict.

use std::mem::offset_of;

use anyhow::{Result, ensure};
use libc::{seccomp_data, sock_filter};

use crate::assemble::{Assembler, Label, Test};
use crate::compare;
use crate::rules::{Action, Rule, Rules};

/// AUDIT_ARCH_*: the ELF machine with two flags, linux/audit.h.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = libc::EM_X86_64 as u32 | AUDIT_64BIT_LITTLE_ENDIAN;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = libc::EM_AARCH64 as u32 | AUDIT_64BIT_LITTLE_ENDIAN;
const AUDIT_64BIT_LITTLE_ENDIAN: u32 = 0xc000_0000;

/// `__X32_SYSCALL_BIT`: on x86_64 the numbers from here on are a second table, x32.
const X32: Option<u32> = if cfg!(target_arch = "x86_64") { Some(0x4000_0000) } else { None };

const ENOSYS: Action = Action::Errno(libc::ENOSYS as u16);

/// The program for `rules`; an error if it is longer than the kernel takes (BPF_MAXINSNS).
///
/// It runs on the `seccomp_data` of seccomp(2). A call of another architecture kills the process,
/// because its numbers mean other calls. Of all others the number goes to `dispatch`, over the
/// `ranges` of the rules. The assembler wants all this from its end to its beginning.
///
/// Exercise 9.2
pub fn compile(rules: &Rules) -> Result<Vec<sock_filter>> {
    let mut compiler = Compiler::default();
    let dispatch = compiler.dispatch(&ranges(rules))?;
    let native = compiler.assembler.load(offset_of!(seccomp_data, nr) as u32, dispatch);
    let foreign = compiler.assembler.ret(Action::KillProcess.word());
    let check = compiler.assembler.branch(Test::Eq, ARCHITECTURE, native, foreign);
    let entry = compiler.assembler.load(offset_of!(seccomp_data, arch) as u32, check);
    let program = compiler.assembler.finish(entry);
    let (length, most) = (program.len(), libc::BPF_MAXINSNS as usize);
    ensure!(length <= most, "the filter has {length} instructions, the kernel takes {most}");
    Ok(program)
}

/// The call numbers from `start` to the next range's start have one verdict.
struct Range<'a> {
    start: u32,
    verdict: Verdict<'a>,
}

/// The first of `tried` whose conditions hold decides, else `otherwise`.
#[derive(Clone)]
struct Verdict<'a> {
    tried: Vec<&'a Rule>,
    otherwise: Action,
}

impl<'a> Verdict<'a> {
    fn always(otherwise: Action) -> Verdict<'a> {
        Verdict { tried: Vec::new(), otherwise }
    }

    /// Of one call's rules, those up to the first without conditions.
    fn of(rules: &[&'a Rule], default: Action) -> Verdict<'a> {
        let last = rules.iter().position(|rule| rule.conditions.is_empty());
        let otherwise = last.map_or(default, |at| rules[at].action);
        Verdict { tried: rules[..last.unwrap_or(rules.len())].to_vec(), otherwise }
    }
}

impl PartialEq for Verdict<'_> {
    /// Equal for whatever arguments; the rules may speak of different calls.
    fn eq(&self, other: &Self) -> bool {
        let same = |(a, b): (&&Rule, &&Rule)| a.action == b.action && a.conditions == b.conditions;
        self.otherwise == other.otherwise
            && self.tried.len() == other.tried.len()
            && self.tried.iter().zip(&other.tried).all(same)
    }
}

/// All 32-bit numbers, cut where the verdict changes.
///
/// x32 numbers give ENOSYS. So do those above the highest that a rule names, unless the default
/// lets calls through: they came after the profile, and a program that reads ENOSYS uses an
/// older call instead.
fn ranges(rules: &Rules) -> Vec<Range<'_>> {
    let mut sorted: Vec<&Rule> = rules.rules.iter().collect();
    sorted.sort_by_key(|rule| rule.call);
    let mut ranges = Vec::with_capacity(128);
    let mut next = 0;
    for group in sorted.chunk_by(|a, b| a.call == b.call) {
        let call = group[0].call;
        if next < call {
            extend(&mut ranges, next, Verdict::always(rules.default));
        }
        extend(&mut ranges, call, Verdict::of(group, rules.default));
        next = call + 1;
    }
    let newer = if rules.default.lets_through() { rules.default } else { ENOSYS };
    extend(&mut ranges, next, Verdict::always(newer));
    if let Some(x32) = X32 {
        extend(&mut ranges, x32, Verdict::always(ENOSYS));
    }
    ranges
}

fn extend<'a>(ranges: &mut Vec<Range<'a>>, start: u32, verdict: Verdict<'a>) {
    if ranges.last().is_none_or(|last| last.verdict != verdict) {
        ranges.push(Range { start, verdict });
    }
}

#[derive(Default)]
struct Compiler<'a> {
    assembler: Assembler,
    /// Verdicts on arguments that have code already.
    known: Vec<(Verdict<'a>, Label)>,
}

impl<'a> Compiler<'a> {
    /// Code that goes to the verdict of the range that the accumulator, a call number, is in.
    ///
    /// A binary search: one range is its `verdict`; more are cut in the middle, and the first
    /// number of the higher half is what the accumulator is compared with, seccomp(2). One number
    /// with the same verdict on both sides needs one comparison only.
    ///
    /// Exercise 9.3
    fn dispatch(&mut self, ranges: &[Range<'a>]) -> Result<Label> {
        match ranges {
            [only] => self.verdict(&only.verdict),
            [around, one, rest]
                if rest.start == one.start + 1 && around.verdict == rest.verdict =>
            {
                let (yes, no) = (self.verdict(&one.verdict)?, self.verdict(&around.verdict)?);
                Ok(self.assembler.branch(Test::Eq, one.start, yes, no))
            }
            _ => {
                let (low, high) = ranges.split_at(ranges.len() / 2);
                let (no, yes) = (self.dispatch(low)?, self.dispatch(high)?);
                Ok(self.assembler.branch(Test::Ge, high[0].start, yes, no))
            }
        }
    }

    fn verdict(&mut self, verdict: &Verdict<'a>) -> Result<Label> {
        if verdict.tried.is_empty() {
            return Ok(self.assembler.ret(verdict.otherwise.word()));
        }
        if let Some((_, label)) = self.known.iter().find(|(known, _)| known == verdict) {
            return Ok(*label);
        }
        let label = self.arguments(verdict)?;
        self.known.push((verdict.clone(), label));
        Ok(label)
    }

    /// The rules of one call, last first as the assembler wants it.
    fn arguments(&mut self, verdict: &Verdict<'a>) -> Result<Label> {
        let mut otherwise = self.assembler.ret(verdict.otherwise.word());
        for rule in verdict.tried.iter().rev() {
            let matched = self.assembler.ret(rule.action.word());
            otherwise = rule.conditions.iter().rev().try_fold(matched, |yes, condition| {
                compare::condition(&mut self.assembler, condition, yes, otherwise)
            })?;
        }
        Ok(otherwise)
    }
}
