//! Each operator by itself, at its edges, in 64 bits; and how conditions and rules combine.

use super::interpreter::run;
use super::{ALLOW, EPERM, errno, profile, program, rule};
use crate::names::number;

/// Below, at and above 2^32 + 5, and what looks like it in one half only.
const LOWER: [u64; 5] = [0, 4, 5, 0xffff_ffff, (1 << 32) + 4];
const SAME: [u64; 1] = [(1 << 32) + 5];
const HIGHER: [u64; 4] = [(1 << 32) + 6, 2 << 32, (1 << 63) + 5, u64::MAX];

/// Whether personality(argument) is allowed by a rule with these conditions.
fn allowed(conditions: &str, args: [u64; 6]) -> bool {
    let program = program(&profile("ERRNO", &[rule(&["personality"], "ALLOW", conditions)]));
    match run(&program, number("personality").unwrap(), args).word {
        ALLOW => true,
        EPERM => false,
        other => panic!("{other:#x}"),
    }
}

fn check(operator: &str, lower: bool, same: bool, higher: bool) {
    let condition =
        format!(r#"{{ "index": 2, "op": "SCMP_CMP_{operator}", "value": 4294967301 }}"#);
    for (values, wanted) in [(&LOWER[..], lower), (&SAME, same), (&HIGHER, higher)] {
        for value in values {
            let args = [9, 9, *value, 9, 9, 9];
            assert_eq!(allowed(&condition, args), wanted, "{value:#x} {operator} 2^32+5");
        }
    }
}

#[test]
fn ne() {
    check("NE", true, false, true);
}

#[test]
fn lt() {
    check("LT", true, false, false);
}

#[test]
fn le() {
    check("LE", true, true, false);
}

#[test]
fn eq() {
    check("EQ", false, true, false);
}

#[test]
fn ge() {
    check("GE", false, true, true);
}

#[test]
fn gt() {
    check("GT", false, false, true);
}

#[test]
fn masked_eq() {
    let condition = |mask: u64, value: u64| {
        format!(
            r#"{{ "index": 5, "op": "SCMP_CMP_MASKED_EQ", "value": {mask}, "valueTwo": {value} }}"#
        )
    };
    for (mask, value, argument, wanted) in [
        (0xffff_ffff, 0x5412, 0x5412, true),
        (0xffff_ffff, 0x5412, 0xdead_beef_0000_5412, true),
        (0xffff_ffff, 0x5412, 0x5413, false),
        (0xffff_ffff, 0x5412, 0x8000_5412, false),
        (0xf0, 0x30, 0x3f, true),
        (0xf0, 0x30, 0x4f, false),
        (0xff << 32, 7 << 32, (7 << 32) + 1234, true),
        (0xff << 32, 7 << 32, 7, false),
        (u64::MAX, 1, 1, true),
        (u64::MAX, 1, (1 << 32) + 1, false),
        (0, 0, u64::MAX, true),
        (0, 1, 1, false),
        (1, 2, 3, false),
    ] {
        let found = allowed(&condition(mask, value), [9, 9, 9, 9, 9, argument]);
        assert_eq!(found, wanted, "{argument:#x} & {mask:#x} == {value:#x}");
    }
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    let both = r#"{ "index": 0, "op": "SCMP_CMP_GE", "value": 10 },
                  { "index": 0, "op": "SCMP_CMP_LE", "value": 20 },
                  { "index": 1, "op": "SCMP_CMP_EQ", "value": 1 }"#;
    for (first, second, wanted) in
        [(10, 1, true), (20, 1, true), (9, 1, false), (21, 1, false), (15, 2, false)]
    {
        assert_eq!(allowed(both, [first, second, 0, 0, 0, 0]), wanted, "{first} {second}");
    }
}

#[test]
fn of_several_rules_the_first_that_matches_wins() {
    let at_least =
        |value: u64| format!(r#"{{ "index": 0, "op": "SCMP_CMP_GE", "value": {value} }}"#);
    let program = program(&profile(
        "ERRNO",
        &[
            rule(&["personality"], "TRAP", &at_least(100)),
            rule(&["personality"], "ALLOW", &at_least(50)),
            rule(&["personality"], "ERRNO", ""),
            rule(&["personality"], "KILL_PROCESS", ""),
        ],
    ));
    for (value, wanted) in [(100, libc::SECCOMP_RET_TRAP), (99, ALLOW), (50, ALLOW), (49, errno(7))]
    {
        let word = run(&program, number("personality").unwrap(), [value; 6]).word;
        assert_eq!(word, wanted, "{value}");
    }
}
