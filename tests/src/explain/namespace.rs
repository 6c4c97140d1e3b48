//! New namespaces, and joining others: clone(2), clone3(2), unshare(2), setns(2).

use std::process::Command;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

use super::failed::{Failed, sysctl};
use super::show::clone_flags;
use super::{Cause, Look, found, memory, rights};

const NEWTIME: u64 = 0x80;

/// Flag, link in /proc/PID/ns, limit in /proc/sys/user.
const KINDS: [(u64, &str, &str); 8] = [
    (libc::CLONE_NEWUSER as u64, "user", "max_user_namespaces"),
    (libc::CLONE_NEWNS as u64, "mnt", "max_mnt_namespaces"),
    (libc::CLONE_NEWPID as u64, "pid", "max_pid_namespaces"),
    (libc::CLONE_NEWNET as u64, "net", "max_net_namespaces"),
    (libc::CLONE_NEWUTS as u64, "uts", "max_uts_namespaces"),
    (libc::CLONE_NEWIPC as u64, "ipc", "max_ipc_namespaces"),
    (libc::CLONE_NEWCGROUP as u64, "cgroup", "max_cgroup_namespaces"),
    (NEWTIME, "time", "max_time_namespaces"),
];

pub fn causes(failed: &Failed) -> Vec<Cause> {
    match failed.errno {
        Errno::EPERM => {
            let all: [Cause; 6] = [
                ("kernel.unprivileged_userns_clone forbids it", sysctl_forbids),
                ("CLONE_NEWUSER in a chroot", in_chroot),
                ("CLONE_NEWUSER by an id that has no name in its own user namespace", unmapped),
                ("no CAP_SYS_ADMIN in the user namespace", no_admin),
                ("no CAP_SYS_ADMIN over the namespace that is joined", no_admin_there),
                ("no CAP_SYS_CHROOT, which joining a mount namespace takes", no_chroot),
            ];
            [&all[..], &rights::REFUSALS].concat()
        }
        Errno::EINVAL => vec![
            ("flags that exclude each other", contradiction),
            ("a process of several threads", threads),
            ("the kernel has no such namespaces", no_kind),
            ("what is joined is a namespace of another kind, or none", other_kind),
            ("the user namespace that is joined is its own", own_user),
            ("the PID namespace that is joined is not below its own", pid_above),
        ],
        Errno::ENOSPC | Errno::EUSERS => vec![
            ("PID or user namespaces are nested too deeply", nested),
            ("a limit of /proc/sys/user is reached", limit),
        ],
        Errno::ENOSYS => vec![("a seccomp filter, or a kernel without the call", no_call)],
        Errno::EBADF => vec![("the descriptor is not open", bad_descriptor)],
        _ => vec![],
    }
}

fn flags(failed: &Failed) -> Result<u64> {
    match failed.call.name() {
        "clone3" => Ok(memory::words(failed.pid, failed.arguments[0], 1)?[0]),
        "setns" => Ok(failed.arguments[1]),
        _ => Ok(failed.arguments[0]),
    }
}

fn new_user(failed: &Failed) -> Result<bool> {
    Ok(failed.call.name() != "setns" && flags(failed)? & libc::CLONE_NEWUSER as u64 != 0)
}

fn sysctl_forbids(failed: &Failed) -> Look {
    let off = sysctl("kernel/unprivileged_userns_clone").is_some_and(|it| it == "0");
    if !new_user(failed)? || !off || failed.has("CAP_SYS_ADMIN")? {
        return Ok(None);
    }
    found(
        "/proc/sys/kernel/unprivileged_userns_clone is 0: only root may make user namespaces here",
        "until the next boot: sudo sysctl kernel.unprivileged_userns_clone=1 (=0 undoes it)",
    )
}

fn in_chroot(failed: &Failed) -> Look {
    let root = failed.link("root")?;
    if !new_user(failed)? || (root == "/" && failed.root()?.is_mount_point()?) {
        return Ok(None);
    }
    found(
        format!(
            "the process's root is {root}, not the root of its mount namespace: it was changed by \
                 chroot, and from there nobody gets a user namespace"
        ),
        "make the user namespace before chroot, or use pivot_root instead of chroot",
    )
}

