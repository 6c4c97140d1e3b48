//! The program against the profile: every call number, and arguments around every edge.

use libc::sock_filter;

use super::interpreter::{NATIVE, run, run_as};
use super::reference::Reference;
use super::{Random, profile, program, rule};
use crate::DEFAULT;

/// More than any call number of today.
const NUMBERS: u32 = 600;

/// Compares verdicts for every number, and for numbers far away.
fn agree(json: &str, tries: usize) {
    let (program, reference) = (program(json), Reference::new(json));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let far = [0x3fff_ffff, 0x4000_0000, 0x4000_0101, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    for call in (0..NUMBERS).chain(far) {
        same(&program, &reference, call, [0; 6]);
        same(&program, &reference, call, [u64::MAX; 6]);
        let edges = reference.edges(call);
        for _ in 0..tries {
            let mut args = [0; 6].map(|_: u64| random.next());
            for (index, edge) in &edges {
                if random.next().is_multiple_of(2) {
                    args[*index] = random.near(*edge);
                }
            }
            same(&program, &reference, call, args);
        }
    }
}

fn same(program: &[sock_filter], reference: &Reference, call: u32, args: [u64; 6]) {
    let (ours, wanted) = (run(program, call, args).word, reference.verdict(call, args));
    assert_eq!(ours, wanted, "call {call} with {args:x?}: {ours:#x}, the profile says {wanted:#x}");
}

#[test]
fn the_default_profile_is_what_is_compiled() {
    agree(DEFAULT, 60);
}

#[test]
fn any_profile_is_what_is_compiled() {
    const ACTIONS: [&str; 8] =
        ["ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "TRAP", "TRACE", "LOG", "NOTIFY"];
    let mut random = Random(42);
    for round in 0..60 {
        let rules: Vec<String> = (0..round).map(|_| random_rule(&mut random, &ACTIONS)).collect();
        let default = ACTIONS[random.next() as usize % ACTIONS.len()];
        agree(&profile(default, &rules), 3);
    }
}

fn random_rule(random: &mut Random, actions: &[&str]) -> String {
    const NAMES: [&str; 12] = [
        "read",
        "write",
        "close",
        "ioctl",
        "socket",
        "clone",
        "mmap",
        "personality",
        "fcntl",
        "openat",
        "clone3",
        "listxattrat",
    ];
    let names: Vec<&str> =
        (0..1 + random.next() % 4).map(|_| NAMES[random.next() as usize % NAMES.len()]).collect();
    let conditions: Vec<String> =
        (0..random.next() % 4).map(|_| random_condition(random)).collect();
    rule(&names, actions[random.next() as usize % actions.len()], &conditions.join(", "))
}

fn random_condition(random: &mut Random) -> String {
    const OPERATORS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    const VALUES: [u64; 8] = [0, 1, 0xff, 0xffff_ffff, 1 << 32, 0x1_0000_0002, 1 << 63, u64::MAX];
    let index = random.next() % 3;
    let operator = OPERATORS[random.next() as usize % OPERATORS.len()];
    let value = VALUES[random.next() as usize % VALUES.len()];
    let two = VALUES[random.next() as usize % VALUES.len()] & value;
    format!(
        r#"{{ "index": {index}, "op": "SCMP_CMP_{operator}", "value": {value}, "valueTwo": {two} }}"#
    )
}

#[test]
fn jumps_reach_further_than_255_instructions() {
    let rules: Vec<String> = syscalls::Sysno::iter()
        .map(|call| {
            let value = call.id() as u64 * 0x1_0000_0001;
            let condition = format!(r#"{{ "index": 1, "op": "SCMP_CMP_GT", "value": {value} }}"#);
            rule(&[call.name()], "ALLOW", &condition)
        })
        .collect();
    let json = profile("ERRNO", &rules);
    assert!(program(&json).len() > 1500);
    agree(&json, 10);
}

#[test]
fn a_long_chain_of_one_call_reaches_its_end() {
    let rules: Vec<String> = (0..300)
        .map(|value| {
            let condition = format!(r#"{{ "index": 0, "op": "SCMP_CMP_EQ", "value": {value} }}"#);
            rule(&["personality"], if value % 2 == 0 { "ALLOW" } else { "TRAP" }, &condition)
        })
        .collect();
    agree(&profile("ERRNO", &rules), 300);
}

#[test]
fn what_the_kernel_would_not_take_is_refused() {
    let condition = r#"{ "index": 0, "op": "SCMP_CMP_EQ", "value": 1 }"#;
    let rules = vec![rule(&["personality"], "ALLOW", condition); 1100];
    let error = crate::compile::compile(&crate::parse(&profile("ERRNO", &rules)).unwrap());
    let text = error.unwrap_err().to_string();
    assert!(text.ends_with("instructions, the kernel takes 4096"), "{text}");
}

#[test]
fn other_architectures_are_killed_whatever_they_call() {
    let program = program(DEFAULT);
    for arch in [0x4000_0003, 0x4000_0028, 0, NATIVE ^ 1, u32::MAX] {
        for call in 0..NUMBERS {
            let word = run_as(&program, arch, call, [0; 6]).word;
            assert_eq!(word, libc::SECCOMP_RET_KILL_PROCESS, "{arch:#x} {call}");
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn x32_numbers_are_unknown_even_to_a_profile_that_allows_all() {
    for json in [DEFAULT, &profile("ALLOW", &[])] {
        let program = program(json);
        for call in (0..NUMBERS).map(|call| call | 0x4000_0000).chain([u32::MAX]) {
            assert_eq!(run(&program, call, [0; 6]).word, super::ENOSYS, "{call:#x}");
        }
    }
}
