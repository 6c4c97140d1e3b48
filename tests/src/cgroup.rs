//! The cgroups of a process and the limits set in them, on v2 and v1; see cgroups(7).

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::mountinfo::Mount;

/// One line of /proc/PID/cgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// v1: the controllers, `memory` or `cpu,cpuacct`; empty on v2.
    pub controllers: String,
    /// From the root of the reader's cgroup namespace.
    pub path: String,
    /// File name to content, for every limit that is set (not `max`, not the default).
    pub limits: BTreeMap<String, String>,
}

/// Files that hold a limit, with what they say where none is set.
const LIMITS: [(&str, &[&str]); 15] = [
    ("memory.max", &["max"]),
    ("memory.high", &["max"]),
    ("memory.swap.max", &["max"]),
    ("cpu.max", &["max 100000"]),
    ("cpu.weight", &["100"]),
    ("cpuset.cpus", &[""]),
    ("pids.max", &["max"]),
    ("io.max", &[""]),
    ("cgroup.freeze", &["0"]),
    // v1: "no limit" is the largest number of pages that fits.
    ("memory.limit_in_bytes", &["9223372036854771712"]),
    ("memory.memsw.limit_in_bytes", &["9223372036854771712"]),
    ("cpu.cfs_quota_us", &["-1"]),
    ("cpu.shares", &["1024"]),
    ("blkio.throttle.read_bps_device", &[""]),
    ("blkio.throttle.write_bps_device", &[""]),
];

/// Reads the text of a /proc/PID/cgroup; limits are left empty.
pub fn parse(text: &str) -> Vec<Membership> {
    let line = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some(Membership {
            controllers: parts.next()?.to_string(),
            path: parts.next()?.to_string(),
            limits: BTreeMap::new(),
        })
    };
    text.lines().filter_map(line).collect()
}

impl Membership {
    /// Whether both are the same cgroup, whatever its limits were when they were read.
    pub fn is(&self, other: &Membership) -> bool {
        (&self.controllers, &self.path) == (&other.controllers, &other.path)
    }

    /// The directory of this cgroup, found through the reader's own mounts.
    pub fn directory(&self, mounts: &[Mount]) -> Option<PathBuf> {
        let mount = mounts.iter().find(|mount| self.lives_on(mount))?;
        // A hierarchy of which only a part is mounted starts at that part.
        let below = Path::new(&self.path).strip_prefix(&mount.root);
        Some(Path::new(&mount.point).join(below.ok()?))
    }

    fn lives_on(&self, mount: &Mount) -> bool {
        match self.controllers.as_str() {
            "" => mount.fstype == "cgroup2",
            names => mount.fstype == "cgroup" && names.split(',').all(|name| mount.has(name)),
        }
    }

    /// Fills in the limits that are set in this cgroup itself.
    pub fn read_limits(&mut self, mounts: &[Mount]) {
        let Some(directory) = self.directory(mounts) else {
            return;
        };
        for (file, unset) in LIMITS {
            if let Ok(value) = read(&directory.join(file))
                && !unset.contains(&value.as_str())
            {
                self.limits.insert(file.to_string(), value);
            }
        }
    }
}

/// A cgroup file without its last newline.
fn read(file: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(file)?.trim_end().to_string())
}

/// A limit as people write it: `memory.max 64 MiB`, `cpu.max 50000 100000`.
pub fn describe(file: &str, value: &str) -> String {
    let bytes = value.parse::<u64>().ok().filter(|_| file.starts_with("memory"));
    match bytes {
        Some(bytes) if bytes >= 1 << 20 && bytes % (1 << 20) == 0 => {
            format!("{file} {} MiB", bytes >> 20)
        }
        _ => format!("{file} {}", value.replace('\n', ", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo;

    const MOUNTS: &str = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        41 31 0:38 /user /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn directories_are_found_through_the_mounts() {
        let mounts = mountinfo::parse(MOUNTS);
        let all = parse("2:cpu,cpuacct:/a\n9:name=systemd:/\n0::/user/b:c\n");
        let dirs: Vec<_> = all.iter().map(|m| m.directory(&mounts)).collect();
        assert_eq!(dirs[0], Some("/sys/fs/cgroup/cpu,cpuacct/a".into()));
        assert_eq!(dirs[1], None);
        assert_eq!(dirs[2], Some("/sys/fs/cgroup/unified/b:c".into()));
    }

    #[test]
    fn limits_read_well() {
        assert_eq!(describe("memory.max", "67108864"), "memory.max 64 MiB");
        assert_eq!(describe("pids.max", "64"), "pids.max 64");
    }
}