fn unmapped(failed: &Failed) -> Look {
    if !new_user(failed)? || failed.in_our_user_namespace()? {
        return Ok(None);
    }
    let (status, uids) = (failed.status()?, crate::idmap::parse(&failed.proc_text("uid_map")?));
    let gids = crate::idmap::parse(&failed.proc_text("gid_map")?);
    let (uid, gid) = (status.uids[1], status.gids[1]);
    let within = |map: &[crate::idmap::Range], id: u32| {
        map.iter().any(|it| {
            id >= it.outside && u64::from(id) < u64::from(it.outside) + u64::from(it.count)
        })
    };
    let (which, id) = match (within(&uids, uid), within(&gids, gid)) {
        (false, _) => ("uid_map", uid),
        (_, false) => ("gid_map", gid),
        _ => return Ok(None),
    };
    found(
        format!(
            "the process is in a user namespace whose {which} does not name its own id {id} ({})",
            if uids.is_empty() { "it was never written" } else { "it has other ids" }
        ),
        "write uid_map and gid_map of the first user namespace before making one within it",
    )
}

fn no_admin(failed: &Failed) -> Look {
    if failed.call.name() == "setns" || new_user(failed)? {
        return Ok(None);
    }
    Ok(rights::lacks_in_own(failed, "CAP_SYS_ADMIN")?.map(|mut it| {
        it.reason = format!("a new namespace needs CAP_SYS_ADMIN, and {}", it.reason);
        it
    }))
}

/// What a descriptor of setns is: `net`.
fn kind_joined(failed: &Failed) -> Result<String> {
    let name = failed.open_on(failed.int(0))?;
    Ok(name.split_once(":[").map_or(name.clone(), |(kind, _)| kind.to_string()))
}

fn no_admin_there(failed: &Failed) -> Look {
    if failed.call.name() != "setns" {
        return Ok(None);
    }
    if let Some(it) = rights::lacks_in_own(failed, "CAP_SYS_ADMIN")? {
        return Ok(Some(it));
    }
    if failed.in_our_user_namespace()? {
        return Ok(None);
    }
    let (what, own) = (failed.open_on(failed.int(0))?, failed.link("ns/user")?);
    found(
        format!(
            "the process has its capabilities in {own}, and {what} belongs to another user \
                 namespace"
        ),
        "join the user namespace that owns it first, setns with CLONE_NEWUSER",
    )
}

fn no_chroot(failed: &Failed) -> Look {
    if failed.call.name() != "setns" || kind_joined(failed)? != "mnt" {
        return Ok(None);
    }
    rights::lacks_in_own(failed, "CAP_SYS_CHROOT")
}

/// What copy_process and check_unshare_flags refuse: one flag, and what it does not go with.
const EXCLUDE: [(u64, u64); 7] = [
    (libc::CLONE_NEWNS as u64, libc::CLONE_FS as u64),
    (libc::CLONE_NEWUSER as u64, libc::CLONE_FS as u64),
    (libc::CLONE_NEWUSER as u64, libc::CLONE_THREAD as u64),
    (libc::CLONE_NEWPID as u64, libc::CLONE_THREAD as u64),
    (libc::CLONE_NEWIPC as u64, libc::CLONE_SYSVSEM as u64),
    (NEWTIME, libc::CLONE_VM as u64),
    (libc::CLONE_PIDFD as u64, libc::CLONE_DETACHED as u64),
];

const REQUIRE: [(u64, u64); 2] = [
    (libc::CLONE_THREAD as u64, libc::CLONE_SIGHAND as u64),
    (libc::CLONE_SIGHAND as u64, libc::CLONE_VM as u64),
];

fn contradiction(failed: &Failed) -> Look {
    let (flags, name) = (flags(failed)?, failed.call.name());
    if !name.starts_with("clone") {
        return Ok(None);
    }
    for (one, other) in EXCLUDE {
        if flags & one != 0 && flags & other != 0 {
            let (one, other) = (clone_flags(one), clone_flags(other));
            return found(
                format!(
                    "{one} and {other} exclude each other: one asks for a thing of its own, the \
                         other to share it"
                ),
                format!("leave out {other}"),
            );
        }
    }
    for (one, other) in REQUIRE {
        if flags & one != 0 && flags & other == 0 {
            let (one, other) = (clone_flags(one), clone_flags(other));
            return found(format!("{one} is asked for without {other}"), format!("add {other}"));
        }
    }
    if name == "clone3" { clone3_fields(failed, flags) } else { Ok(None) }
}

