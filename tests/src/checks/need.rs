//! What a check needs of the machine. It is found out without the steps: a step that is broken must
//! not have its checks skipped.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{AccessFlags, access, eaccess, geteuid};

use super::Context;
use crate::{interface, mountinfo, steps};

/// One thing that a machine has or has not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Need {
    /// The step's program is built.
    Program(usize),
    /// Whoever may make a container of this step.
    RightsOf(usize),
    Root,
    /// An ordinary user who reaches the programs: ourselves, or one that root can become.
    Ordinary,
    /// More ids than one for the container: we are root, or /etc/subuid grants them.
    Range,
    /// Temporary directories can be mounted with their owners mapped, or need not be: an
    /// ordinary user's container owns his files.
    OwnFiles,
    /// A cgroup controller that we may use.
    Controller(&'static str),
    /// A v2 hierarchy with this controller, or any if it is empty.
    V2(&'static str),
    /// Huge pages of 2 MB.
    HugePages,
    /// A whole disk, to limit.
    Disk,
    /// A kernel that takes more lower layers than fit into one option.
    ManyLayers,
    /// Extended attributes of users on a tmpfs.
    UserAttributes,
    /// The program pasta, and its device.
    Pasta,
    /// The calls and numbers of x86_64.
    X86,
    /// The system calls of 32-bit x86 programs, by `int 0x80`.
    Int80,
}

impl Need {
    /// Why it cannot be had here, if it cannot.
    pub fn missing(&self, context: &Context) -> Option<String> {
        let unless = |holds: bool, why: &str| (!holds).then(|| why.to_string());
        match *self {
            Need::Program(step) => {
                let program = context.scene.program(step);
                unless(program.exists(), &format!("{} is not built", program.display()))
            }
            // As root, an ordinary user is tried as well: see `Run::ordinary`.
            Need::RightsOf(step @ 1..6) => {
                let why = format!("step {step}, {}, needs root", steps::name(step));
                unless(geteuid().is_root(), &why)
            }
            Need::RightsOf(_) => None,
            Need::Root => unless(geteuid().is_root(), "it needs root"),
            Need::Ordinary => ordinary(&context.scene.program(context.step)),
            Need::Range => unless(has_range(), "/etc/subuid grants this user no ids"),
            Need::OwnFiles => unless(!geteuid().is_root() || maps_owners(), NO_IDMAP),
            Need::Controller(name) => controller(name),
            Need::V2(name) => unless(v2_offers(name), &format!("no v2 hierarchy has {name}")),
            Need::HugePages => unless(Path::new(HUGE_PAGES).exists(), "no huge pages of 2 MB"),
            Need::Disk => unless(disk().is_some(), "there is no disk"),
            Need::ManyLayers => unless(kernel() >= (6, 8), OLD_OVERLAY),
            Need::UserAttributes => unless(kernel() >= (6, 6), OLD_TMPFS),
            Need::Pasta => pasta(),
            Need::X86 => unless(cfg!(target_arch = "x86_64"), "only x86_64 has it"),
            Need::Int80 => unless(int80(context), "this kernel runs no 32-bit x86 programs"),
        }
    }
}

const HUGE_PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";
const OLD_OVERLAY: &str = "Linux before 6.8 takes all layers in one option of 255 bytes";
const OLD_TMPFS: &str = "Linux before 6.6 has no attributes of users on tmpfs";
const NO_IDMAP: &str = "this kernel cannot map the owners of files in the temporary directory";

/// The program must be executable for somebody who is not root: his home may be closed to others.
fn ordinary(program: &Path) -> Option<String> {
    if !geteuid().is_root() {
        return None;
    }
    let closed = |dir: &&Path| {
        fs::metadata(dir).map_or(true, |status| status.permissions().mode() & 0o1 == 0)
    };
    let closed = program.ancestors().find(closed)?;
    Some(format!("an ordinary user cannot reach {}", closed.display()))
}

/// The ids that root's containers get where /etc/subuid grants root none.
pub const ROOTS_RANGE: (u32, u32) = (524_288, 65_536);

/// The ids that /etc/subuid or /etc/subgid grants to us, where the setuid helpers are there to map them.
pub fn granted(file: &str) -> Option<(u32, u32)> {
    let us = [Some(geteuid().to_string()), own_name()];
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [who, first, count] = fields[..] else { return None };
        let ours = us.iter().flatten().any(|name| name == who);
        ours.then(|| Some((first.parse().ok()?, count.trim().parse().ok()?))).flatten()
    })
}

/// From /etc/passwd itself: getpwuid(3) loads libraries, and in a static program may crash.
fn own_name() -> Option<String> {
    let uid = geteuid().to_string();
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let fields = |line: &str| line.split(':').map(String::from).collect::<Vec<_>>();
    let mut users = users.lines().map(fields);
    users.find(|user| user.get(2) == Some(&uid)).map(|user| user[0].clone())
}

