//! Which ids inside are which ids outside: /proc/PID/uid_map and gid_map, user_namespaces(7).
//! A privileged parent writes any map; anyone may map one id, their own; for more, the setuid
//! programs newuidmap(1) and newgidmap(1) look up in /etc/subuid and /etc/subgid what is granted.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use chroot::Hint;
use nix::unistd::{Pid, getegid, geteuid};

use crate::subid::{self, Range};
use crate::{Args, ROOT, User};

/// Where root's containers get their ids if /etc/subuid has none for root: the first of the
/// range that systemd keeps free for containers (its document UIDS-GIDS).
const ROOTS_RANGE: Range = Range { first: 524_288, count: 65_536 };

/// Ubuntu's setting: a new user namespace gives no rights to a program without a profile.
const RESTRICTED: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
const UNRESTRICT: &str = "AppArmor restricts user namespaces on this host. Until the next boot: \
    sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0 (=1 undoes it)";

/// One line of a map: `count` ids from `inside` are those from `outside`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IdMap {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

/// Both maps of a container, and how they may be written.
pub struct Maps {
    pub uids: Vec<IdMap>,
    pub gids: Vec<IdMap>,
    writer: Writer,
}

#[derive(Clone, Copy, PartialEq)]
enum Writer {
    /// We have CAP_SETUID over the ids: the files take any map.
    Root,
    /// Only our own id.
    OneId(User),
    /// newuidmap and newgidmap.
    Helpers,
}

impl Maps {
    /// Decides who the container's ids are outside, by who we are and what we are granted.
    pub fn plan(args: &Args) -> Maps {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        if geteuid().is_root() && subid::is_ours(ROOTS_RANGE) {
            let uids = subid::granted("/etc/subuid", uid).unwrap_or(ROOTS_RANGE);
            let gids = subid::granted("/etc/subgid", uid).unwrap_or(ROOTS_RANGE);
            return Maps { uids: all(uids), gids: all(gids), writer: Writer::Root };
        }
        let granted = (subid::granted("/etc/subuid", uid), subid::granted("/etc/subgid", uid));
        if let ((Some(uids), Some(gids)), true) = (granted, subid::helpers_installed()) {
            let (uids, gids) = (and_own(uid, uids), and_own(gid, gids));
            return Maps { uids, gids, writer: Writer::Helpers };
        }
        let user = args.user.unwrap_or(ROOT);
        let uids = vec![IdMap { inside: user.uid, outside: uid, count: 1 }];
        let gids = vec![IdMap { inside: user.gid, outside: gid, count: 1 }];
        Maps { uids, gids, writer: Writer::OneId(user) }
    }

    /// The ids inside, if there is only one of each.
    pub fn one_id(&self) -> Option<User> {
        match self.writer {
            Writer::OneId(user) => Some(user),
            _ => None,
        }
    }

    /// Whether root inside is an id that owns no files outside.
    pub fn is_foreign(&self) -> bool {
        self.writer == Writer::Root
    }

    /// The parent writes the maps while the child waits at the gate: once, and for good.
    ///
    /// Who is root writes /proc/PID/uid_map and gid_map. Who maps only their own id must first
    /// write `deny` to /proc/PID/setgroups. Who has a granted range runs newuidmap(1) and
    /// newgidmap(1), through `help`. See user_namespaces(7).
    ///
    /// Exercise 6.1
    pub fn write(&self, child: Pid) -> Result<()> {
        match self.writer {
            Writer::Helpers => {
                help("newuidmap", child, &self.uids)?;
                help("newgidmap", child, &self.gids)
            }
            Writer::Root => self.write_files(child),
            Writer::OneId(_) => {
                // Who could leave groups could reach files that deny access to a group:
                // without this line the kernel refuses the gid_map (CVE-2014-8989).
                write(child, "setgroups", "deny")?;
                self.write_files(child)
            }
        }
    }

    fn write_files(&self, child: Pid) -> Result<()> {
        write(child, "uid_map", &lines(&self.uids))?;
        write(child, "gid_map", &lines(&self.gids))
    }
}

/// The whole range, from 0.
fn all(range: Range) -> Vec<IdMap> {
    vec![IdMap { inside: 0, outside: range.first, count: range.count }]
}

/// Root inside is the caller, the others come from the range.
fn and_own(own: u32, range: Range) -> Vec<IdMap> {
    let root = IdMap { inside: 0, outside: own, count: 1 };
    vec![root, IdMap { inside: 1, outside: range.first, count: range.count }]
}

fn lines(maps: &[IdMap]) -> String {
    maps.iter().map(|map| format!("{} {} {}\n", map.inside, map.outside, map.count)).collect()
}

fn write(child: Pid, file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{child}/{file}");
    let written = fs::write(&path, text).with_context(|| format!("cannot write {path}"));
    written.map_err(|error| match fs::read_to_string(RESTRICTED).is_ok_and(|on| on.trim() == "1") {
        true => error.context(Hint(UNRESTRICT.into())),
        false => error,
    })
}

/// Runs one of the setuid programs: PROGRAM PID INSIDE OUTSIDE COUNT …
fn help(program: &str, child: Pid, maps: &[IdMap]) -> Result<()> {
    let numbers = maps.iter().flat_map(|map| [map.inside, map.outside, map.count]);
    let output = Command::new(program)
        .arg(child.to_string())
        .args(numbers.map(|number| number.to_string()))
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_string();
        let hint = format!("{program} must be setuid root, and the ids granted in /etc/subuid");
        bail!(anyhow::anyhow!("cannot map the ids of process {child}: {why}").context(Hint(hint)));
    }
    Ok(())
}
