//! A system call that failed, and the process that made it, which stands still: its arguments, and
//! what /proc says of it. Whatever cannot be read is an error, and never a guess.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd::Pid;
use syscalls::Sysno;

use super::memory;
use crate::mountinfo::{self, Mount};
use crate::status::Status;

/// A filesystem context, fsopen(2): what the process has told it so far.
#[derive(Clone, Debug, Default)]
pub struct FsContext {
    pub fstype: String,
    pub options: Vec<(String, String)>,
}

/// One failure.
pub struct Failed {
    pub pid: Pid,
    pub call: Sysno,
    pub arguments: [u64; 6],
    pub errno: Errno,
    /// The filesystem context that it is about.
    pub context: Option<FsContext>,
    /// What the kernel has said meanwhile: in the context's log, and in its own.
    pub log: Vec<String>,
}

impl Failed {
    /// An argument as the C library's `int`.
    pub fn int(&self, index: usize) -> i32 {
        self.arguments[index] as i32
    }

    /// The string that an argument points to.
    pub fn text(&self, index: usize) -> Result<String> {
        memory::string(self.pid, self.arguments[index])
    }

    /// The same; empty for a null pointer.
    pub fn text_or_none(&self, index: usize) -> Result<String> {
        if self.arguments[index] == 0 { Ok(String::new()) } else { self.text(index) }
    }

    /// The bytes that are written: a buffer and its length.
    pub fn written(&self) -> Result<String> {
        let length = (self.arguments[2] as usize).min(4096);
        let bytes = memory::bytes(self.pid, self.arguments[1], length)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A file of /proc/PID.
    pub fn proc(&self, file: &str) -> PathBuf {
        format!("/proc/{}/{file}", self.pid).into()
    }

    /// What it holds.
    pub fn proc_text(&self, file: &str) -> Result<String> {
        let path = self.proc(file);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Where a link of /proc/PID leads: `fd/3`, `ns/mnt`.
    pub fn link(&self, file: &str) -> Result<String> {
        let path = self.proc(file);
        let target = fs::read_link(&path);
        let target = target.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(target.display().to_string())
    }

    /// The name of what a descriptor is open on.
    pub fn open_on(&self, descriptor: i32) -> Result<String> {
        self.link(&format!("fd/{descriptor}"))
    }

    pub fn status(&self) -> Result<Status> {
        Status::parse(&self.proc_text("status")?).context("its status is cut short")
    }

    /// What is mounted, as far as its root directory lets it see.
    pub fn mounts(&self) -> Result<Vec<Mount>> {
        Ok(mountinfo::parse(&self.proc_text("mountinfo")?))
    }

    /// What its LSM calls it; `unconfined` where there is none.
    pub fn label(&self) -> String {
        let label = self.proc_text("attr/current").unwrap_or_default();
        let label = label.trim_end_matches(['\n', '\0']);
        if label.is_empty() { "unconfined".into() } else { label.into() }
    }

    /// A line of the kernel's that contains all of `words`.
    pub fn said(&self, words: &[&str]) -> Option<&String> {
        self.log.iter().find(|line| words.iter().all(|word| line.contains(word)))
    }
}

/// A setting of the kernel, `kernel/unprivileged_userns_clone`; `None` if it has none of that name.
pub fn sysctl(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
    Some(text.trim().to_string())
}

/// Contexts by process and descriptor.
pub type Contexts = BTreeMap<(i32, i32), FsContext>;