/// Whether a program is on our PATH.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| access(&dir.join(program), AccessFlags::X_OK).is_ok())
}

fn has_range() -> bool {
    let helpers = installed("newuidmap") && installed("newgidmap");
    geteuid().is_root()
        || helpers && granted("/etc/subuid").is_some() && granted("/etc/subgid").is_some()
}

/// The kernel's release, `(6, 18)`.
pub fn kernel() -> (u32, u32) {
    let name = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let mut numbers = name.split(['.', '-']).map_while(|word| word.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Tmpfs since 6.3; the disk file systems long before; hostfs never.
pub fn maps_owners() -> bool {
    let own = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let dir = fs::canonicalize(std::env::temp_dir()).unwrap_or_default();
    let mounts = mountinfo::parse(&own);
    let mount = mounts.iter().rev().filter(|mount| dir.starts_with(&mount.point));
    match mount.max_by_key(|mount| mount.point.len()).map(|mount| mount.fstype.as_str()) {
        Some("ext4" | "xfs" | "btrfs" | "f2fs") => kernel() >= (5, 15),
        Some("tmpfs") => kernel() >= (6, 3),
        _ => false,
    }
}

/// The directory of our own cgroup in a hierarchy: `""` for v2, else by a v1 controller.
pub fn own_cgroup(controller: &str) -> Option<PathBuf> {
    let mounts = mountinfo::parse(&fs::read_to_string("/proc/self/mountinfo").ok()?);
    let own = crate::cgroup::parse(&fs::read_to_string("/proc/self/cgroup").ok()?);
    let has = |names: &str| match controller {
        "" => names.is_empty(),
        _ => names.split(',').any(|name| name == controller),
    };
    own.iter().find(|one| has(&one.controllers))?.directory(&mounts)
}

/// Our cgroup in the v1 hierarchy of this controller.
pub fn v1(controller: &str) -> Option<PathBuf> {
    own_cgroup(controller)
}

/// Whether the v2 hierarchy has this controller to give.
pub fn v2_offers(controller: &str) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = mountinfo::parse(&mounts);
    let Some(mount) = mounts.iter().find(|mount| mount.fstype == "cgroup2") else { return false };
    let list = fs::read_to_string(Path::new(&mount.point).join("cgroup.controllers"));
    list.is_ok_and(|list| {
        controller.is_empty() || list.split_whitespace().any(|name| name == controller)
    })
}

/// Root may use what there is. An ordinary user may use what was delegated: a v2 cgroup that is his, at or
/// above his own, whose children have the controller.
fn controller(name: &str) -> Option<String> {
    if !v2_offers(name) && v1(name).is_none() {
        return Some(format!("this kernel has no {name} controller for us"));
    }
    if geteuid().is_root() {
        return None;
    }
    if !v2_offers(name) {
        return Some("cgroup v1 is root's alone".to_string());
    }
    let delegated = |dir: &Path| {
        let handed = fs::read_to_string(dir.join("cgroup.subtree_control")).unwrap_or_default();
        let may = ["", "cgroup.procs"]
            .iter()
            .all(|file| eaccess(&dir.join(file), AccessFlags::W_OK).is_ok());
        may && handed.split_whitespace().any(|handed| handed == name)
    };
    let own = own_cgroup("").unwrap_or_default();
    let found = own.ancestors().any(delegated);
    (!found).then(|| format!("no cgroup with {name} was delegated to this user"))
}

/// A whole disk: its name and number, `("/dev/vda", "254:0")`.
pub fn disk() -> Option<(String, String)> {
    let disks = fs::read_dir("/sys/block").ok()?.flatten();
    disks.filter_map(|entry| entry.file_name().into_string().ok()).find_map(|name| {
        let virtual_ones = ["loop", "ram", "zram", "dm-", "md", "nbd", "sr"];
        let number = fs::read_to_string(format!("/sys/block/{name}/dev")).ok()?;
        let device = format!("/dev/{name}");
        let whole = !virtual_ones.iter().any(|prefix| name.starts_with(prefix));
        (whole && Path::new(&device).exists()).then(|| (device, number.trim().to_string()))
    })
}

/// Tried outside of any container.
fn int80(context: &Context) -> bool {
    let act = Command::new(context.scene.root().join("bin/act")).arg("int80").output();
    act.is_ok_and(|output| output.stdout == b"ok\n")
}

fn pasta() -> Option<String> {
    let mut pasta = Command::new("pasta");
    let found = pasta.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        return Some("pasta is not installed (package passt)".to_string());
    }
    if geteuid().is_root() {
        return Some("as root, the host is a stand-in without a way out".to_string());
    }
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    if !interface::routes(&routes).iter().any(|route| route.mask.is_unspecified()) {
        return Some("the host has no default route".to_string());
    }
    let tun = access("/dev/net/tun", AccessFlags::R_OK | AccessFlags::W_OK);
    tun.err().map(|errno| format!("/dev/net/tun: {errno:?}"))
}
