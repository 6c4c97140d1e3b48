//! A system call as strace(1) writes it, with the arguments that say what it was about.

use nix::libc;

use super::failed::Failed;
use super::memory;

/// How an argument is to be read.
#[derive(Clone, Copy)]
enum As {
    Text,
    Number,
    Hex,
    Fd,
    /// What is written: a buffer whose length follows.
    Buffer,
    Clone,
    CloneArguments,
    Mount,
}

use As::*;

fn shape(name: &str) -> &'static [As] {
    match name {
        "pivot_root" => &[Text, Text],
        "chroot" | "chdir" | "fsopen" | "open" | "mkdir" | "rmdir" | "creat" => &[Text],
        "mount" => &[Text, Text, Text, Mount, Text],
        "umount2" => &[Text, Hex],
        "move_mount" => &[Fd, Text, Fd, Text, Hex],
        "open_tree" | "mount_setattr" => &[Fd, Text, Hex],
        "fsconfig" => &[Fd, Number, Text, Text],
        "fsmount" => &[Fd, Hex, Hex],
        "unshare" | "clone" => &[Clone],
        "clone3" => &[CloneArguments],
        "setns" => &[Fd, Clone],
        "sethostname" | "setdomainname" => &[Text, Number],
        "execve" => &[Text],
        "write" | "pwrite64" => &[Fd, Buffer],
        "openat" | "mkdirat" | "mknodat" | "unlinkat" | "execveat" => &[Fd, Text],
        "mknod" => &[Text, Hex],
        "fchdir" => &[Fd],
        "seccomp" => &[Number, Hex],
        "prctl" => &[Number, Number],
        "setuid" | "setgid" => &[Number],
        "setreuid" | "setregid" => &[Number, Number],
        "setresuid" | "setresgid" => &[Number, Number, Number],
        "setgroups" => &[Number],
        _ => &[],
    }
}

/// `pivot_root(".", ".")`
pub fn call(failed: &Failed) -> String {
    let name = failed.call.name();
    let all = shape(name).iter().enumerate();
    let all: Vec<String> = all.map(|(index, kind)| argument(failed, index, *kind)).collect();
    format!("{name}({})", all.join(", "))
}

fn argument(failed: &Failed, index: usize, kind: As) -> String {
    let value = failed.arguments[index];
    match kind {
        Text if value == 0 => "NULL".into(),
        Text => failed.text(index).map_or("?".into(), |text| format!("{text:?}")),
        Buffer => failed.written().map_or("?".into(), |text| format!("{text:?}")),
        Number => (value as i32).to_string(),
        Hex if value == 0 => "0".into(),
        Hex => format!("{value:#x}"),
        Fd if value as i32 == libc::AT_FDCWD => "AT_FDCWD".into(),
        Fd => {
            let name = failed.open_on(value as i32).unwrap_or_else(|_| "not open".into());
            format!("{}<{name}>", value as i32)
        }
        Clone => clone_flags(value),
        CloneArguments => {
            let flags = memory::words(failed.pid, value, 1);
            flags.map_or("?".into(), |it| format!("{{flags={}}}", clone_flags(it[0])))
        }
        Mount => names(value, &MOUNT_FLAGS),
    }
}

/// Flags by name; what has none is a number.
pub fn names(flags: u64, table: &[(u64, &str)]) -> String {
    let known = table.iter().filter(|(bit, _)| flags & bit == *bit);
    let mut all: Vec<String> = known.clone().map(|(_, name)| name.to_string()).collect();
    let rest = known.fold(flags, |rest, (bit, _)| rest & !bit);
    if rest != 0 || all.is_empty() {
        all.push(if rest == 0 { "0".into() } else { format!("{rest:#x}") });
    }
    all.join("|")
}

/// The lowest byte is the signal at the end of a process that clone(2) makes.
pub fn clone_flags(flags: u64) -> String {
    names(flags, &CLONE_FLAGS)
}

pub const CLONE_FLAGS: [(u64, &str); 14] = [
    (0x80, "CLONE_NEWTIME"),
    (0x100, "CLONE_VM"),
    (0x200, "CLONE_FS"),
    (0x400, "CLONE_FILES"),
    (0x800, "CLONE_SIGHAND"),
    (0x1000, "CLONE_PIDFD"),
    (0x1_0000, "CLONE_THREAD"),
    (0x2_0000, "CLONE_NEWNS"),
    (0x200_0000, "CLONE_NEWCGROUP"),
    (0x400_0000, "CLONE_NEWUTS"),
    (0x800_0000, "CLONE_NEWIPC"),
    (0x1000_0000, "CLONE_NEWUSER"),
    (0x2000_0000, "CLONE_NEWPID"),
    (0x4000_0000, "CLONE_NEWNET"),
];

const MOUNT_FLAGS: [(u64, &str); 12] = [
    (1, "MS_RDONLY"),
    (2, "MS_NOSUID"),
    (4, "MS_NODEV"),
    (8, "MS_NOEXEC"),
    (0x20, "MS_REMOUNT"),
    (0x1000, "MS_BIND"),
    (0x2000, "MS_MOVE"),
    (0x4000, "MS_REC"),
    (0x2_0000, "MS_UNBINDABLE"),
    (0x4_0000, "MS_PRIVATE"),
    (0x8_0000, "MS_SLAVE"),
    (0x10_0000, "MS_SHARED"),
];
