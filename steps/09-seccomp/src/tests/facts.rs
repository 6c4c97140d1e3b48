//! The default profile's verdicts, from Docker's own documentation and profile: a table that
//! was not derived from our file.

use super::interpreter::run;
use super::{ALLOW, ENOSYS, EPERM, program, verdict};
use crate::DEFAULT;
use crate::names::number;

const NONE: [u64; 6] = [0; 6];

#[test]
fn refused_with_eperm() {
    for name in [
        "acct",
        "add_key",
        "bpf",
        "clock_settime",
        "delete_module",
        "fanotify_init",
        "finit_module",
        "fsconfig",
        "fsmount",
        "fsopen",
        "fspick",
        "get_mempolicy",
        "init_module",
        "io_uring_enter",
        "io_uring_register",
        "io_uring_setup",
        "kcmp",
        "kexec_file_load",
        "kexec_load",
        "keyctl",
        "lookup_dcookie",
        "lsm_get_self_attr",
        "mbind",
        "migrate_pages",
        "mount",
        "mount_setattr",
        "move_mount",
        "move_pages",
        "open_by_handle_at",
        "open_tree",
        "perf_event_open",
        "pidfd_getfd",
        "pivot_root",
        "process_madvise",
        "quotactl",
        "reboot",
        "request_key",
        "set_mempolicy",
        "setdomainname",
        "sethostname",
        "setns",
        "settimeofday",
        "swapoff",
        "swapon",
        "syslog",
        "umount2",
        "unshare",
        "userfaultfd",
        "vhangup",
    ] {
        assert_eq!(verdict(name, NONE), EPERM, "{name}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn refused_on_x86_64() {
    for name in ["iopl", "ioperm", "uselib", "ustat", "sysfs", "_sysctl", "create_module"] {
        assert_eq!(verdict(name, NONE), EPERM, "{name}");
    }
    for name in ["arch_prctl", "modify_ldt", "fork", "vfork", "open", "stat"] {
        assert_eq!(verdict(name, NONE), ALLOW, "{name}");
    }
}

#[test]
fn allowed() {
    for name in [
        "chroot",
        "close_range",
        "execve",
        "execveat",
        "exit_group",
        "fchmodat2",
        "futex_waitv",
        "landlock_restrict_self",
        "memfd_secret",
        "mknodat",
        "mseal",
        "newfstatat",
        "openat2",
        "personality",
        "prctl",
        "process_vm_readv",
        "process_vm_writev",
        "ptrace",
        "read",
        "rseq",
        "seccomp",
        "setgroups",
        "setxattrat",
        "statmount",
        "statx",
        "write",
    ] {
        assert_eq!(verdict(name, NONE), ALLOW, "{name}");
    }
}

#[test]
fn clone_makes_processes_and_threads_but_no_namespaces() {
    let first = |flags: i32| [flags as u32 as u64, 0, 0, 0, 0, 0];
    assert_eq!(verdict("clone", first(libc::SIGCHLD)), ALLOW);
    let thread = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SETTLS;
    assert_eq!(verdict("clone", first(thread)), ALLOW);
    for namespace in [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ] {
        assert_eq!(verdict("clone", first(namespace | libc::SIGCHLD)), EPERM, "{namespace:#x}");
    }
    assert_eq!(verdict("clone3", NONE), ENOSYS);
}

#[test]
fn socket_families() {
    for (family, wanted) in [
        (1, ALLOW),
        (2, ALLOW),
        (10, ALLOW),
        (16, ALLOW),
        (17, ALLOW),
        (37, ALLOW),
        (38, EPERM),
        (39, ALLOW),
        (40, EPERM),
        (41, ALLOW),
        (44, ALLOW),
    ] {
        assert_eq!(verdict("socket", [family, 1, 0, 0, 0, 0]), wanted, "{family}");
        let high = family | 0xabcd << 32;
        assert_eq!(verdict("socket", [high, 1, 0, 0, 0, 0]), wanted, "{high:#x}");
    }
}

#[test]
fn personalities() {
    for (persona, wanted) in [
        (0, ALLOW),
        (8, ALLOW),
        (0x20000, ALLOW),
        (0x20008, ALLOW),
        (0xffff_ffff, ALLOW),
        (0x0004_0000, EPERM),
        (1, EPERM),
        (u64::MAX, EPERM),
        (1 << 32, EPERM),
    ] {
        assert_eq!(verdict("personality", [persona; 6]), wanted, "{persona:#x}");
    }
}

#[test]
fn ioctl_does_not_type_into_the_terminal() {
    for (command, wanted) in [
        (libc::TIOCSTI, EPERM),
        (libc::TIOCLINUX, EPERM),
        (libc::TIOCGWINSZ, ALLOW),
        (libc::FIONREAD, ALLOW),
        (libc::TIOCSCTTY, ALLOW),
        (libc::TCGETS, ALLOW),
    ] {
        for high in [0, 1 << 32, 0xdead_beef << 32, 1 << 63] {
            assert_eq!(verdict("ioctl", [0, command | high, 0, 0, 0, 0]), wanted, "{command:#x}");
        }
    }
}

#[test]
fn newer_than_the_profile_is_unknown_and_a_gap_is_refused() {
    let (program, newest) = (program(DEFAULT), number("removexattrat").unwrap());
    assert_eq!(run(&program, newest, NONE).word, ALLOW);
    for call in [newest + 1, newest + 2, 1000, 0x3fff_ffff] {
        assert_eq!(run(&program, call, NONE).word, ENOSYS, "{call}");
    }
    let gap = if cfg!(target_arch = "x86_64") { 400 } else { 300 };
    assert_eq!(run(&program, gap, NONE).word, EPERM);
}
