//! What a Linux program expects to find, and what it has no business with: the same list that
//! Docker and podman give every container.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{Mode, mkdirat, symlinkat};
use rustix::io::Errno;

use crate::list::{Flags, Mount, Source};
use crate::{Root, in_root};

const NODES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// The names in /dev that are links, console_ioctl(4) aside: pts(4), fd(4).
const LINKS: [(&str, &str); 5] = [
    ("pts/ptmx", "ptmx"),
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];

/// The host's memory, keys, timers and hardware, as /proc and /sys show them.
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];

/// Where a write would change the host.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The kernel's filesystems, the devices, /tmp.
pub fn filesystems() -> Vec<Mount> {
    let quiet = Flags::MOUNT_ATTR_NOSUID | Flags::MOUNT_ATTR_NODEV | Flags::MOUNT_ATTR_NOEXEC;
    let devices = Flags::MOUNT_ATTR_NOSUID | Flags::MOUNT_ATTR_NOEXEC;
    let mut mounts = vec![
        Mount::filesystem("proc", "/proc").flags(quiet),
        Mount::filesystem("sysfs", "/sys").flags(quiet | Flags::MOUNT_ATTR_RDONLY),
        Mount::filesystem("tmpfs", "/dev").option("mode", "755").flags(devices),
        Mount::filesystem("devpts", "/dev/pts")
            .option("newinstance", "")
            .option("ptmxmode", "0666")
            .option("mode", "0620")
            .flags(devices),
        Mount::filesystem("tmpfs", "/dev/shm").option("mode", "1777").flags(quiet),
        Mount::filesystem("tmpfs", "/tmp")
            .option("mode", "1777")
            .flags(quiet & !Flags::MOUNT_ATTR_NOEXEC),
    ];
    mounts.extend(NODES.map(|(path, major, minor)| Mount::new(Source::Device(major, minor), path)));
    mounts
}

/// Covers and write-protects what the command has no business with. They come last: they lie on
/// /proc. Who may mount inside may also unmount them, until step 9's filter refuses both.
pub fn protections() -> impl Iterator<Item = Mount> {
    let read_only = Flags::MOUNT_ATTR_RDONLY;
    let masked = MASKED.map(|path| Mount::new(Source::Mask, path).flags(read_only));
    let fixed = READ_ONLY.map(|path| Mount::new(Source::Itself, path).flags(read_only));
    masked.into_iter().chain(fixed)
}

/// The links in /dev, and the directory that the mqueue filesystem of the ipc step goes on.
pub fn link_devices(root: &Root) -> Result<()> {
    let dev =
        in_root::open(root.fd(), Path::new("/dev")).context("cannot open /dev in the root")?;
    for (target, name) in LINKS {
        match symlinkat(target, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).with_context(|| format!("cannot link /dev/{name}")),
        }
    }
    match mkdirat(&dev, "mqueue", Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).context("cannot make /dev/mqueue"),
    }
}
