//! Packages by the names that the distributions have for them.

use super::super::host::Host;

/// What is missing: Debian and Ubuntu, Fedora and its like, Arch, openSUSE, Alpine.
const PACKAGES: [(&str, [&str; 5]); 11] = [
    (
        "a C compiler and the static C library",
        [
            "gcc libc6-dev",
            "gcc glibc-static",
            "gcc glibc",
            "gcc glibc-devel-static",
            "gcc musl-dev",
        ],
    ),
    ("newuidmap", ["uidmap", "shadow-utils", "shadow", "shadow", "shadow-uidmap"]),
    ("pasta", ["passt", "passt", "passt", "passt", "passt"]),
    ("git", ["git"; 5]),
    ("less", ["less"; 5]),
    ("sudo", ["sudo"; 5]),
    ("docker", ["docker.io", "moby-engine", "docker", "docker", "docker"]),
    ("podman", ["podman"; 5]),
    ("bwrap", ["bubblewrap"; 5]),
    ("crun", ["crun"; 5]),
    ("runc", ["runc"; 5]),
];

/// Who it is for; how packages come and go.
const MANAGERS: [(&[&str], &str, &str); 5] = [
    (&["debian", "ubuntu"], "sudo apt install", "sudo apt remove"),
    (&["fedora", "rhel", "centos"], "sudo dnf install", "sudo dnf remove"),
    (&["arch", "manjaro"], "sudo pacman -S", "sudo pacman -R"),
    (&["suse", "opensuse"], "sudo zypper install", "sudo zypper remove"),
    (&["alpine"], "doas apk add", "doas apk del"),
];

/// The command that installs it here.
pub fn install(what: &str, host: &Host) -> String {
    command(what, host, |(_, install, _)| install).unwrap_or(format!("install {what}"))
}

/// The command that removes it again.
pub fn remove(what: &str, host: &Host) -> String {
    command(what, host, |(_, _, remove)| remove).unwrap_or(format!("remove {what}"))
}

type Manager = (&'static [&'static str], &'static str, &'static str);

fn command(what: &str, host: &Host, act: fn(Manager) -> &'static str) -> Option<String> {
    let at = MANAGERS.iter().position(|(names, ..)| host.is_like(names))?;
    let (_, names) = PACKAGES.iter().find(|(thing, _)| *thing == what)?;
    Some(format!("{} {}", act(MANAGERS[at]), names[at]))
}
