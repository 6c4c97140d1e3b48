//! What a cgroup refuses: cgroup v2's rules about processes, controllers and threads, all of them
//! readable in the cgroup's own files. Linux Documentation/admin-guide/cgroup-v2.rst

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use rustix::fs::statfs;

use super::failed::Failed;
use super::place::Place;
use super::{Cause, FILES, Look, found, mount, rights};

pub fn causes(failed: &Failed) -> Vec<Cause> {
    let mut all: Vec<Cause> = match failed.errno {
        Errno::EBUSY => vec![
            ("a cgroup with processes hands down no controllers", inner_processes),
            ("a cgroup that hands down controllers takes no processes", hands_down),
            ("a child cgroup hands the controller down still", used_below),
            ("the cgroup is not empty", not_empty),
        ],
        Errno::ENOENT => vec![
            ("the cgroup has not the controller to hand down", not_available),
            ("the parent does not hand down the file's controller", not_handed_down),
            ("the root of the hierarchy has not all files", root_has_not),
            ("the process and the cgroup are not in one cgroup namespace", other_namespace),
        ],
        Errno::EOPNOTSUPP => vec![("the cgroup is threaded, or below one", threaded)],
        Errno::EROFS => vec![("the cgroup filesystem is mounted read-only", read_only)],
        Errno::EACCES | Errno::EPERM => vec![
            ("the file or directory is not the process's to write", not_writable),
            ("the cgroup above both is not the process's to write", common_ancestor),
        ],
        Errno::EAGAIN | Errno::ENOSPC => vec![("a limit on cgroups below is reached", too_many)],
        Errno::ESRCH => vec![("there is no such process", no_process)],
        Errno::EINVAL => vec![
            ("an unknown controller, or neither + nor -", bad_controller),
            ("a value that the file does not take", bad_value),
        ],
        _ => vec![],
    };
    if failed.errno != Errno::EINVAL && !writes(failed) {
        all.extend(mount::PATHS);
    }
    if [Errno::EPERM, Errno::EACCES].contains(&failed.errno) {
        all.extend(rights::REFUSALS);
    }
    all
}

fn writes(failed: &Failed) -> bool {
    ["write", "pwrite64"].contains(&failed.call.name())
}

/// Whether the call is about a cgroup.
pub fn concerns(failed: &Failed) -> bool {
    // That a directory is there already, or gone already, is mostly what was wanted.
    let removes = ["rmdir", "unlinkat"].contains(&failed.call.name());
    let wanted = failed.errno == Errno::EEXIST || (removes && failed.errno == Errno::ENOENT);
    FILES.contains(&failed.call.name()) && !wanted && directory(failed).is_ok()
}

/// The directory of the cgroup, and the file or the directory in it that the call names.
struct Target {
    directory: Place,
    name: String,
}

impl Target {
    /// A file of the cgroup; empty where there is none.
    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.directory.magic().join(file)).unwrap_or_default().trim().into()
    }

    fn list(&self, file: &str) -> Vec<String> {
        self.text(file).split_whitespace().map(String::from).collect()
    }

    /// A file of the cgroup above.
    fn above(&self, file: &str) -> Result<Vec<String>> {
        let path = self.directory.magic().join("..").join(file);
        let text = fs::read_to_string(path).context("the cgroup above is not to be read")?;
        Ok(text.split_whitespace().map(String::from).collect())
    }

    fn path(&self) -> &str {
        &self.directory.path
    }

    /// Only the root of the hierarchy has no type.
    fn is_root(&self) -> bool {
        !self.directory.magic().join("cgroup.type").exists()
    }
}

fn directory(failed: &Failed) -> Result<Target> {
    let (descriptor, path) = match failed.call.name() {
        "write" | "pwrite64" => (libc::AT_FDCWD, failed.open_on(failed.int(0))?),
        "openat" | "mkdirat" | "unlinkat" => (failed.int(0), failed.text(1)?),
        _ => (libc::AT_FDCWD, failed.text(0)?),
    };
    let path = path.trim_end_matches('/');
    let (above, name) = path.rsplit_once('/').unwrap_or((".", path));
    let above = if above.is_empty() { "/" } else { above };
    let directory = failed.walk(descriptor, above, true)?;
    let kind = statfs(directory.magic()).context("cannot ask for the filesystem")?.f_type;
    anyhow::ensure!(
        [libc::CGROUP2_SUPER_MAGIC, libc::CGROUP_SUPER_MAGIC].contains(&kind),
        "it is no cgroup"
    );
    Ok(Target { directory, name: name.to_string() })
}

