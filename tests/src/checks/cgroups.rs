//! Step 7: how much the container may use, set and biting.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::need::{disk, own_cgroup, v1, v2_offers};
use super::run::ORDINARY;
use super::uts::own_namespace;
use super::{Check, Context, Need, Run, Running, expect};
use crate::Process;
use crate::cgroup::Membership;
use crate::wait::wait_for;

const STEP: Check = Check { step: 7, ..Check::DEFAULT };

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "memory",
        asks: "Is --memory 64m in memory.max (v1: memory.limit_in_bytes), and as much again for swap?",
        look_at: "group.rs: fill_file, table.rs: --memory, --memory-swap; cgroups(7), cgroup-v2.rst",
        exercise: "7.2",
        needs: &[Need::Controller("memory")],
        run: memory,
        ..STEP
    },
    Check {
        name: "memory-bites",
        asks: "Is a command killed that takes more, with exit code 137 and an error that says why?",
        look_at: "lib.rs: oom_killed, main.rs: cgroup.finish; cgroup-v2.rst: memory.events",
        exercise: "7.4",
        needs: &[Need::Controller("memory")],
        run: memory_bites,
        ..STEP
    },
    Check {
        name: "cpus",
        asks: "Is --cpus 0.5 in cpu.max (v1: cpu.cfs_quota_us), and --cpu-weight in cpu.weight (v1: cpu.shares)?",
        look_at: "limits.rs: cpus, table.rs: --cpus, --cpu-weight; cgroup-v2.rst: cpu",
        exercise: "7.1",
        needs: &[Need::Controller("cpu")],
        run: cpus,
        ..STEP
    },
    Check {
        name: "cpus-bite",
        asks: "Does cpu.stat count that a command which computes without end was throttled?",
        look_at: "limits.rs: cpus; cgroup-v2.rst: cpu.stat",
        exercise: "7.1",
        needs: &[Need::Controller("cpu")],
        run: cpus_bite,
        ..STEP
    },
    Check {
        name: "cpuset",
        asks: "Is --cpuset-cpus 0 in cpuset.cpus, and the only processor in /proc/PID/status?",
        look_at: "group.rs: fill_file, v1.rs: fill_cpuset; cpuset(7)",
        exercise: "7.2",
        needs: &[Need::Controller("cpuset")],
        run: cpuset,
        ..STEP
    },
    Check {
        name: "pids",
        asks: "Is --pids-limit 20 in pids.max, and is the twentieth fork refused with EAGAIN?",
        look_at: "group.rs: fill_file; cgroup-v2.rst: pids",
        exercise: "7.2",
        needs: &[Need::Controller("pids")],
        run: pids,
        ..STEP
    },
    Check {
        name: "io",
        asks: "Is --io-max in io.max (v1: blkio.throttle.*)?",
        look_at: "group.rs: fill_file; cgroup-v2.rst: io.max",
        exercise: "7.2",
        needs: &[Need::Root, Need::Disk],
        run: io,
        ..STEP
    },
    Check {
        name: "hugetlb",
        asks: "Is --hugetlb 2MB=4m in hugetlb.2MB.max (v1: hugetlb.2MB.limit_in_bytes)?",
        look_at: "group.rs: fill_file; cgroup-v2.rst: hugetlb",
        exercise: "7.2",
        needs: &[Need::HugePages, Need::Controller("hugetlb")],
        run: hugetlb,
        ..STEP
    },
    Check {
        name: "joined-before-the-command",
        asks: "Is the command, from its first moment, in a cgroup that is named after the container?",
        look_at: "main.rs: clone.into_cgroup, cgroup.enter; clone3(2): CLONE_INTO_CGROUP",
        exercise: "7",
        needs: &[Need::Controller("pids")],
        run: joined_before_the_command,
        ..STEP
    },
    Check {
        name: "own-cgroup-namespace",
        asks: "Is /proc/PID/ns/cgroup another than the host's?",
        look_at: "lib.rs: enter; cgroup_namespaces(7)",
        exercise: "7.3",
        run: |context| own_namespace("cgroup", &context.start(&[])?),
        ..STEP
    },
    Check {
        name: "its-cgroup-is-the-root",
        asks: "Does /proc/self/cgroup inside say / for every hierarchy in which the container has a cgroup?",
        look_at: "lib.rs: enter: first join, then unshare; cgroup_namespaces(7)",
        exercise: "7.3",
        needs: &[Need::Controller("pids")],
        run: its_cgroup_is_the_root,
        ..STEP
    },
    Check {
        name: "shown-read-only",
        asks: "Is the container's own cgroup all that /sys/fs/cgroup shows, and a write there refused with EROFS?",
        look_at: "main.rs: cgroup.show; cgroup_namespaces(7)",
        exercise: "7",
        needs: &[Need::Root, Need::V2("")],
        run: shown_read_only,
        ..STEP
    },
    Check {
        name: "removed-afterwards",
        asks: "Is the cgroup gone when the container has ended, also by SIGKILL of the parent?",
        look_at: "main.rs: cgroup.finish, keeper.rs; cgroups(7)",
        exercise: "7",
        needs: &[Need::Controller("pids")],
        run: removed_afterwards,
        ..STEP
    },
    Check {
        name: "refused-limit-leaves-nothing",
        asks: "Is a limit that the kernel does not take an error, and no cgroup left behind? Is one that it takes none?",
        look_at: "group.rs: fill_file: the context of the error; cpuset(7)",
        exercise: "7.2",
        needs: &[Need::Root, Need::Controller("cpuset")],
        run: refused_limit_leaves_nothing,
        ..STEP
    },
    Check {
        name: "delegated-cgroup",
        asks: "Can an ordinary user set limits below a v2 cgroup that was delegated to them?",
        look_at: "group.rs: fill_file, v2.rs: place; cgroup-v2.rst: Delegation",
        exercise: "7.2",
        needs: &[Need::Root, Need::Ordinary, Need::V2("pids")],
        run: delegated_cgroup,
        ..STEP
    },
];