/// struct clone_args: flags pidfd child_tid parent_tid exit_signal stack stack_size …
fn clone3_fields(failed: &Failed, flags: u64) -> Look {
    let size = failed.arguments[1];
    if size < 64 {
        return found(
            format!(
                "the size of struct clone_args is said to be {size}; the first version has 64 bytes"
            ),
            "pass size_of::<clone_args>() as the second argument",
        );
    }
    let fields = memory::words(failed.pid, failed.arguments[0], 7)?;
    let (signal, stack, stack_size) = (fields[4], fields[5], fields[6]);
    let byte = flags & 0xff & !NEWTIME;
    match () {
        () if byte != 0 => found(
            format!(
                "the lowest byte of flags is {byte:#x}: for clone it was the exit signal, clone3 \
                     has a field exit_signal for it"
            ),
            "put SIGCHLD into exit_signal and leave it out of flags",
        ),
        () if signal > 64 => {
            found(format!("exit_signal is {signal}, which is no signal"), "SIGCHLD")
        }
        () if (stack == 0) != (stack_size == 0) => found(
            format!(
                "stack is {stack:#x} and stack_size {stack_size}: both must be given, or neither"
            ),
            "set both to 0 to go on with a copy of the stack, as fork does",
        ),
        () => Ok(None),
    }
}

fn threads(failed: &Failed) -> Look {
    let name = failed.call.name();
    let count = failed.status()?.threads.context("its threads are not counted")?;
    let flags = match name {
        "unshare" => flags(failed)?,
        "setns" if ["user", "mnt", "time"].contains(&&kind_joined(failed)?[..]) => u64::MAX,
        _ => return Ok(None),
    };
    let alone =
        (libc::CLONE_NEWUSER | libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD) as u64;
    if count < 2 || flags & alone == 0 {
        return Ok(None);
    }
    found(
        format!(
            "the process has {count} threads (Threads in /proc/PID/status), and this is for one of \
                 a single thread"
        ),
        "do it before the first thread is started, or in a child made by fork",
    )
}

fn no_kind(failed: &Failed) -> Look {
    let flags = flags(failed)?;
    let missing = |(flag, link, _): &&(u64, &str, &str)| {
        flags & flag != 0 && !std::path::Path::new("/proc/self/ns").join(link).exists()
    };
    let missing: Vec<_> = KINDS.iter().filter(missing).collect();
    let Some((flag, link, _)) = missing.first() else { return Ok(None) };
    found(
        format!("this kernel has no {link} namespaces: there is no /proc/self/ns/{link}"),
        format!("leave out {}, or use a kernel that is built with them", clone_flags(*flag)),
    )
}

fn other_kind(failed: &Failed) -> Look {
    if failed.call.name() != "setns" {
        return Ok(None);
    }
    let (kind, flags) = (kind_joined(failed)?, flags(failed)?);
    let Some((flag, ..)) = KINDS.iter().find(|(_, link, _)| *link == kind) else {
        if kind.contains("pidfd") && flags != 0 {
            return Ok(None);
        }
        return found(
            format!("descriptor {} is open on {kind}, which is no namespace", failed.int(0)),
            "open a file of /proc/PID/ns, or pass a pidfd and the kinds",
        );
    };
    if flags == 0 || flags == *flag {
        return Ok(None);
    }
    found(
        format!("the descriptor is a {kind} namespace, and {} is asked for", clone_flags(flags)),
        format!("pass {}, or 0 for any kind", clone_flags(*flag)),
    )
}

fn own_user(failed: &Failed) -> Look {
    if failed.call.name() != "setns" || kind_joined(failed)? != "user" {
        return Ok(None);
    }
    let (there, own) = (failed.open_on(failed.int(0))?, failed.link("ns/user")?);
    if there != own {
        return Ok(None);
    }
    found(
        format!(
            "{own} is the process's own user namespace: nobody enters that again, or capabilities \
                 that were dropped would come back"
        ),
        "leave out the user namespace where it is the same",
    )
}

fn pid_above(failed: &Failed) -> Look {
    if failed.call.name() != "setns" || kind_joined(failed)? != "pid" {
        return Ok(None);
    }
    found(
        format!(
            "{} is neither the process's own PID namespace nor below it",
            failed.open_on(failed.int(0))?
        ),
        "a process goes down into PID namespaces, and never up",
    )
}