/// The controllers that are to be handed down (+) or taken back (-).
fn asked(failed: &Failed, sign: char) -> Result<Vec<String>> {
    let text = failed.written()?;
    Ok(text
        .split_whitespace()
        .filter_map(|word| word.strip_prefix(sign))
        .map(String::from)
        .collect())
}

const SUBTREE: &str = "cgroup.subtree_control";

fn inner_processes(failed: &Failed) -> Look {
    let target = directory(failed)?;
    let processes = target.list("cgroup.procs");
    if target.name != SUBTREE
        || target.is_root()
        || processes.is_empty()
        || asked(failed, '+')?.is_empty()
    {
        return Ok(None);
    }
    found(
        format!(
            "{} holds {} processes ({} …): a cgroup with processes of its own hands down no \
             controllers (no internal processes)",
            target.path(),
            processes.len(),
            processes[0]
        ),
        "move the processes into a child cgroup first, by writing each to its cgroup.procs",
    )
}

fn hands_down(failed: &Failed) -> Look {
    let target = directory(failed)?;
    let controllers = target.text(SUBTREE);
    if !["cgroup.procs", "cgroup.threads"].contains(&&target.name[..]) || controllers.is_empty() {
        return Ok(None);
    }
    found(
        format!(
            "{} hands down {controllers} (cgroup.subtree_control), and so takes no processes \
             itself (no internal processes)",
            target.path()
        ),
        "make a child cgroup and put the process there",
    )
}

fn used_below(failed: &Failed) -> Look {
    let (target, taken) = (directory(failed)?, asked(failed, '-')?);
    if target.name != SUBTREE || taken.is_empty() {
        return Ok(None);
    }
    for entry in fs::read_dir(target.directory.magic())?.flatten() {
        let handed = fs::read_to_string(entry.path().join(SUBTREE)).unwrap_or_default();
        if let Some(name) =
            taken.iter().find(|name| handed.split_whitespace().any(|it| it == **name))
        {
            let child = entry.file_name().display().to_string();
            return found(
                format!("the child cgroup {}/{child} hands {name} down itself", target.path()),
                "take it back there first, from the leaves up",
            );
        }
    }
    Ok(None)
}

fn not_empty(failed: &Failed) -> Look {
    if !["rmdir", "unlinkat"].contains(&failed.call.name()) {
        return Ok(None);
    }
    let target = directory(failed)?;
    let path = target.directory.magic().join(&target.name);
    let processes = fs::read_to_string(path.join("cgroup.procs"))?;
    let children = fs::read_dir(&path)?.flatten().filter(|it| it.path().is_dir());
    let children: Vec<String> = children.map(|it| it.file_name().display().to_string()).collect();
    let what = match (processes.lines().count(), children.len()) {
        (0, 0) => return Ok(None),
        (0, _) => format!("has the child cgroups {}", children.join(", ")),
        (count, _) => format!("holds {count} processes: {}", processes.trim().replace('\n', ", ")),
    };
    found(
        format!("{}/{} {what}", target.path(), target.name),
        "write 1 to its cgroup.kill, wait until cgroup.events says populated 0, and remove \
         children first",
    )
}

fn not_available(failed: &Failed) -> Look {
    if !writes(failed) {
        return Ok(None);
    }
    let (target, has) = (directory(failed)?, directory(failed)?.list("cgroup.controllers"));
    let missing: Vec<String> =
        asked(failed, '+')?.into_iter().filter(|it| !has.contains(it)).collect();
    if target.name != SUBTREE || missing.is_empty() {
        return Ok(None);
    }
    let (path, missing) = (target.path(), missing.join(", "));
    let has = if has.is_empty() { "empty".into() } else { has.join(" ") };
    let why = match (target.is_root(), target.above(SUBTREE)) {
        (true, _) => {
            "it is the root of the hierarchy: the kernel has no such controller, or a v1 hierarchy \
                      has it"
                .to_string()
        }
        (_, Ok(above)) => format!("the cgroup above hands down only [{}]", above.join(" ")),
        _ => "the cgroup above does not hand it down".to_string(),
    };
    found(
        format!("{path} has not the controller {missing}: its cgroup.controllers is {has}; {why}"),
        format!(
            "as whoever owns the cgroup above: echo +{missing} > {path}/../cgroup.subtree_control"
        ),
    )
}

