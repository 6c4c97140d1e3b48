//! The BPF machine of seccomp filters, as much of it as our assembler uses. It panics where the
//! kernel would refuse the program: seccomp_check_filter() and bpf_check_classic().

use std::mem::{offset_of, size_of};

use libc::{seccomp_data, sock_filter};

/// AUDIT_ARCH of the machine that the tests run on.
pub const NATIVE: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };

/// The word returned, and how many instructions that took.
pub struct Outcome {
    pub word: u32,
    pub steps: usize,
}

/// Runs `program` on a native call.
pub fn run(program: &[sock_filter], call: u32, args: [u64; 6]) -> Outcome {
    run_as(program, NATIVE, call, args)
}

/// Runs `program` on a call of the architecture `arch`.
pub fn run_as(program: &[sock_filter], arch: u32, call: u32, args: [u64; 6]) -> Outcome {
    let data = data(arch, call, args);
    let (mut at, mut accumulator) = (0, 0);
    for steps in 1.. {
        let sock_filter { code, jt, jf, k } = program[at];
        let either = |yes| usize::from(if yes { jt } else { jf });
        at += 1 + match u32::from(code) {
            RETURN => return Outcome { word: k, steps },
            LOAD => {
                accumulator = word(&data, k);
                0
            }
            AND => {
                accumulator &= k;
                0
            }
            JUMP => k as usize,
            EQ => either(accumulator == k),
            GT => either(accumulator > k),
            GE => either(accumulator >= k),
            _ => panic!("no such instruction: {code:#x}"),
        };
    }
    unreachable!()
}

const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const EQ: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const GT: u32 = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
const GE: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;

type Data = [u8; size_of::<seccomp_data>()];

/// struct seccomp_data as bytes.
fn data(arch: u32, call: u32, args: [u64; 6]) -> Data {
    let mut data = [0; size_of::<seccomp_data>()];
    let mut put = |at: usize, bytes: &[u8]| data[at..at + bytes.len()].copy_from_slice(bytes);
    put(offset_of!(seccomp_data, nr), &call.to_ne_bytes());
    put(offset_of!(seccomp_data, arch), &arch.to_ne_bytes());
    for (index, arg) in args.iter().enumerate() {
        put(offset_of!(seccomp_data, args) + 8 * index, &arg.to_ne_bytes());
    }
    data
}

/// Loads are aligned and within the data.
fn word(data: &Data, offset: u32) -> u32 {
    let offset = offset as usize;
    assert_eq!(offset % 4, 0);
    u32::from_ne_bytes(data[offset..offset + 4].try_into().expect("four bytes"))
}