/// Both kinds nest 32 deep.
const DEPTH: usize = 32;

fn nested(failed: &Failed) -> Look {
    let flags = flags(failed)?;
    let users = failed.depth()?;
    let pids = failed.status()?.ns_pids.len();
    let fix = "32 levels are all that there is: nest fewer";
    if flags & libc::CLONE_NEWUSER as u64 != 0 && users >= DEPTH {
        return found(format!("the process is {users} user namespaces below ours already"), fix);
    }
    if flags & libc::CLONE_NEWPID as u64 != 0 && pids >= DEPTH {
        return found(
            format!("the process is in {pids} PID namespaces already (NSpid in its status)"),
            fix,
        );
    }
    Ok(None)
}

/// The limits count in the process's user namespace, and in all above.
fn limit(failed: &Failed) -> Look {
    let flags = flags(failed)?;
    let asked = KINDS.iter().filter(|(flag, ..)| flags & flag != 0);
    let mut limits: Vec<(String, u64)> = Vec::new();
    for (_, _, name) in asked {
        let text = in_user_namespace(failed, name)?;
        limits.push((name.to_string(), text.trim().parse().context("it is no number")?));
    }
    limits.sort_by_key(|(_, value)| *value);
    let (name, value) = limits.first().context("no namespace is asked for")?;
    let others = limits.len() - 1;
    let which = match (value, others) {
        (0, _) => {
            format!("/proc/sys/user/{name} is 0 in the process's user namespace: none may be made")
        }
        (_, 0) => format!(
            "/proc/sys/user/{name} is {value} in the process's user namespace, and as many \
                           exist already (or a limit of a namespace above is reached)"
        ),
        _ => format!(
            "one of the limits in /proc/sys/user is reached; the smallest is {name}, {value}"
        ),
    };
    found(which, format!("end what holds namespaces, or raise it: sudo sysctl user.{name}=NUMBER"))
}

/// Who reads the file sees the values of his own user namespace: so the reader enters it.
fn in_user_namespace(failed: &Failed, name: &str) -> Result<String> {
    let path = format!("/proc/sys/user/{name}");
    if failed.in_our_user_namespace()? {
        return sysctl(&format!("user/{name}")).with_context(|| format!("cannot read {path}"));
    }
    let namespace = std::fs::File::open(failed.proc("ns/user"))?;
    let mut cat = Command::new("cat");
    let enter = move || Ok(nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWUSER)?);
    // SAFETY: between fork and exec, one system call.
    unsafe { std::os::unix::process::CommandExt::pre_exec(&mut cat, enter) };
    let output = cat.arg(&path).output().with_context(|| format!("cannot read {path} in there"))?;
    anyhow::ensure!(output.status.success(), "cannot read {path} in its user namespace");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn no_call(failed: &Failed) -> Look {
    let status = failed.status()?;
    let name = failed.call.name();
    let (major, minor) = super::seccomp::kernel()?;
    let since = if name == "clone3" { (5, 3) } else { (2, 6) };
    if (major, minor) < since {
        return found(
            format!("Linux {major}.{minor} has no {name}: it came with {}.{}", since.0, since.1),
            "use clone",
        );
    }
    anyhow::ensure!(
        status.seccomp == Some(2),
        "no seccomp filter is there, and the kernel has {name}"
    );
    found(
        format!(
            "Linux {major}.{minor} has {name}, and the process is under a seccomp filter (Seccomp: \
             2 in its status): that answers ENOSYS, as an outer container's does so that flags can \
             be filtered in clone"
        ),
        "use clone or unshare where clone3 answers ENOSYS, or run under another profile",
    )
}

fn bad_descriptor(failed: &Failed) -> Look {
    if failed.call.name() == "setns" {
        return match failed.open_on(failed.int(0)) {
            Ok(_) => Ok(None),
            Err(_) => found(format!("descriptor {} is not open", failed.int(0)), "open it first"),
        };
    }
    let fields = memory::words(failed.pid, failed.arguments[0], 11)?;
    let cgroup = fields[10];
    found(
        format!(
            "CLONE_INTO_CGROUP names descriptor {cgroup}: {}",
            failed.open_on(cgroup as i32).unwrap_or("it is not open".into())
        ),
        "open the directory of a cgroup (v2) and pass that descriptor",
    )
}