/// The command's cgroups that are not ours, with their directories.
fn groups(container: &Running) -> Result<Vec<(Membership, PathBuf)>> {
    let (theirs, ours) = (container.process()?, Process::own()?);
    let mounts = ours.mounts.get().context("our mountinfo cannot be read")?;
    let ours = ours.cgroups.get().context("our cgroups cannot be read")?;
    let theirs = theirs.cgroups.get().context("its cgroups cannot be read")?;
    let own = theirs.iter().filter(|one| !ours.iter().any(|other| one.is(other)));
    own.map(|one| Ok((one.clone(), one.directory(mounts).context("a hierarchy is not mounted")?)))
        .collect()
}

/// Where a version of cgroups has no such file.
const NONE: &str = "no such file";

/// Reads a file of the container's cgroup: the one in the hierarchy that has such a file.
fn file(container: &Running, v2: &str, v1: &str) -> Result<String> {
    let groups = groups(container)?;
    let files = groups
        .iter()
        .map(|(group, dir)| dir.join(if group.controllers.is_empty() { v2 } else { v1 }));
    let there = files.into_iter().find(|file| file.exists());
    let there = there
        .with_context(|| format!("no cgroup of the container has {v2} or {v1}: {groups:?}"))?;
    Ok(fs::read_to_string(there)?.trim().to_string())
}

fn memory(context: &Context) -> Result<()> {
    let container = context.container().option("--memory", "64m").start(&[])?;
    let mib = |count: u64| (count << 20).to_string();
    expect("memory", &file(&container, "memory.max", "memory.limit_in_bytes")?, &mib(64))?;
    let on_v2 = v2_offers("memory");
    let swap =
        |container: &Running| file(container, "memory.swap.max", "memory.memsw.limit_in_bytes");
    if swap_is_counted() {
        expect("swap", &swap(&container)?, &mib(if on_v2 { 64 } else { 128 }))?;
        let run = context.container().option("--memory", "64m").option("--memory-swap", "80m");
        expect("swap", &swap(&run.start(&[])?)?, &mib(if on_v2 { 16 } else { 80 }))?;
    }
    Ok(())
}

/// Whether this kernel has the files: it may be built or started without them.
fn swap_is_counted() -> bool {
    let v1 = v1("memory").is_some_and(|dir| dir.join("memory.memsw.limit_in_bytes").exists());
    v1 && !v2_offers("memory")
        || v2_offers("memory") && Path::new("/proc/swaps").exists() && swap_file_in_v2()
}

fn swap_file_in_v2() -> bool {
    let below = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten();
    let mut own = own_cgroup("").into_iter();
    let found = own.any(|dir| dir.ancestors().any(|dir| dir.join("memory.swap.max").exists()));
    found
        || below("/sys/fs/cgroup".into()).any(|entry| entry.path().join("memory.swap.max").exists())
}

