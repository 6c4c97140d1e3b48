//! From a trial that failed and the host's words to advice. Every piece of it is: the reason, the
//! command that mends it, the command that undoes that.

pub mod packages;

use serde::{Deserialize, Serialize};

use super::{
    host::{Host, Layout},
    side::Side,
};
use packages::{install, remove};

/// Why, and what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    pub reason: String,
    pub fix: String,
    pub undo: String,
}

const NOTHING: &str = "nothing is to be undone";
const RUSTUP: &str = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh";
const ANEW: &str = "start it anew without";
const ANOTHER: &str = "take another machine: scripts/machines/README.md, or `cargo workshop lab`";

fn advice(reason: impl Into<String>, fix: impl Into<String>, undo: impl Into<String>) -> Advice {
    Advice { reason: reason.into(), fix: fix.into(), undo: undo.into() }
}

/// What to do about the trial `name`, which failed with this reason and perhaps a hint.
pub fn advise(name: &str, side: Side, failed: (&str, Option<&str>), host: &Host) -> Advice {
    let (reason, hint) = failed;
    match name {
        "architecture" | "disk" | "memory" | "cargo" | "static-program" => {
            building(name, reason, host)
        }
        "git" | "pager" | "sudo" | "apt" | "lab-kernel" => tool(name, reason, host),
        "range" => range(reason, host),
        "pasta" => pasta(reason, host),
        "registry" => advice(
            reason,
            "a network, or https_proxy=http://HOST:PORT; without: cargo workshop run 14 -- import FILE",
            NOTHING,
        ),
        _ if name.starts_with("overlay") && reason.contains("(ENODEV)") => module("overlay"),
        "idmapped-mount" if reason.contains("(EINVAL)") => advice(
            "this file system cannot show files as other owners'",
            "put ROOT on ext4, xfs or btrfs (or on a tmpfs, since Linux 6.3)",
            "rm -r it there",
        ),
        "overlay-layers" if reason.contains("(EINVAL)") => advice(
            "Linux before 6.8 takes all layers in one option",
            "at most 70 layers, or a newer kernel",
            NOTHING,
        ),
        "overlay-whiteout" if reason.contains("(EIO)") => advice(
            "Linux before 6.6 has no attributes of users on a tmpfs",
            "cargo workshop run 8 -- --upper DIR …, with DIR on a disk",
            "rm -r DIR",
        ),
        "veth" if reason.contains("(EOPNOTSUPP)") => module("veth"),
        _ if is_cgroup(name) => limits(reason, hint, host),
        _ => rights(side, reason, hint, host),
    }
}

fn is_cgroup(name: &str) -> bool {
    name.ends_with("-limit") || matches!(name, "cgroup-kill" | "program-7")
}

fn building(name: &str, reason: &str, host: &Host) -> Advice {
    match name {
        "architecture" => advice(reason, ANOTHER, NOTHING),
        "disk" => advice(
            reason,
            "make room, or set CARGO_TARGET_DIR to a larger disk",
            "unset CARGO_TARGET_DIR",
        ),
        "memory" => advice(reason, "export CARGO_BUILD_JOBS=1", "unset CARGO_BUILD_JOBS"),
        _ if reason.contains("too old") => {
            advice(reason, "rustup update stable", "rustup default VERSION, with the one of before")
        }
        _ if reason.contains("libc.a") || reason.contains("linker") => {
            package("a C compiler and the static C library", reason, host)
        }
        _ => advice(reason, RUSTUP, "rustup self uninstall"),
    }
}

fn tool(name: &str, reason: &str, host: &Host) -> Advice {
    match name {
        "git" => package("git", reason, host),
        "sudo" if reason.contains("PATH") => by_root(package("sudo", reason, host)),
        "pager" => package("less", reason, host),
        "sudo" => advice(
            reason,
            "as root: usermod --append --groups sudo USER (wheel on Fedora); log in again",
            "as root: gpasswd --delete USER sudo",
        ),
        "lab-kernel" if reason.contains("x86_64") => advice(reason, ANOTHER, NOTHING),
        "lab-kernel" if reason.contains("(EACCES)") => advice(
            reason,
            "cargo workshop lab true, once, as the user to whom the checkout belongs",
            "cargo workshop clean, as the same",
        ),
        _ => advice(
            reason,
            "put user-mode-linux_6.1um4+b13_amd64.deb of Debian at .workshop/lab/user-mode-linux.deb",
            "cargo workshop clean",
        ),
    }
}

/// A package, by the name that this distribution has for it.
fn package(what: &str, reason: &str, host: &Host) -> Advice {
    advice(reason, install(what, host), remove(what, host))
}

