//! What the host says of itself: sysctls, release files, mounts. It decides nothing, for that the
//! mechanisms are tried; it tells why one fails and what mends it. Read below any root directory,
//! so that the words of other machines can be tested.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use cgroups::Base;
use evidence::mountinfo;
use serde::{Deserialize, Serialize};

/// The words of one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// `6.8.0-31-generic`
    pub kernel: String,
    pub architecture: String,
    /// `Ubuntu 24.04 LTS`
    pub distribution: String,
    /// Itself and what it is like: `ubuntu`, `debian`.
    pub family: Vec<String>,
    /// The Windows Subsystem for Linux: 1 or 2.
    pub wsl: Option<u32>,
    /// Who contains us: `docker`, `podman`, `kubernetes`, `lxc`, `container`.
    pub container: Option<String>,
    /// Our root directory is not that of our mount namespace, as far as we can see.
    pub chroot: bool,
    /// What is mounted over parts of /proc and /sys, so that no other can be mounted.
    pub masked: Vec<String>,
    /// Those of [`SYSCTLS`] that this kernel has.
    pub sysctls: BTreeMap<String, u64>,
    pub apparmor: bool,
    /// `enforcing` or `permissive`, if it is there at all.
    pub selinux: Option<String>,
    pub cgroups: Cgroups,
    pub systemd: bool,
    /// In bytes.
    pub memory_available: u64,
}

/// Which hierarchies we see, and where we are in v2.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cgroups {
    pub layout: Layout,
    /// The directory of our own cgroup in v2.
    pub own: Option<PathBuf>,
    /// The controllers that v2 has for our own cgroup.
    pub controllers: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    #[default]
    None,
    V1,
    V2,
    /// v1 with its controllers, and a v2 beside it.
    Hybrid,
}

/// What may forbid namespaces, below /proc/sys.
const SYSCTLS: [&str; 9] = [
    "kernel/apparmor_restrict_unprivileged_userns",
    "kernel/unprivileged_userns_clone",
    "user/max_user_namespaces",
    "user/max_mnt_namespaces",
    "user/max_pid_namespaces",
    "user/max_net_namespaces",
    "user/max_uts_namespaces",
    "user/max_ipc_namespaces",
    "user/max_cgroup_namespaces",
];

/// Directories that are there to be mounted on: the kernel does not mind, nor what is below them.
const EMPTY_FOR_EVER: [&str; 12] = [
    "/proc/sys/fs/binfmt_misc",
    "/proc/fs/nfsd",
    "/sys/fs/cgroup",
    "/sys/fs/bpf",
    "/sys/fs/pstore",
    "/sys/fs/fuse/connections",
    "/sys/fs/selinux",
    "/sys/kernel/security",
    "/sys/kernel/debug",
    "/sys/kernel/tracing",
    "/sys/kernel/config",
    "/sys/firmware/efi/efivars",
];

impl Host {
    /// Reads the files below `root`.
    pub fn read(root: &Path) -> Host {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let (mounts, cgroup) = (text("proc/self/mountinfo"), text("proc/self/cgroup"));
        let release = text("etc/os-release");
        let kernel = text("proc/sys/kernel/osrelease").trim().to_string();
        Host {
            architecture: std::env::consts::ARCH.into(),
            distribution: field(&release, "PRETTY_NAME").unwrap_or("an unknown Linux".into()),
            family: family(&release),
            wsl: wsl(&text("proc/version")),
            container: container(root, &text("proc/1/cgroup"), &text("proc/1/environ"), &mounts),
            chroot: is_chroot(root, &mounts),
            masked: masked(&mounts),
            sysctls: sysctls(root),
            apparmor: text("sys/module/apparmor/parameters/enabled").starts_with('Y'),
            selinux: selinux(&text("sys/fs/selinux/enforce")),
            cgroups: cgroups(root, &cgroup, &mounts),
            systemd: root.join("run/systemd/system").exists(),
            memory_available: available(&text("proc/meminfo")),
            kernel,
        }
    }

    /// A sysctl by the last part of its name.
    pub fn sysctl(&self, name: &str) -> Option<u64> {
        self.sysctls.iter().find(|(path, _)| path.ends_with(name)).map(|(_, value)| *value)
    }

    /// Whether it is this distribution, or like it.
    pub fn is_like(&self, names: &[&str]) -> bool {
        self.family.iter().any(|one| names.contains(&one.as_str()))
    }

    /// `Linux 6.8.0, Ubuntu 24.04 LTS, x86_64`, and what is special.
    pub fn describe(&self) -> String {
        let mut words = vec![
            format!("Linux {}", self.kernel),
            self.distribution.clone(),
            self.architecture.clone(),
        ];
        words.extend(self.wsl.map(|version| format!("WSL{version}")));
        words.extend(self.container.as_ref().map(|name| format!("in a container ({name})")));
        words.extend(self.chroot.then(|| "in a chroot".into()));
        words.push(match self.cgroups.layout {
            Layout::None => "no cgroups to be seen".into(),
            Layout::V1 => "cgroup v1".into(),
            Layout::V2 => "cgroup v2".into(),
            Layout::Hybrid => "cgroup v1 and v2".into(),
        });
        words.extend(self.selinux.as_ref().map(|mode| format!("SELinux {mode}")));
        words.extend(self.apparmor.then(|| "AppArmor".into()));
        words.join(", ")
    }
}