fn memory_bites(context: &Context) -> Result<()> {
    // Not more than shows it: each page that is touched takes its time, in a lab above all.
    let run = || context.container().option("--memory", "16m").option("--memory-swap", "16m");
    expect("4 MiB of 16", run().run(&["hog 4"])?.answer(0)?, "ok 4")?;
    let ended = run().run(&["hog 100"])?;
    let file = if v2_offers("memory") { "memory.max" } else { "memory.limit_in_bytes" };
    let wanted = format!("error: killed: out of memory ({file} 16 MiB)");
    expect("the error", ended.stderr.trim(), &wanted)?;
    ended.expect_code(137)
}

fn cpus(context: &Context) -> Result<()> {
    let run = context.container().option("--cpus", "0.5").option("--cpu-weight", "50");
    let container = run.start(&[])?;
    let [quota, weight] = match v2_offers("cpu") {
        true => ["50000 100000", "50"],
        false => ["50000", "512"],
    };
    expect("the quota", &*file(&container, "cpu.max", "cpu.cfs_quota_us")?, quota)?;
    expect("the weight", &*file(&container, "cpu.weight", "cpu.shares")?, weight)
}

fn cpus_bite(context: &Context) -> Result<()> {
    let container = context.container().option("--cpus", "0.1").start(&["spin 40"])?;
    let stat = file(&container, "cpu.stat", "cpu.stat")?;
    let throttled = stat.lines().find_map(|line| line.strip_prefix("nr_throttled "));
    ensure!(throttled.is_some_and(|count| count != "0"), "it was not throttled: {stat:?}");
    Ok(())
}

fn cpuset(context: &Context) -> Result<()> {
    let container = context.container().option("--cpuset-cpus", "0").start(&[])?;
    expect("cpuset.cpus", &*file(&container, "cpuset.cpus", "cpuset.cpus")?, "0")?;
    let process = container.process()?;
    let allowed = process.status.get().and_then(|status| status.cpus_allowed.clone());
    expect("Cpus_allowed_list", &allowed.as_deref(), &Some("0"))
}

fn pids(context: &Context) -> Result<()> {
    let container = context.container().option("--pids-limit", "20").start(&["forks 40"])?;
    expect("pids.max", &*file(&container, "pids.max", "pids.max")?, "20")?;
    expect("how many processes could be started", &*container.answer(0)?, "ok 19 EAGAIN")
}

fn io(context: &Context) -> Result<()> {
    let (device, number) = disk().context("there is no disk")?;
    let run = context.container().option("--io-max", format!("{device}:rbps=1m,wbps=2m"));
    let container = run.start(&[])?;
    if v2_offers("io") {
        let wanted = format!("{number} rbps=1048576 wbps=2097152 riops=max wiops=max");
        return expect("io.max", &file(&container, "io.max", NONE)?, &wanted);
    }
    let read = file(&container, NONE, "blkio.throttle.read_bps_device")?;
    expect("the limit on reading", &read, &format!("{number} 1048576"))?;
    let write = file(&container, NONE, "blkio.throttle.write_bps_device")?;
    expect("the limit on writing", &write, &format!("{number} 2097152"))
}

fn hugetlb(context: &Context) -> Result<()> {
    let container = context.container().option("--hugetlb", "2MB=4m").start(&[])?;
    let value = file(&container, "hugetlb.2MB.max", "hugetlb.2MB.limit_in_bytes")?;
    expect("the limit on huge pages", &value, &(4 << 20).to_string())
}

/// A container with a name and a limit that is there on most machines.
fn limited<'a>(context: &Context<'a>, name: &str) -> Run<'a> {
    context.container().option("--name", name).option("--pids-limit", "50")
}

fn joined_before_the_command(context: &Context) -> Result<()> {
    let name = context.scene.name();
    let container = limited(context, &name).start(&[])?;
    let groups = groups(&container)?;
    ensure!(!groups.is_empty(), "all its cgroups are the host's");
    for (group, dir) in groups {
        ensure!(group.path.contains(&name), "it is in {}, which is not named {name}", group.path);
        let procs = fs::read_to_string(dir.join("cgroup.procs"))?;
        let command = container.command()?.to_string();
        expect("cgroup.procs", procs.trim(), &command)?;
    }
    Ok(())
}

fn its_cgroup_is_the_root(context: &Context) -> Result<()> {
    let container = limited(context, &context.scene.name()).start(&["read /proc/self/cgroup"])?;
    let inside = container.answer(0)?;
    let groups = groups(&container)?;
    ensure!(!groups.is_empty(), "it has no cgroup of its own");
    for (group, _) in groups {
        let line = format!(":{}:/\\n", group.controllers);
        ensure!(inside.contains(&line), "no line {line} in {inside}");
    }
    Ok(())
}

