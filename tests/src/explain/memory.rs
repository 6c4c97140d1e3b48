//! What stands in the memory of a process, /proc/PID/mem in proc(5): the strings and structures
//! that its system calls point to.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};
use nix::unistd::Pid;

const PAGE: u64 = 4096;

/// `length` bytes from `address` on.
pub fn bytes(pid: Pid, address: u64, length: usize) -> Result<Vec<u8>> {
    let mut buffer = vec![0; length];
    open(pid)?.read_exact_at(&mut buffer, address).context("cannot read its memory")?;
    Ok(buffer)
}

/// The string at `address`, up to its zero byte, and never beyond the page that can be read.
pub fn string(pid: Pid, address: u64) -> Result<String> {
    ensure!(address != 0, "a null pointer");
    let memory = open(pid)?;
    let (mut text, mut at) = (Vec::new(), address);
    while text.len() < 4 * PAGE as usize {
        let mut page = vec![0; (PAGE - at % PAGE) as usize];
        memory.read_exact_at(&mut page, at).context("cannot read its memory")?;
        at += page.len() as u64;
        let end = page.iter().position(|byte| *byte == 0);
        text.extend_from_slice(&page[..end.unwrap_or(page.len())]);
        if end.is_some() {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The numbers of a structure of 64-bit fields, such as `struct clone_args`.
pub fn words(pid: Pid, address: u64, count: usize) -> Result<Vec<u64>> {
    let bytes = bytes(pid, address, count * 8)?;
    Ok(bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect())
}

/// All of it. Fails if it is not ours to read.
pub fn open(pid: Pid) -> Result<File> {
    File::open(format!("/proc/{pid}/mem")).context("cannot read its memory")
}
