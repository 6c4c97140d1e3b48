//! The files of cgroups and of /proc: one value is one write, one question is one read.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use chroot::HintExt;
use nix::errno::Errno;
use nix::libc;

const ABSENT: &str = "this kernel does not have that file";

const OUT_OF_RANGE: &str = "no such number here: /sys/devices/system/cpu/online lists the processors, \
    /sys/devices/system/node/online the memory nodes";

/// Writes `value` to a file of a cgroup in one write(2), without making the file.
pub fn put(file: &Path, value: &str) -> Result<()> {
    put_into(&mut open(file, libc::O_WRONLY)?, file, value)
}

pub fn put_into(open: &mut File, file: &Path, value: &str) -> Result<()> {
    let act = || format!("cannot write {value:?} to {}", file.display());
    open.write_all(value.as_bytes()).with_context(act).hint(Errno::ERANGE, OUT_OF_RANGE)
}

/// Reads a file of /proc or of a cgroup with one read(2): they are small, and their size is not
/// known beforehand.
pub fn text(path: &Path) -> Result<String> {
    let mut text = String::with_capacity(8192);
    let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

pub fn open(path: &Path, flags: i32) -> Result<File> {
    let mut options = OpenOptions::new();
    match flags {
        libc::O_WRONLY => options.write(true),
        _ => options.read(true).custom_flags(flags),
    };
    let file = options.open(path).with_context(|| format!("cannot open {}", path.display()));
    // memory.swap.max, on v1 memory.memsw.limit_in_bytes
    let swap = path.file_name().is_some_and(|name| name.to_string_lossy().contains("sw"));
    let hint = if swap { "swap is not counted here: boot with swapaccount=1" } else { ABSENT };
    file.hint(Errno::ENOENT, hint)
}
