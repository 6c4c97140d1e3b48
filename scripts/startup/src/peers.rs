//! The tools that people know, set up to isolate as step 9 does: the same namespaces, mounts,
//! maps and system call filter. Those that are not installed are left out, with a word.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::unistd::geteuid;
use serde_json::{Value, json};

/// Files that the peers and the floor need.
pub struct Peers {
    /// The default profile as a BPF program, as seccomp(2) takes it.
    pub filter: PathBuf,
    bundle: PathBuf,
}

impl Peers {
    /// Writes the files to `work`.
    pub fn prepare(work: &Path, root: &Path) -> Result<Peers> {
        let peers = Peers { filter: work.join("filter.bpf"), bundle: work.join("bundle") };
        let program = seccomp::compile::compile(&seccomp::parse(seccomp::DEFAULT)?)?;
        let bytes: Vec<u8> = program.iter().flat_map(instruction).collect();
        fs::write(&peers.filter, bytes).context("cannot write the filter")?;
        fs::create_dir(&peers.bundle).context("cannot make the bundle")?;
        let config = bundle(root)?.to_string();
        fs::write(peers.bundle.join("config.json"), config).context("cannot write the bundle")?;
        Ok(peers)
    }

    /// The command lines of the peers that are installed.
    pub fn commands(&self, root: &Path) -> Vec<(&'static str, Vec<OsString>)> {
        let mut commands = vec![("bwrap", self.bwrap(root))];
        if geteuid().is_root() {
            commands.push(("crun", self.runtime("crun")));
            commands.push(("runc", self.runtime("runc")));
        }
        commands.retain(|(name, _)| installed(name));
        commands
    }

    /// Mount for mount what step 9 has, but for the overlay, which bwrap 0.8 cannot make. Its
    /// --proc and --dev make several of them by themselves.
    fn bwrap(&self, root: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> =
            ["bwrap", "--unshare-all", "--die-with-parent", "--bind"].map(OsString::from).into();
        words.extend([root.into(), "/".into()]);
        let mut flags = String::from("--hostname container --proc /proc --dev /dev");
        flags += " --tmpfs /dev/shm --tmpfs /tmp --ro-bind /sys /sys --seccomp 9";
        for file in ["/proc/interrupts", "/proc/keys", "/proc/timer_list"] {
            flags += &format!(" --ro-bind-try /dev/null {file}");
        }
        for directory in ["/proc/acpi", "/proc/fs", "/sys/firmware"] {
            flags += &format!(" --tmpfs {directory} --remount-ro {directory}");
        }
        for file in ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"] {
            flags += &format!(" --ro-bind-try {file} {file}");
        }
        words.extend(flags.split(' ').map(OsString::from));
        words.push("/bin/true".into());
        words
    }

    fn runtime(&self, name: &str) -> Vec<OsString> {
        vec![name.into(), "run".into(), "-b".into(), self.bundle.clone().into(), "bench-{}".into()]
    }
}

fn installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(name).exists());
    if !found {
        eprintln!("left out: {name} is not installed");
    }
    found
}

fn instruction(filter: &libc::sock_filter) -> [u8; 8] {
    let [a, b] = filter.code.to_ne_bytes();
    let [c, d, e, f] = filter.k.to_ne_bytes();
    [a, b, filter.jt, filter.jf, c, d, e, f]
}

/// An OCI bundle with what step 9 gives a container.
fn bundle(root: &Path) -> Result<Value> {
    let range = json!([{ "containerID": 0, "hostID": 524_288, "size": 65_536 }]);
    let namespaces = ["pid", "mount", "uts", "network", "user", "cgroup"];
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 }, "args": ["/bin/true"], "cwd": "/",
            "env": ["PATH=/usr/bin:/bin"], "noNewPrivileges": true
        },
        "root": { "path": root },
        "hostname": "container",
        "mounts": mounts(),
        "linux": {
            "namespaces": namespaces.map(|kind| json!({ "type": kind })),
            "uidMappings": range, "gidMappings": range,
            "maskedPaths": ["/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys",
                "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                "/proc/sched_debug", "/proc/scsi", "/sys/firmware"],
            "readonlyPaths":
                ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            "seccomp": seccomp_section()?
        }
    }))
}

fn mounts() -> Value {
    let quiet = ["nosuid", "nodev", "noexec"];
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc", "options": quiet },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755"] },
        { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
        { "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": quiet },
        { "destination": "/sys", "type": "sysfs", "source": "sysfs",
            "options": ["nosuid", "nodev", "noexec", "ro"] },
        { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"] }
    ])
}

/// Our default profile in OCI's form: it has no conditions on capabilities or kernels.
fn seccomp_section() -> Result<Value> {
    let mut profile: Value = serde_json::from_str(seccomp::DEFAULT)?;
    let section = profile.as_object_mut().context("the profile is no object")?;
    section.remove("archMap");
    section.remove("comment");
    for rule in section["syscalls"].as_array_mut().into_iter().flatten() {
        let rule = rule.as_object_mut().context("a rule is no object")?;
        rule.retain(|key, _| matches!(key.as_str(), "names" | "action" | "errnoRet" | "args"));
    }
    Ok(profile)
}