/// Where there is no sudo yet.
fn by_root(with_sudo: Advice) -> Advice {
    let as_root = |command: &str| format!("as root: {}", command.trim_start_matches("sudo "));
    advice(&with_sudo.reason, as_root(&with_sudo.fix), as_root(&with_sudo.undo))
}

fn range(reason: &str, host: &Host) -> Advice {
    if reason.contains("not installed") {
        return package("newuidmap", reason, host);
    }
    let ids = |act: &str| {
        format!("sudo usermod --{act}-subuids 100000-165535 --{act}-subgids 100000-165535 $USER")
    };
    advice(reason, ids("add"), ids("del"))
}

fn pasta(reason: &str, host: &Host) -> Advice {
    match reason {
        text if text.contains("not installed") => package("pasta", reason, host),
        text if text.contains("(ENOENT)") => module("tun"),
        text if text.contains("/dev/net/tun") => {
            advice(reason, "sudo chmod 666 /dev/net/tun", "sudo chmod 600 /dev/net/tun")
        }
        _ => rights(Side::User, reason, None, host),
    }
}

fn module(name: &str) -> Advice {
    let reason = format!("the kernel's module {name} is not loaded");
    advice(reason, format!("sudo modprobe {name}"), format!("sudo modprobe --remove {name}"))
}

/// Limits: step 7's own hint says what it looked for; the host says how that comes about here.
fn limits(reason: &str, hint: Option<&str>, host: &Host) -> Advice {
    if host.wsl == Some(2) && host.cgroups.layout != Layout::V2 {
        return advice(
            "WSL2 mounts cgroup v1, which is root's alone",
            "in %UserProfile%\\.wslconfig, below [wsl2]: kernelCommandLine = cgroup_no_v1=all; \
             then in Windows: wsl --shutdown",
            "take that line out; wsl --shutdown",
        );
    }
    if host.container.is_some() && host.cgroups.layout == Layout::V2 {
        return nested_limits(reason, host);
    }
    let v1 = matches!(host.cgroups.layout, Layout::V1 | Layout::Hybrid);
    if v1 || hint.is_some_and(|hint| hint.starts_with("cgroup v1")) {
        return advice(
            "cgroup v1 is root's alone",
            "sudo; or, where systemd runs, boot with systemd.unified_cgroup_hierarchy=1 on the \
             kernel's command line",
            "boot without it",
        );
    }
    if host.cgroups.layout == Layout::None {
        let mount = "sudo mount -t cgroup2 none /sys/fs/cgroup";
        return advice("no cgroups are mounted here", mount, "sudo umount /sys/fs/cgroup");
    }
    delegation(reason, hint, host)
}

/// cgroup v2: who may limit is to whom a cgroup with controllers was delegated.
fn delegation(reason: &str, hint: Option<&str>, host: &Host) -> Advice {
    let nothing_ours = "no cgroup that is ours hands controllers down";
    match hint {
        _ if reason.contains("this host has no") => advice(
            "controllers are missing in this kernel, or in what we see of its cgroups",
            "those that are not in /proc/cgroups: boot without cgroup_disable=NAME (on a Raspberry \
             Pi: with cgroup_enable=NAME)",
            "boot as before",
        ),
        Some(hint) if hint.starts_with("get a cgroup") => {
            let command = "systemd-run --user --scope -p Delegate=yes cargo workshop run 7";
            advice(nothing_ours, command, "nothing: the scope ends with its command")
        }
        Some(hint) if host.systemd => {
            advice(reason, hint, "as root: systemctl revert user@.service")
        }
        _ => advice(
            nothing_ours,
            "sudo scripts/machines/cgroups $USER $$",
            "leave this shell; sudo rmdir /sys/fs/cgroup/workshop-of-$USER/shell \
             /sys/fs/cgroup/workshop-of-$USER",
        ),
    }
}

/// In a container the root of what we see holds ourselves, and so hands nothing down.
fn nested_limits(reason: &str, host: &Host) -> Advice {
    let engine = engine(host);
    advice(
        reason,
        format!(
            "start the container with `{engine} run --privileged`, and in it, as root, run \
             scripts/machines/cgroups"
        ),
        "start it anew without --privileged",
    )
}

fn engine(host: &Host) -> &str {
    match host.container.as_deref() {
        Some("podman") => "podman",
        _ => "docker",
    }
}

