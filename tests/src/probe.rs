//! What a process can say of itself: a `Probe` is what the program `probe` prints from inside a
//! container. System calls come first and /proc second: the first three steps have none.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
};

use nix::{
    dir::Dir,
    fcntl::OFlag,
    libc,
    sys::{
        stat::{Mode, fstat},
        statfs::{PROC_SUPER_MAGIC, fstatfs},
        utsname::uname,
    },
    unistd,
};
use rustix::thread;
use serde::{Deserialize, Serialize};

use crate::{
    Answer, Process,
    calls::{self, Calls},
    capability::{Capabilities, Set},
    interface::{self, Interface, Route},
    process::{Descriptor, Directory},
};

/// A process as it sees itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub pid: i32,
    pub parent: i32,
    pub session: i32,
    /// Real, effective, saved.
    pub uids: [u32; 3],
    pub gids: [u32; 3],
    pub groups: Answer<Vec<u32>>,
    pub hostname: String,
    pub domainname: String,
    pub kernel: String,
    pub root: Answer<Directory>,
    /// What `/` holds, sorted.
    pub files: Answer<Vec<String>>,
    pub cwd: Answer<String>,
    pub environment: Vec<String>,
    /// Asked with fcntl(2) where there is no /proc.
    pub descriptors: Vec<Descriptor>,
    /// Name under /dev to kind and number: `c 1:3`.
    pub devices: Answer<BTreeMap<String, String>>,
    pub capabilities: Answer<Capabilities>,
    pub no_new_privs: Answer<bool>,
    /// 0: none, 1: strict, 2: filter.
    pub seccomp: Answer<u32>,
    pub interfaces: Answer<Vec<Interface>>,
    pub routes: Answer<Vec<Route>>,
    /// The PIDs in /proc.
    pub processes: Answer<Vec<i32>>,
    /// What its own /proc/self says: namespaces, mounts, maps, cgroups, limits.
    pub process: Answer<Process>,
    pub calls: Calls,
}

impl Probe {
    /// Asks the kernel about the calling process, which must have a single thread.
    pub fn take() -> Probe {
        // First of all, before anything is opened here.
        let descriptors = descriptors();
        let names = uname();
        let text =
            |name: Option<&std::ffi::OsStr>| name.unwrap_or_default().to_string_lossy().into();
        Probe {
            pid: unistd::getpid().as_raw(),
            parent: unistd::getppid().as_raw(),
            session: unistd::getsid(None).map_or(-1, unistd::Pid::as_raw),
            uids: uids(),
            gids: gids(),
            groups: groups(),
            hostname: text(names.as_ref().ok().map(|u| u.nodename())),
            domainname: text(names.as_ref().ok().map(|u| u.domainname())),
            kernel: text(names.as_ref().ok().map(|u| u.release())),
            root: Directory::read(Path::new("/"), "/".to_string()).into(),
            files: files(Path::new("/")).into(),
            cwd: env::current_dir().map(|path| path.display().to_string()).into(),
            environment: environment(),
            descriptors,
            devices: devices().into(),
            capabilities: capabilities().map_err(io::Error::from).into(),
            no_new_privs: thread::no_new_privs().map_err(io::Error::from).into(),
            seccomp: seccomp().into(),
            interfaces: interface::own().into(),
            routes: fs::read_to_string("/proc/net/route").map(|t| interface::routes(&t)).into(),
            processes: processes().into(),
            process: Process::own().into(),
            calls: calls::try_all(),
        }
    }
}

fn uids() -> [u32; 3] {
    let ids = unistd::getresuid().map(|ids| [ids.real, ids.effective, ids.saved]);
    ids.map_or([u32::MAX; 3], |ids| ids.map(unistd::Uid::as_raw))
}

fn gids() -> [u32; 3] {
    let ids = unistd::getresgid().map(|ids| [ids.real, ids.effective, ids.saved]);
    ids.map_or([u32::MAX; 3], |ids| ids.map(unistd::Gid::as_raw))
}

fn groups() -> Answer<Vec<u32>> {
    let all = unistd::getgroups();
    all.map(|groups| groups.into_iter().map(unistd::Gid::as_raw).collect()).into()
}

fn environment() -> Vec<String> {
    let pair = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
        format!("{}={}", key.to_string_lossy(), value.to_string_lossy())
    };
    env::vars_os().map(pair).collect()
}