fn not_handed_down(failed: &Failed) -> Look {
    if writes(failed) {
        return Ok(None);
    }
    let target = directory(failed)?;
    let Some((controller, _)) = target.name.split_once('.').filter(|(it, _)| *it != "cgroup")
    else {
        return Ok(None);
    };
    if target.text("cgroup.procs").is_empty()
        && !target.directory.magic().join("cgroup.procs").exists()
    {
        return Ok(None);
    }
    let has = target.list("cgroup.controllers");
    if has.iter().any(|it| it == controller) {
        return Ok(None);
    }
    let above = target.above(SUBTREE).unwrap_or_default();
    let offered = target.above("cgroup.controllers").unwrap_or_default();
    let path = target.path();
    let has_it = match offered.iter().any(|it| it == controller) {
        true => "and could",
        false => {
            "and has not got it either: see its own parent, or /sys/fs/cgroup/cgroup.controllers"
        }
    };
    found(
        format!(
            "{path} has no file {}, because it has not the controller {controller}: the cgroup \
             above hands down [{}] in its cgroup.subtree_control {has_it}",
            target.name,
            above.join(" ")
        ),
        format!("echo +{controller} > {path}/../cgroup.subtree_control, before the cgroup is used"),
    )
}

fn root_has_not(failed: &Failed) -> Look {
    let target = directory(failed)?;
    if writes(failed) || !target.is_root() || !target.name.contains('.') {
        return Ok(None);
    }
    found(
        format!(
            "{} is the root of its hierarchy, which has no {}: nobody limits the whole machine",
            target.path(),
            target.name
        ),
        "make a child cgroup, and use that",
    )
}

fn other_namespace(failed: &Failed) -> Look {
    if !writes(failed) || directory(failed)?.name != "cgroup.procs" {
        return Ok(None);
    }
    let mounts = failed.mounts()?;
    let nsdelegate = mount::of_type(&mounts, "cgroup2").iter().any(|it| it.has("nsdelegate"));
    let own = failed.link("ns/cgroup")?;
    anyhow::ensure!(nsdelegate, "the cgroup2 mount has no nsdelegate");
    found(
        format!(
            "the process or the cgroup is outside of {own}: with nsdelegate nothing crosses the \
             root of a cgroup namespace"
        ),
        "move the process before it makes its cgroup namespace, or from outside",
    )
}

fn threaded(failed: &Failed) -> Look {
    let target = directory(failed)?;
    let kind = target.text("cgroup.type");
    if kind == "domain" || kind.is_empty() {
        return Ok(None);
    }
    let what = match kind.as_str() {
        "threaded" => {
            "it takes threads (cgroup.threads) and only controllers that know threads: cpu, pids, \
             cpuset"
        }
        _ => {
            "a threaded cgroup is above or beside it, and it must become threaded itself before it \
             can be used"
        }
    };
    found(
        format!("cgroup.type of {} is {kind:?}: {what}", target.path()),
        "use a cgroup whose type is domain, with no threaded one above it",
    )
}

fn read_only(failed: &Failed) -> Look {
    let (target, mounts) = (directory(failed)?, failed.mounts()?);
    let mount = target.directory.mount(&mounts)?;
    if !mount.has("ro") {
        return Ok(None);
    }
    found(
        format!(
            "{} is mounted read-only ({}), as container engines do it",
            mount.point,
            mount.options.join(",")
        ),
        "make the cgroup outside, before the process enters the container; or mount a cgroup2 of \
         your own in a cgroup namespace",
    )
}

