//! cgroup v2: one hierarchy for all controllers. A cgroup's processes are limited by controllers
//! that its parent hands down in cgroup.subtree_control, and a parent that hands any down may
//! hold no processes itself. Linux Documentation/admin-guide/cgroup-v2.rst

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, ensure};
use chroot::Hint;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{self, AccessFlags};

use crate::base::Hierarchy;
use crate::files::{put, text};

/// The controllers that the hierarchy has for the cgroups that we see.
pub fn offered(hierarchy: &Hierarchy) -> Result<HashSet<String>> {
    let list = text(&hierarchy.mount.join("cgroup.controllers"))?;
    Ok(list.split_whitespace().map(String::from).collect())
}

/// Where a cgroup with the controllers `needed` can be made: in our own cgroup or the nearest one
/// above it. Our own holds us, so with a controller needed it is mostly a sibling of ours. Nothing
/// is moved out of the way for it. `None`: nowhere.
pub fn place(hierarchy: &Hierarchy, needed: &[&str]) -> Option<PathBuf> {
    let visible = hierarchy.own.ancestors().take_while(|dir| dir.starts_with(&hierarchy.mount));
    let mut fit = visible.filter(|dir| may_create(dir) && hands_down(dir, needed));
    fit.next().map(Path::to_path_buf)
}

/// CLONE_INTO_CGROUP asks for both: write access to the directory, and to cgroup.procs of the
/// cgroup that ours and the new one have in common. A threaded cgroup takes no ordinary children.
fn may_create(dir: &Path) -> bool {
    let kind = text(&dir.join("cgroup.type"));
    let domain = kind.map_or(true, |kind| kind.trim() == "domain");
    domain && writable(dir) && writable(&dir.join("cgroup.procs"))
}

/// Whether `dir` gives all of `needed` to its children, or can be told to.
fn hands_down(dir: &Path, needed: &[&str]) -> bool {
    let missing = missing(dir, needed);
    let can = |controller: &&str| has(&dir.join("cgroup.controllers"), controller);
    missing.is_empty() || missing.iter().all(can) && may_hand_down(dir)
}

/// The kernel's rule: only a cgroup without processes of its own, or the root of the hierarchy,
/// which alone has no cgroup.type.
fn may_hand_down(dir: &Path) -> bool {
    let empty = text(&dir.join("cgroup.procs")).is_ok_and(|procs| procs.is_empty());
    let root = !dir.join("cgroup.type").exists();
    (empty || root) && writable(&dir.join("cgroup.subtree_control"))
}

/// Has `dir` hand down what it does not yet. It stays so afterwards: others may rely on it by then.
pub fn hand_down(dir: &Path, needed: &[&str]) -> Result<()> {
    missing(dir, needed).iter().try_for_each(|controller| {
        put(&dir.join("cgroup.subtree_control"), &format!("+{controller}"))
            .with_context(|| format!("cannot hand down the {controller} controller"))
    })
}

fn missing<'a>(dir: &Path, needed: &[&'a str]) -> Vec<&'a str> {
    let handed = dir.join("cgroup.subtree_control");
    needed.iter().copied().filter(|controller| !has(&handed, controller)).collect()
}

fn has(list: &Path, controller: &str) -> bool {
    let list = text(list).unwrap_or_default();
    list.split_whitespace().any(|it| it == controller)
}

fn writable(path: &Path) -> bool {
    unistd::eaccess(path, AccessFlags::W_OK).is_ok()
}

/// Why no place was found for `limit`, and how that is changed.
pub fn refusal(hierarchy: &Hierarchy, limit: &str, controller: &str) -> Error {
    let hint = match (Path::new("/run/systemd/system").exists(), controller) {
        (true, "memory" | "pids") => {
            "get a cgroup of your own: systemd-run --user --scope -p Delegate=yes COMMAND".into()
        }
        // systemd delegates memory and pids to a user's session, and the rest when told.
        (true, _) => format!(
            "as root, systemctl edit user@.service: [Service] Delegate={controller} memory pids; \
             log in again; then systemd-run --user --scope -p Delegate=yes COMMAND"
        ),
        (false, _) => format!(
            "as root: echo +{controller} > {0}/cgroup.subtree_control, and make a cgroup there \
             that is yours: the directory, its cgroup.procs and its cgroup.subtree_control",
            hierarchy.mount.display()
        ),
    };
    let own = hierarchy.own.display();
    let none = "no cgroup is ours that hands down";
    anyhow!("cannot apply {limit}: from {own} upwards, {none} the {controller} controller")
        .context(Hint(hint))
}

/// Stops (or lets go on) all processes of the cgroup, and waits until they have.
pub fn freeze(dir: &Path, frozen: bool) -> Result<()> {
    put(&dir.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
    wait_for(&dir.join("cgroup.events"), "frozen", u64::from(frozen))
}

/// The kernel wakes poll(2) with POLLPRI whenever the file `events` changes.
fn wait_for(events: &Path, key: &str, wanted: u64) -> Result<()> {
    let file = File::open(events).with_context(|| format!("cannot open {}", events.display()))?;
    let start = Instant::now();
    while value(&text(events)?, key) != Some(wanted) {
        ensure!(start.elapsed() < Duration::from_secs(5), "{key} is not {wanted} after 5 s");
        let mut changed = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
        poll(&mut changed, PollTimeout::from(50u8)).context("cannot poll cgroup.events")?;
    }
    Ok(())
}

/// The number after `key` in a file of `key number` lines.
pub fn value(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}