/// os-release(5): `KEY=value` or `KEY="value"`.
fn field(release: &str, key: &str) -> Option<String> {
    let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(line.trim_matches(['"', '\'']).to_string())
}

fn family(release: &str) -> Vec<String> {
    let words = ["ID", "ID_LIKE"].map(|key| field(release, key).unwrap_or_default());
    words.join(" ").split_whitespace().map(String::from).collect()
}

/// Microsoft's kernels say so in /proc/version; the first WSL had none and imitated 4.4.
fn wsl(version: &str) -> Option<u32> {
    let ours = version.to_lowercase().contains("microsoft");
    ours.then(|| if version.to_lowercase().contains("wsl2") { 2 } else { 1 })
}

/// What container engines leave for their containers to see.
fn container(root: &Path, cgroup: &str, environment: &str, mounts: &str) -> Option<String> {
    let named = environment.split('\0').find_map(|pair| pair.strip_prefix("container="));
    let systemd = fs::read_to_string(root.join("run/systemd/container")).ok();
    let named = named.map(String::from).or(systemd.map(|name| name.trim().to_string()));
    if let Some(name) = named.filter(|name| !name.is_empty() && name != "wsl") {
        return Some(name);
    }
    let paths =
        [("docker", "docker"), ("libpod", "podman"), ("kubepods", "kubernetes"), ("lxc", "lxc")];
    let files = [(".dockerenv", "docker"), ("run/.containerenv", "podman")];
    let path = paths.iter().find(|(part, _)| cgroup.contains(part));
    let file = files.iter().find(|(file, _)| root.join(file).exists() && !is_machine(root, mounts));
    path.or(file).map(|(_, name)| name.to_string())
}

/// A whole disk for a root directory: a machine, though its files may have been a container's. So
/// is the lab, which has its host's files.
fn is_machine(root: &Path, mounts: &str) -> bool {
    let mounts = mountinfo::parse(mounts);
    let disk = mountinfo::root(&mounts)
        .is_some_and(|mount| mount.root == "/" && mount.source.starts_with("/dev/"));
    disk || root.join("run/guest/settings").exists()
}

/// A process in a chroot sees no mount on `/`, unless the directory happens to be one; then process
/// 1, if it can be looked at, is somewhere else.
fn is_chroot(root: &Path, mounts: &str) -> bool {
    let status = |path: &str| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(root.join(path)).ok().map(|status| (status.dev(), status.ino()))
    };
    let mounts = mountinfo::parse(mounts);
    let first = status("proc/1/root");
    !mounts.is_empty() && mountinfo::root(&mounts).is_none()
        || first.is_some() && first != status("proc/self/root")
}

/// The kernel compares a new proc or sysfs with those that are there: "VFS: Mount too revealing".
fn masked(mounts: &str) -> Vec<String> {
    let covers = |point: &String| {
        let below = |top: &str| Path::new(point).starts_with(top);
        let inside = ["/proc/", "/sys/"].iter().any(|top| point.starts_with(top));
        inside && !EMPTY_FOR_EVER.iter().any(|top| below(top))
    };
    mountinfo::parse(mounts).into_iter().map(|mount| mount.point).filter(covers).collect()
}

fn sysctls(root: &Path) -> BTreeMap<String, u64> {
    let read = |name: &str| fs::read_to_string(root.join("proc/sys").join(name)).ok();
    let value = |name: &&str| Some((name.to_string(), read(name)?.trim().parse().ok()?));
    SYSCTLS.iter().filter_map(value).collect()
}

fn selinux(enforce: &str) -> Option<String> {
    match enforce.trim() {
        "1" => Some("enforcing".into()),
        "0" => Some("permissive".into()),
        _ => None,
    }
}

/// By step 7's own way of finding them.
fn cgroups(root: &Path, cgroup: &str, mounts: &str) -> Cgroups {
    let base = Base::parse(cgroup, mounts);
    let limits =
        base.v1.iter().any(|one| one.controllers.iter().any(|it| !it.starts_with("name=")));
    let layout = match (&base.v2, limits) {
        (Some(_), true) => Layout::Hybrid,
        (Some(_), false) => Layout::V2,
        (None, true) => Layout::V1,
        (None, false) => Layout::None,
    };
    let own = base.v2.map(|hierarchy| hierarchy.own);
    let list = own.as_ref().and_then(|own| {
        let below = own.strip_prefix("/").unwrap_or(own);
        fs::read_to_string(root.join(below).join("cgroup.controllers")).ok()
    });
    let controllers = list.unwrap_or_default().split_whitespace().map(String::from).collect();
    Cgroups { layout, own, controllers }
}

fn available(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or(0u64) * 1024
}

#[cfg(test)]
pub mod tests;
