//! What /proc says of one process, read from outside. Every field is an answer or the reason for none;
//! only a process that is not there at all is an error.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use nix::libc;
use serde::{Deserialize, Serialize};

use crate::{
    Answer,
    cgroup::{self, Membership},
    idmap::{self, Range},
    interface,
    mountinfo::{self, Mount},
    namespace::{self, Namespaces},
    status::Status,
};

/// A process as the reader's namespaces show it; proc(5) names the files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    pub command: Answer<Vec<String>>,
    pub environment: Answer<Vec<String>>,
    pub status: Answer<Status>,
    pub namespaces: Namespaces,
    pub root: Answer<Directory>,
    pub cwd: Answer<Directory>,
    pub executable: Answer<String>,
    pub mounts: Answer<Vec<Mount>>,
    pub uid_map: Answer<Vec<Range>>,
    pub gid_map: Answer<Vec<Range>>,
    /// `allow` or `deny`; user_namespaces(7).
    pub setgroups: Answer<String>,
    pub cgroups: Answer<Vec<Membership>>,
    /// Resource limits (rlimits), name to soft limit, as getrlimit(2) counts.
    pub limits: Answer<BTreeMap<String, String>>,
    pub descriptors: Answer<Vec<Descriptor>>,
    /// Names only: addresses are for the process itself to tell (`Probe`).
    pub interfaces: Answer<Vec<String>>,
    /// What the security module calls it; an AppArmor profile, an SELinux context.
    pub label: Answer<String>,
    /// How far the clocks of its time namespace are ahead, clock to seconds; time_namespaces(7).
    pub clocks: Answer<BTreeMap<String, i64>>,
}

/// An open file descriptor and what it leads to: a path, `pipe:[…]`, `socket:[…]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Descriptor {
    pub number: i32,
    pub target: String,
}

/// A directory: its name may say anything, its device and inode say which it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    pub path: String,
    /// `major:minor`
    pub device: String,
    pub inode: u64,
}

impl Directory {
    /// The directory that `path` leads to, links of /proc included; `name` is what it is called.
    pub fn read(path: &Path, name: String) -> io::Result<Directory> {
        let status = fs::metadata(path)?;
        let device = status.dev();
        Ok(Directory {
            path: name,
            device: format!("{}:{}", libc::major(device), libc::minor(device)),
            inode: status.ino(),
        })
    }

    /// Whether both are the same directory of the same file system.
    pub fn is(&self, other: &Directory) -> bool {
        (&self.device, self.inode) == (&other.device, other.inode)
    }
}

impl Process {
    /// Reads /proc/PID. An error means that there is no such process (or no /proc).
    pub fn read(pid: i32) -> io::Result<Process> {
        Process::from(&format!("/proc/{pid}"))
    }

    /// Reads the calling process: what others are compared with. Its descriptors include those
    /// of this very reading.
    pub fn own() -> io::Result<Process> {
        Process::from("/proc/self")
    }

    fn from(path: &str) -> io::Result<Process> {
        let source = Source::open(path)?;
        Ok(Process {
            pid: source.pid()?,
            command: source.strings("cmdline"),
            environment: source.strings("environ"),
            status: source.parsed("status", Status::parse),
            namespaces: namespace::read(&source.path("ns")),
            root: source.directory("root"),
            cwd: source.directory("cwd"),
            executable: source.link("exe").into(),
            mounts: source.text("mountinfo").map(|t| mountinfo::parse(&t)),
            uid_map: source.text("uid_map").map(|t| idmap::parse(&t)),
            gid_map: source.text("gid_map").map(|t| idmap::parse(&t)),
            setgroups: source.line("setgroups"),
            cgroups: source.text("cgroup").map(|t| cgroups(&t)),
            limits: source.text("limits").map(|t| limits(&t)),
            descriptors: source.descriptors().into(),
            interfaces: source.text("net/dev").map(|t| interface::names(&t)),
            label: source.line("attr/current"),
            clocks: source.text("timens_offsets").map(|t| offsets(&t)),
        })
    }
}

/// /proc/PID held open: when the process ends, reads fail with ESRCH rather than tell of another
/// process that was given the same number.
struct Source(File);