/// Namespaces and mounts: what on this host says no.
fn rights(side: Side, reason: &str, hint: Option<&str>, host: &Host) -> Advice {
    let refused = ["(EPERM)", "(EACCES)"].iter().any(|errno| reason.contains(errno));
    if host.wsl == Some(1) {
        let fix = "in Windows: wsl --set-version DISTRIBUTION 2";
        return advice("WSL 1 is no Linux kernel", fix, "wsl --set-version DISTRIBUTION 1");
    }
    if let Some(advice) = covered(reason, host).filter(|_| refused) {
        return advice;
    }
    if let Some(advice) = limit_of_kind(reason, host) {
        return advice;
    }
    match host.container {
        Some(_) if refused => contained(side, host),
        _ if side == Side::User && refused => unprivileged(reason, host),
        _ => advice(reason, hint.unwrap_or(ANOTHER), NOTHING),
    }
}

/// `user.max_*_namespaces`: ENOSPC says that one is reached, namespaces(7).
fn limit_of_kind(reason: &str, host: &Host) -> Option<Advice> {
    let none = host.sysctls.iter().find(|(name, value)| name.contains("max_") && **value == 0);
    let (name, _) = none.filter(|_| reason.contains("(ENOSPC)"))?;
    let name = name.replace('/', ".");
    Some(advice(
        format!("{name} is 0: nobody may make one"),
        format!("sudo sysctl {name}=10000"),
        format!("sudo sysctl {name}=0"),
    ))
}

/// A new proc or sysfs must show no more than the one that is there.
fn covered(reason: &str, host: &Host) -> Option<Advice> {
    let (kind, top) = [("proc", "/proc/"), ("sysfs", "/sys/")]
        .into_iter()
        .find(|(kind, _)| reason.contains(&format!("a mount of {kind}")))?;
    let points = host.masked.iter().filter(|point| point.starts_with(top));
    let points: Vec<&str> = points.map(String::as_str).collect();
    if points.is_empty() {
        return None;
    }
    let why = format!(
        "parts of {top} are covered ({}), so the kernel allows no other {kind}: \"VFS: Mount too \
         revealing\"",
        points.join(", ")
    );
    Some(match host.container.as_deref() {
        Some("podman") => advice(why, "podman run --security-opt unmask=ALL …", ANEW),
        Some(_) => advice(why, "docker run --security-opt systempaths=unconfined …", ANEW),
        None => {
            let fix = format!("sudo umount {}", points.join(" "));
            advice(why, fix, "mount them again, as whoever did")
        }
    })
}

fn contained(side: Side, host: &Host) -> Advice {
    let engine = engine(host);
    let reason = match side {
        Side::User => "the container's seccomp filter or AppArmor profile refuses namespaces",
        _ => "root of this container has not all capabilities, CAP_SYS_ADMIN above all",
    };
    let fix = format!("{engine} run --privileged …: see scripts/machines/devcontainer.json");
    advice(reason, fix, "start it anew without --privileged")
}

/// Why an ordinary user gets no user namespace, or no rights in it.
fn unprivileged(reason: &str, host: &Host) -> Advice {
    let sysctl = |name: &str| host.sysctl(name);
    let set = |name: &str, value: u32| format!("sudo sysctl {name}={value}");
    if sysctl("apparmor_restrict_unprivileged_userns") == Some(1) {
        let name = "kernel.apparmor_restrict_unprivileged_userns";
        let why = "AppArmor gives a user namespace of an ordinary user no rights on this host";
        return advice(why, format!("{} (until the next boot)", set(name, 0)), set(name, 1));
    }
    if sysctl("unprivileged_userns_clone") == Some(0) {
        let name = "kernel.unprivileged_userns_clone";
        return advice(
            "only root may make user namespaces on this host",
            set(name, 1),
            set(name, 0),
        );
    }
    if host.chroot {
        let why =
            "the kernel allows no user namespace to a process in a chroot, user_namespaces(7)";
        return advice(why, "leave the chroot: `exit`", NOTHING);
    }
    if host.selinux.as_deref() == Some("enforcing") {
        let fix = "sudo ausearch -m avc -ts recent shows what was denied; sudo setenforce 0";
        return advice(format!("{reason}; SELinux enforces"), fix, "sudo setenforce 1");
    }
    if reason.contains("cannot make a user namespace") || reason.contains("cannot clone") {
        let why = "a chroot, or a filter (seccomp, a security module), keeps us from making user \
                   namespaces, user_namespaces(7)";
        return advice(why, format!("leave it: `exit`; or {ANOTHER}"), NOTHING);
    }
    advice(reason, ANOTHER, NOTHING)
}

#[cfg(test)]
mod tests;
