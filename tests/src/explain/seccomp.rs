//! seccomp(2): who may install a filter, and what makes a filter no program at all.

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::failed::Failed;
use super::{Cause, Look, found, memory};

pub fn causes(errno: Errno) -> Vec<Cause> {
    match errno {
        Errno::EACCES => vec![("neither no_new_privs nor CAP_SYS_ADMIN", may_gain)],
        Errno::EINVAL => vec![
            ("an empty or too long program", length),
            ("an instruction that BPF has not, or seccomp forbids", bad_instruction),
            ("a jump out of the program", jump),
            ("a program that does not end with a return", no_return),
            ("unknown flags or another mode before", mode),
        ],
        Errno::EFAULT => vec![("the program is not at that address", nowhere)],
        _ => vec![],
    }
}

/// The running kernel's version.
pub fn kernel() -> Result<(u32, u32)> {
    let text =
        std::fs::read_to_string("/proc/sys/kernel/osrelease").context("no kernel version")?;
    let mut numbers = text.split(|it: char| !it.is_ascii_digit()).map(str::parse);
    let mut next = || numbers.next()?.ok();
    next().zip(next()).context("no kernel version")
}

fn may_gain(failed: &Failed) -> Look {
    let status = failed.status()?;
    if status.no_new_privs == Some(true) || failed.has("CAP_SYS_ADMIN")? {
        return Ok(None);
    }
    found(
        "NoNewPrivs is 0 in /proc/PID/status, and the process has no CAP_SYS_ADMIN: a filter \
         could then mislead a set-user-ID program",
        "call prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) before the filter is installed",
    )
}

/// struct sock_fprog: a length of 16 bits, and the address of the instructions.
fn program(failed: &Failed) -> Result<(usize, u64)> {
    let fields = memory::words(failed.pid, failed.arguments[2], 2)?;
    Ok(((fields[0] & 0xffff) as usize, fields[1]))
}

/// One instruction: code, jt, jf, k.
struct Instruction {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

fn instructions(failed: &Failed) -> Result<Vec<Instruction>> {
    let (length, address) = program(failed)?;
    let words = memory::words(failed.pid, address, length.min(4096))?;
    let each = |word: &u64| {
        let bytes = word.to_ne_bytes();
        Instruction {
            code: u16::from_ne_bytes([bytes[0], bytes[1]]),
            jt: bytes[2],
            jf: bytes[3],
            k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        }
    };
    Ok(words.iter().map(each).collect())
}

fn length(failed: &Failed) -> Look {
    let (length, _) = program(failed)?;
    match length {
        0 => found(
            "the program has no instruction (len is 0)",
            "set len to the number of instructions",
        ),
        4097.. => found(
            format!("the program has {length} instructions, and 4096 are the most"),
            "shorten it",
        ),
        _ => Ok(None),
    }
}

/// seccomp_check_filter in kernel/seccomp.c: the classic instructions that it takes.
const ALLOWED: [u16; 39] = [
    0x20, 0x80, 0x81, 0x06, 0x16, 0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x54, 0x5c, 0x44,
    0x4c, 0x64, 0x6c, 0x74, 0x7c, 0x84, 0xa4, 0xac, 0x00, 0x01, 0x07, 0x87, 0x60, 0x61, 0x02, 0x03,
    0x05, 0x15, 0x1d, 0x35, 0x3d, 0x25, 0x2d,
];
const JUMP_IF_SET: [u16; 2] = [0x45, 0x4d];
const LOAD: u16 = 0x20;
const RETURNS: [u16; 2] = [0x06, 0x16];
/// struct seccomp_data.
const DATA: u32 = 64;

fn bad_instruction(failed: &Failed) -> Look {
    for (at, it) in instructions(failed)?.iter().enumerate() {
        if !ALLOWED.contains(&it.code) && !JUMP_IF_SET.contains(&it.code) {
            return found(
                format!(
                    "instruction {at} has code {:#x}, which a seccomp filter may not have",
                    it.code
                ),
                "load with BPF_LD | BPF_W | BPF_ABS, jump with BPF_JMP, end with BPF_RET",
            );
        }
        if it.code == LOAD && (it.k >= DATA || it.k % 4 != 0) {
            return found(
                format!(
                    "instruction {at} loads from offset {}: struct seccomp_data has {DATA} bytes, \
                     read four at a time",
                    it.k
                ),
                "use the offsets of nr (0), arch (4), instruction_pointer (8), args (16, 24, …)",
            );
        }
    }
    Ok(None)
}

fn jump(failed: &Failed) -> Look {
    let all = instructions(failed)?;
    for (at, it) in all.iter().enumerate() {
        let far = match it.code {
            0x05 => it.k as usize,
            code if code & 0x07 == 0x05 => it.jt.max(it.jf).into(),
            _ => continue,
        };
        if at + 1 + far >= all.len() {
            return found(
                format!(
                    "instruction {at} jumps {far} further, beyond the last of {} instructions",
                    all.len()
                ),
                "count from the instruction after the jump",
            );
        }
    }
    Ok(None)
}

fn no_return(failed: &Failed) -> Look {
    let all = instructions(failed)?;
    match all.last() {
        Some(last) if !RETURNS.contains(&last.code) => found(
            format!(
                "the last of {} instructions has code {:#x}: it is no return",
                all.len(),
                last.code
            ),
            "end with BPF_RET, so that every path gives an answer",
        ),
        _ => Ok(None),
    }
}

fn mode(failed: &Failed) -> Look {
    if failed.status()?.seccomp == Some(1) {
        return found(
            "the process is in strict mode already (Seccomp: 1)",
            "install the filter instead",
        );
    }
    let flags = if failed.call.name() == "seccomp" { failed.arguments[1] } else { 0 };
    match flags & !0x3f {
        0 => Ok(None),
        unknown => {
            found(format!("the flags {unknown:#x} are not known"), "see SECCOMP_FILTER_FLAG_*")
        }
    }
}

fn nowhere(failed: &Failed) -> Look {
    match program(failed) {
        Ok((length, address)) => match memory::words(failed.pid, address, length) {
            Ok(_) => Ok(None),
            Err(_) => found(
                format!(
                    "struct sock_fprog says {length} instructions at {address:#x}, and nothing is \
                     there"
                ),
                "pass the address of the first instruction, and keep the program in memory",
            ),
        },
        Err(_) => found(
            format!("there is no struct sock_fprog at {:#x}", failed.arguments[2]),
            "pass the address of a struct sock_fprog",
        ),
    }
}