fn shown_read_only(context: &Context) -> Result<()> {
    let deeds = [
        "read /sys/fs/cgroup/cgroup.procs",
        "open /sys/fs/cgroup/cgroup.procs",
        "mkdir /sys/fs/cgroup/x",
    ];
    let container = context.start(&deeds)?;
    expect("its processes", &*container.answer(0)?, r#"ok "1\n""#)?;
    for deed in [1, 2] {
        let answer = container.answer(deed)?;
        ensure!(matches!(&*answer, "EROFS" | "EACCES"), "{}: {answer}", deeds[deed]);
    }
    let process = container.process()?;
    let mounts = process.mounts.get().context("/proc/PID/mountinfo cannot be read")?;
    let writable = mounts
        .iter()
        .find(|it| it.fstype.starts_with("cgroup") && !it.options.contains(&"ro".into()));
    ensure!(writable.is_none(), "it can write to {writable:?}");
    Ok(())
}

fn removed_afterwards(context: &Context) -> Result<()> {
    for killed in [false, true] {
        let mut container = limited(context, &context.scene.name()).start(&[])?;
        let dirs: Vec<PathBuf> = groups(&container)?.into_iter().map(|(_, dir)| dir).collect();
        ensure!(
            !dirs.is_empty() && dirs.iter().all(|dir| dir.exists()),
            "there is no cgroup: {dirs:?}"
        );
        let gone = || dirs.iter().all(|dir| !dir.exists());
        if killed {
            container.signal(Signal::SIGKILL)?;
            container.wait()?;
            wait_for("the cgroups to go", || Ok(gone()))?;
        } else {
            container.end()?.expect_code(0)?;
            ensure!(gone(), "a cgroup is left of {dirs:?}");
        }
    }
    Ok(())
}

fn refused_limit_leaves_nothing(context: &Context) -> Result<()> {
    let name = context.scene.name();
    let run = limited(context, &name).option("--cpuset-cpus", "4095");
    let ended = run.run(&[])?;
    ended.expect_code(125)?;
    ensure!(
        ended.stderr.contains("--cpuset-cpus"),
        "the error does not name the limit: {}",
        ended.stderr
    );
    let parent = v1("pids").or_else(|| own_cgroup("")).context("we are in no cgroup")?;
    for dir in parent.ancestors().take(3) {
        let left = fs::read_dir(dir)?
            .flatten()
            .find(|entry| entry.file_name().to_string_lossy().contains(&name));
        ensure!(left.is_none(), "{left:?} is left");
    }
    limited(context, &name).option("--cpuset-cpus", "0").run(&["exit 7"])?.expect_code(7)
}

/// A cgroup that is a user's, removed in the end.
struct Delegated(PathBuf);

impl Delegated {
    /// Below the nearest cgroup that has the pids controller for its children.
    fn new(name: &str) -> Result<Delegated> {
        let own = own_cgroup("").context("there is no v2 hierarchy")?;
        let handed = |dir: &&Path| {
            let list = fs::read_to_string(dir.join("cgroup.subtree_control")).unwrap_or_default();
            list.split_whitespace().any(|name| name == "pids")
        };
        let above = own.ancestors().find(handed).context("no cgroup hands pids down")?;
        let delegated = Delegated(above.join(name));
        fs::create_dir_all(delegated.0.join("session"))?;
        for file in
            ["", "cgroup.procs", "cgroup.subtree_control", "session", "session/cgroup.procs"]
        {
            chown(delegated.0.join(file), Some(ORDINARY), Some(ORDINARY))?;
        }
        fs::set_permissions(&delegated.0, Permissions::from_mode(0o755))?;
        Ok(delegated)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for dir in [self.0.join("session"), self.0.clone()] {
            let removed = wait_for("a cgroup to be empty", || Ok(fs::remove_dir(&dir).is_ok()));
            removed.unwrap_or_else(|error| eprintln!("error: {error}"));
        }
    }
}

fn delegated_cgroup(context: &Context) -> Result<()> {
    let delegated = Delegated::new(&context.scene.name())?;
    let procs =
        fs::OpenOptions::new().write(true).open(delegated.0.join("session/cgroup.procs"))?;
    let run = context.container().option("--pids-limit", "20").first(move || {
        // 0 is the writer; the file was opened by root, who may move anybody.
        nix::unistd::write(&procs, b"0").map(drop).map_err(Into::into)
    });
    let container = run.ordinary().start(&["forks 40"])?;
    expect("pids.max", &*file(&container, "pids.max", NONE)?, "20")?;
    expect("how many processes could be started", &*container.answer(0)?, "ok 19 EAGAIN")?;
    container.end()?.expect_code(0)
}