/// The mode and owner of what is to be written.
fn not_writable(failed: &Failed) -> Look {
    let target = directory(failed)?;
    let file = target.directory.magic().join(&target.name);
    let makes = failed.call.name().starts_with("mkdir") || failed.call.name().contains("rmdir");
    let path = if makes {
        target.path().to_string()
    } else {
        format!("{}/{}", target.path(), target.name)
    };
    let metadata = if makes { target.directory.metadata()? } else { fs::metadata(file)? };
    let status = failed.status()?;
    let (uid, gid) = (status.uids.get(3), status.gids.get(3));
    let bit = match () {
        () if uid == Some(&metadata.uid()) => 0o200,
        () if gid == Some(&metadata.gid()) || status.groups.contains(&metadata.gid()) => 0o020,
        () => 0o002,
    };
    if metadata.mode() & bit != 0
        || failed.has("CAP_DAC_OVERRIDE")? && failed.in_our_user_namespace()?
    {
        return Ok(None);
    }
    found(
        format!(
            "{path} has mode {:o} and belongs to {}:{}, and the process (uid {}) may not write \
             there: this cgroup is not delegated to it",
            metadata.mode() & 0o7777,
            metadata.uid(),
            metadata.gid(),
            uid.copied().unwrap_or_default()
        ),
        "get a cgroup of your own: systemd-run --user --scope -p Delegate=yes COMMAND; or as \
         root, chown the directory, its cgroup.procs and its cgroup.subtree_control",
    )
}

/// Moving a process takes write access to cgroup.procs of the nearest cgroup above both.
fn common_ancestor(failed: &Failed) -> Look {
    let target = directory(failed)?;
    if !writes(failed) || target.name != "cgroup.procs" {
        return Ok(None);
    }
    let moved = failed.written()?.trim().to_string();
    let moved = if moved == "0" { failed.pid.to_string() } else { moved };
    let from = fs::read_to_string(format!("/proc/{moved}/cgroup"))
        .context("its cgroup is not to be seen")?;
    let from =
        from.lines().find_map(|line| line.strip_prefix("0::")).context("it has no v2 cgroup")?;
    found(
        format!(
            "process {moved} comes from cgroup {from}: whoever moves it to {} must be able to \
             write cgroup.procs of the cgroup above both too, and the process (uid {}) is not",
            target.path(),
            failed.status()?.uids.get(3).copied().unwrap_or_default()
        ),
        "start in a cgroup of your own (systemd-run --user --scope -p Delegate=yes COMMAND), or \
         use CLONE_INTO_CGROUP from there",
    )
}

fn too_many(failed: &Failed) -> Look {
    let target = directory(failed)?;
    for file in ["cgroup.max.descendants", "cgroup.max.depth"] {
        let limit = target.text(file);
        if !limit.is_empty() && limit != "max" {
            return found(
                format!("{file} of {} is {limit}", target.path()),
                "remove cgroups, or raise it",
            );
        }
    }
    Ok(None)
}

fn no_process(failed: &Failed) -> Look {
    let text = failed.written()?;
    found(
        format!("there is no process {} in the PID namespace of the writer", text.trim()),
        "write the number that the writer's own PID namespace has for it, or 0 for the writer \
         itself",
    )
}

fn bad_controller(failed: &Failed) -> Look {
    let target = directory(failed)?;
    if !writes(failed) || target.name != SUBTREE {
        return Ok(None);
    }
    let text = failed.written()?;
    let known = fs::read_to_string("/proc/cgroups").unwrap_or_default();
    let named = |word: &str| {
        let word = if word == "io" { "blkio" } else { word };
        known.lines().any(|line| line.split_whitespace().next() == Some(word))
    };
    for word in text.split_whitespace() {
        let Some(name) = word.strip_prefix(['+', '-']) else {
            return found(
                format!("{word:?} has neither + nor - before it"),
                format!("write +{word}"),
            );
        };
        if !named(name) {
            let has = target.text("cgroup.controllers");
            return found(
                format!("{name:?} is no controller of this kernel; here are: {has}"),
                "correct the name",
            );
        }
    }
    Ok(None)
}

fn bad_value(failed: &Failed) -> Look {
    if !writes(failed) {
        return Ok(None);
    }
    let (target, text) = (directory(failed)?, failed.written()?);
    if target.name == SUBTREE {
        return Ok(None);
    }
    found(
        format!(
            "{}/{} does not take {text:?}; it holds {:?} now",
            target.path(),
            target.name,
            target.text(&target.name)
        ),
        "see the file's format in cgroup-v2.rst: a number of bytes or `max`, `QUOTA PERIOD` in \
         microseconds, a process id",
    )
}