/// The names in a directory, sorted.
fn files(directory: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    let mut names: Vec<String> = names.iter().map(|n| n.to_string_lossy().into()).collect();
    names.sort();
    Ok(names)
}

/// Every open descriptor: those that /proc lists, if it is what it seems; else those below 1024
/// (RLIMIT_NOFILE may be a billion), each asked for its flags.
fn descriptors() -> Vec<Descriptor> {
    let describe = |number| Descriptor { number, target: describe(number) };
    listed().unwrap_or_else(|_| asked()).into_iter().map(describe).collect()
}

/// One question in place of a thousand: in a lab they took longer than all the rest.
fn listed() -> io::Result<Vec<i32>> {
    let mut directory = Dir::open("/proc/self/fd", OFlag::O_RDONLY, Mode::empty())?;
    if fstatfs(&directory)?.filesystem_type() != PROC_SUPER_MAGIC {
        return Err(io::ErrorKind::NotFound.into());
    }
    let own = directory.as_raw_fd();
    let names = directory.iter().map(|entry| Ok(entry?.file_name().to_string_lossy().parse().ok()));
    let numbers = names.collect::<nix::Result<Vec<Option<i32>>>>()?.into_iter().flatten();
    let mut numbers: Vec<i32> = numbers.filter(|number| *number != own).collect();
    numbers.sort();
    Ok(numbers)
}

fn asked() -> Vec<i32> {
    // SAFETY: F_GETFD reads one flag of a number that may or may not be open.
    let open = |number: &i32| unsafe { libc::fcntl(*number, libc::F_GETFD) } >= 0;
    (0..1024).filter(open).collect()
}

/// What a descriptor is: /proc's words, or without /proc its device, inode and mode.
fn describe(number: i32) -> String {
    if let Ok(target) = fs::read_link(format!("/proc/self/fd/{number}")) {
        return target.display().to_string();
    }
    // SAFETY: `number` was open a moment ago and nothing in this process closes it.
    match fstat(unsafe { BorrowedFd::borrow_raw(number) }) {
        Ok(s) => format!("device {:x}, inode {}, mode {:o}", s.st_dev, s.st_ino, s.st_mode),
        Err(errno) => format!("unreadable: {errno:?}"),
    }
}

/// The device nodes right in /dev; other files are not listed.
fn devices() -> io::Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for name in files(Path::new("/dev"))? {
        let Ok(status) = fs::symlink_metadata(Path::new("/dev").join(&name)) else {
            continue;
        };
        let kind = match status.mode() & libc::S_IFMT {
            libc::S_IFCHR => 'c',
            libc::S_IFBLK => 'b',
            _ => continue,
        };
        let (major, minor) = (libc::major(status.rdev()), libc::minor(status.rdev()));
        all.insert(name, format!("{kind} {major}:{minor}"));
    }
    Ok(all)
}

/// All five sets, by capget(2) and prctl(2): PR_CAPBSET_READ, PR_CAP_AMBIENT.
fn capabilities() -> rustix::io::Result<Capabilities> {
    let sets = thread::capabilities(None)?;
    Ok(Capabilities {
        inheritable: Set(sets.inheritable.bits()),
        permitted: Set(sets.permitted.bits()),
        effective: Set(sets.effective.bits()),
        bounding: collect(thread::capability_is_in_bounding_set),
        ambient: collect(thread::capability_is_in_ambient_set),
    })
}

/// The capabilities for which `holds` says yes; one that the kernel does not know is an error there.
fn collect(holds: fn(thread::CapabilitySet) -> rustix::io::Result<bool>) -> Set {
    let bit = |bit: u64| thread::CapabilitySet::from_bits_retain(bit);
    let bits = (0..64).map(|n| 1 << n).filter(|b| holds(bit(*b)).unwrap_or(false));
    Set(bits.sum())
}

/// prctl(2), PR_GET_SECCOMP. The number of filters is only in /proc.
fn seccomp() -> nix::Result<u32> {
    // SAFETY: reads a number; no pointer is passed.
    let mode = unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) };
    nix::errno::Errno::result(mode).map(|mode| mode as u32)
}

fn processes() -> io::Result<Vec<i32>> {
    // Without this file, a directory /proc is only a directory.
    File::open("/proc/self/stat")?;
    let names = files(Path::new("/proc"))?;
    let mut pids: Vec<i32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    pids.sort();
    Ok(pids)
}
