//! How each wall is told: two answers of the kernel, the process's and the host's, side by side.

use super::Whose::{self, Host, Own, Unknown};
use crate::{
    Answer, Process,
    cgroup::{self, Membership},
    idmap::Range,
    mountinfo,
    process::Directory,
    status::Status,
};

/// Whose, and the evidence in a few words.
type Verdict = (Whose, String);

/// The root directory, as device and inode: its name says `/` to everyone.
pub fn files(process: &Process, host: &Process) -> Verdict {
    let name = |root: &Directory| format!("root {} inode {}", root.device, root.inode);
    match both(&process.root, &host.root) {
        Ok((ours, theirs)) if ours.is(theirs) => (Host, name(ours)),
        Ok((ours, theirs)) => (Own, differ(&name(ours), name(theirs).trim_start_matches("root "))),
        Err(unknown) => unknown,
    }
}

pub fn host_name(process: &Process, host: &Process) -> Verdict {
    namespace("uts", process, host)
}

pub fn processes(process: &Process, host: &Process) -> Verdict {
    namespace("pid", process, host)
}

pub fn mounts(process: &Process, host: &Process) -> Verdict {
    namespace("mnt", process, host)
}

pub fn network(process: &Process, host: &Process) -> Verdict {
    let (whose, evidence) = namespace("net", process, host);
    let names = match process.interfaces.get() {
        Some(names) if whose == Own => format!(", {}", names.join(" ")),
        _ => String::new(),
    };
    (whose, evidence + &names)
}

/// A user namespace of its own; the map says who its root is outside.
pub fn users(process: &Process, host: &Process) -> Verdict {
    let (whose, evidence) = namespace("user", process, host);
    match process.uid_map.get() {
        Some(map) if whose == Own => (Own, format!("{evidence}, {}", map_text(map))),
        _ => (whose, evidence),
    }
}

/// Who is root inside, seen from outside?
fn map_text(map: &[Range]) -> String {
    match map.iter().find(|range| range.inside == 0) {
        Some(root) => format!("uid 0 is {} outside", root.outside),
        None => "no uid 0".to_string(),
    }
}

/// A cgroup that the host is not in, with a limit set or a cgroup namespace around it.
pub fn resources(process: &Process, host: &Process) -> Verdict {
    let (ours, theirs) = match both(&process.cgroups, &host.cgroups) {
        Ok(pair) => pair,
        Err(unknown) => return unknown,
    };
    let shared = |one: &Membership| theirs.iter().any(|other| one.is(other));
    let moved: Vec<&Membership> = ours.iter().filter(|one| !shared(one)).collect();
    let limits = moved.iter().flat_map(|one| &one.limits);
    let limits: Vec<String> = limits.map(|(f, value)| cgroup::describe(f, value)).collect();
    let name = moved.first().and_then(|one| one.path.rsplit('/').next());
    match name {
        None => (Host, "the host's cgroups".to_string()),
        Some(name) if !limits.is_empty() => (Own, format!("cgroup {name}: {}", limits.join(", "))),
        Some(name) if namespace("cgroup", process, host).0 == Own => {
            (Own, format!("cgroup {name}"))
        }
        Some(name) => (Host, format!("cgroup {name} without limits")),
    }
}

/// A root that is an overlay which the host does not have: changes go to its upper layer.
pub fn layers(process: &Process, host: &Process) -> Verdict {
    let (ours, theirs) = match both(&process.mounts, &host.mounts) {
        Ok((ours, theirs)) => (mountinfo::root(ours), mountinfo::root(theirs)),
        Err(unknown) => return unknown,
    };
    let Some(ours) = ours else {
        return (Host, "/ is not a mount".to_string());
    };
    let same = theirs.is_some_and(|theirs| theirs.device == ours.device);
    match ours.layers() {
        Some(lower) if !same => (Own, format!("/ is overlay, lower layers: {lower}")),
        _ => (Host, format!("/ is {}", ours.fstype)),
    }
}

/// Filters that the host is not under.
pub fn system_calls(process: &Process, host: &Process) -> Verdict {
    let text = |status: &Status| match (status.seccomp, status.seccomp_filters) {
        (Some(mode), Some(filters)) => format!("Seccomp: {mode}, filters: {filters}"),
        (Some(mode), None) => format!("Seccomp: {mode}"),
        (None, _) => "Seccomp: not in this kernel".to_string(),
    };
    match both(&process.status, &host.status) {
        Ok((ours, theirs)) => {
            let more =
                (ours.seccomp, ours.seccomp_filters) > (theirs.seccomp, theirs.seccomp_filters);
            (if more { Own } else { Host }, text(ours))
        }
        Err(unknown) => unknown,
    }
}

pub fn ipc(process: &Process, host: &Process) -> Verdict {
    namespace("ipc", process, host)
}

/// Kernels before 5.6, and User-Mode Linux, have one set of clocks for all.
pub fn clocks(process: &Process, host: &Process) -> Verdict {
    match &host.namespaces["time"] {
        Answer::Unreadable { unreadable } if unreadable.ends_with("(ENOENT)") => {
            (Host, "this kernel has no time namespaces".to_string())
        }
        _ => namespace("time", process, host),
    }
}

/// The bounding set: what not even an execve of a setuid program can give back.
pub fn capabilities(process: &Process, host: &Process) -> Verdict {
    match both(&process.status, &host.status) {
        Ok((ours, theirs)) => {
            let (ours, theirs) = (ours.capabilities.bounding, theirs.capabilities.bounding);
            match theirs.without(ours).is_empty() {
                true => (Host, format!("CapBnd: {} capabilities", ours.len())),
                false => (Own, format!("CapBnd: {} of {}", ours.len(), theirs.len())),
            }
        }
        Err(unknown) => unknown,
    }
}

/// The label that a security module gives; without a module that has labels there is none to read.
pub fn policy(process: &Process, host: &Process) -> Verdict {
    match (&process.label, &host.label) {
        (Answer::Is(ours), Answer::Is(theirs)) if ours != theirs => (Own, differ(ours, theirs)),
        (Answer::Is(ours), _) if !ours.is_empty() => (Host, ours.clone()),
        _ => (Host, "no label".to_string()),
    }
}

/// Whether the process is in a namespace of its own: the texts of the links say it.
fn namespace(kind: &str, process: &Process, host: &Process) -> Verdict {
    match both(&process.namespaces[kind], &host.namespaces[kind]) {
        Ok((ours, theirs)) if ours == theirs => (Host, ours.clone()),
        Ok((ours, theirs)) => (Own, differ(ours, theirs)),
        Err(unknown) => unknown,
    }
}

fn differ(ours: &str, theirs: &str) -> String {
    format!("{ours} ≠ {theirs}")
}

/// Both answers, or the verdict that one is missing.
fn both<'a, T>(ours: &'a Answer<T>, theirs: &'a Answer<T>) -> Result<(&'a T, &'a T), Verdict> {
    match (ours, theirs) {
        (Answer::Is(ours), Answer::Is(theirs)) => Ok((ours, theirs)),
        (Answer::Unreadable { unreadable }, _) => Err((Unknown, unreadable.clone())),
        (_, Answer::Unreadable { unreadable }) => {
            Err((Unknown, format!("the host's is unreadable: {unreadable}")))
        }
    }
}