impl Source {
    fn open(path: &str) -> io::Result<Source> {
        let flags = libc::O_DIRECTORY | libc::O_PATH;
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags).open(path).map(Source)
    }

    fn path(&self, file: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{file}", self.0.as_raw_fd()).into()
    }

    /// The number that the reader's PID namespace gives the process: the name of its directory.
    fn pid(&self) -> io::Result<i32> {
        let stat = fs::read_to_string(self.path("stat"))?;
        let first = stat.split(' ').next().and_then(|word| word.parse().ok());
        first.ok_or_else(|| io::Error::other("not a process"))
    }

    fn text(&self, file: &str) -> Answer<String> {
        let bytes = fs::read(self.path(file));
        bytes.map(|b| String::from_utf8_lossy(&b).into_owned()).into()
    }

    fn line(&self, file: &str) -> Answer<String> {
        self.text(file).map(|t| t.trim_end_matches(['\n', '\0']).to_string())
    }

    /// A file of strings that each end with a zero byte.
    fn strings(&self, file: &str) -> Answer<Vec<String>> {
        let split = |text: String| text.split_terminator('\0').map(str::to_string).collect();
        self.text(file).map(split)
    }

    fn parsed<T>(&self, file: &str, parse: fn(&str) -> Option<T>) -> Answer<T> {
        match self.text(file).map(|text| parse(&text)) {
            Answer::Is(Some(value)) => Answer::Is(value),
            Answer::Is(None) => Answer::unreadable(format!("{file} is cut short")),
            Answer::Unreadable { unreadable } => Answer::Unreadable { unreadable },
        }
    }

    fn link(&self, file: &str) -> io::Result<String> {
        Ok(fs::read_link(self.path(file))?.display().to_string())
    }

    fn directory(&self, file: &str) -> Answer<Directory> {
        let read = |name| Directory::read(&self.path(file), name);
        self.link(file).and_then(read).into()
    }

    fn descriptors(&self) -> io::Result<Vec<Descriptor>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(self.path("fd"))? {
            let path = entry?.path();
            let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            // One closed since the listing is not there any more.
            if let (Some(number), Ok(target)) = (number, fs::read_link(&path)) {
                let target = target.display().to_string();
                all.push(Descriptor { number, target });
            }
        }
        all.sort();
        Ok(all)
    }
}

/// Memberships with their limits, looked up through the reader's own mounts.
fn cgroups(text: &str) -> Vec<Membership> {
    let own = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = mountinfo::parse(&own);
    let mut all = cgroup::parse(text);
    all.iter_mut().for_each(|one| one.read_limits(&mounts));
    all
}

/// /proc/PID/limits: names of several words, then soft limit, hard limit, unit.
fn limits(text: &str) -> BTreeMap<String, String> {
    let row = |line: &str| {
        let (name, rest) = line.split_at_checked(26)?;
        let soft = rest.split_whitespace().next()?;
        Some((name.trim().to_string(), soft.to_string()))
    };
    text.lines().skip(1).filter_map(row).collect()
}

/// /proc/PID/timens_offsets: clock, seconds, nanoseconds.
fn offsets(text: &str) -> BTreeMap<String, i64> {
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_string(), words.next()?.parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_read_whole() {
        let own = Process::own().unwrap();
        assert_eq!(own.pid, std::process::id() as i32);
        assert_eq!(own.namespaces.len(), 8);
        assert!(own.namespaces["uts"].get().unwrap().starts_with("uts:["));
        assert!(own.mounts.get().is_some_and(|mounts| !mounts.is_empty()));
        assert!(own.limits.get().unwrap().contains_key("Max open files"));
        let json = serde_json::to_string(&own).unwrap();
        assert_eq!(serde_json::from_str::<Process>(&json).unwrap(), own);
    }

    #[test]
    fn a_process_that_ended_is_an_error_and_half_of_one_is_answers() {
        let mut child = std::process::Command::new("sleep").arg("9").spawn().unwrap();
        let source = Source::open(&format!("/proc/{}", child.id())).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(Process::read(child.id() as i32).is_err());
        assert_eq!(source.text("status").get(), None);
    }
}
