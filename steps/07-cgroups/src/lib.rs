//! Step 7, cgroups: how much the container may use, and what it did use.
//! `Cgroup::create` makes it with its limits before there is a process, the child is born in it or
//! joins it before it does anything else, and it is removed whatever happens to us.

mod base;
mod devices;
mod files;
mod group;
mod keeper;
mod limits;
mod oom;
mod table;
mod v1;
mod v2;

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use mount::{Flags, Mount};
use nix::sched::{CloneFlags, unshare};

pub use base::{Base, Hierarchy};
pub use devices::Device;
pub use limits::{Hugetlb, Io, Limits, Max, Quota};
pub use oom::Oom;
pub use table::TABLE;

use files::{open, put, text};
use group::{Group, plan};
use keeper::Keeper;

/// How much the container may use.
#[derive(clap::Args, Debug, Default)]
#[group(skip)]
pub struct Args {
    /// Memory: 64m, 1g, or bytes
    #[arg(long, value_name = "SIZE", value_parser = limits::size)]
    pub memory: Option<u64>,

    /// Memory and swap together; -1 is no limit [default: twice --memory]
    #[arg(long, value_name = "SIZE", value_parser = limits::size_or_unlimited)]
    #[arg(requires = "memory", allow_hyphen_values = true)]
    pub memory_swap: Option<Max>,

    /// How many processors' worth of time: 0.5, 2
    #[arg(long, value_name = "NUMBER", value_parser = limits::cpus)]
    pub cpus: Option<Quota>,

    /// The share of processor time against neighbours, 1 to 10000; 100 is usual
    #[arg(long, value_name = "WEIGHT", value_parser = clap::value_parser!(u64).range(1..=10000))]
    pub cpu_weight: Option<u64>,

    /// The processors to run on: 0-1,3
    #[arg(long, value_name = "LIST", value_parser = limits::list)]
    pub cpuset_cpus: Option<String>,

    /// Processes and threads; -1 is no limit
    #[arg(long, value_name = "COUNT", value_parser = limits::count_or_unlimited)]
    #[arg(allow_hyphen_values = true)]
    pub pids_limit: Option<Max>,

    /// Bytes and operations a second of a disk: /dev/vda:rbps=1m,wbps=1m,riops=100,wiops=100
    #[arg(long, value_name = "DEVICE:KEY=VALUE,…")]
    pub io_max: Vec<Io>,

    /// Huge pages of one size: 2MB=64m
    #[arg(long, value_name = "PAGE=SIZE")]
    pub hugetlb: Vec<Hugetlb>,
}

impl From<&Args> for Limits {
    fn from(args: &Args) -> Limits {
        Limits {
            memory: args.memory,
            memory_swap: args.memory_swap,
            cpu_quota: args.cpus,
            cpu_weight: args.cpu_weight,
            cpuset_cpus: args.cpuset_cpus.clone(),
            cpuset_mems: None,
            pids: args.pids_limit,
            io: args.io_max.clone(),
            hugetlb: args.hugetlb.clone(),
            // In a user namespace no device node can be made, so there is no rule to enforce.
            devices: Vec::new(),
        }
    }
}

/// One container's cgroup: a directory in the v2 hierarchy, one in each v1 hierarchy that it
/// needs, or none at all where we may make none and no limit was asked for.
pub struct Cgroup {
    groups: Vec<Group>,
    /// What CLONE_INTO_CGROUP takes.
    v2: Option<File>,
    /// The `tasks` files of the v1 directories, open for the child.
    tasks: Vec<File>,
    keeper: Option<Keeper>,
}

impl Cgroup {
    /// Makes the cgroup `workshop-NAME` with `limits`, for a container called `name`.
    ///
    /// A limit that cannot be had is an error; nothing is left behind then.
    pub fn create(name: &str, limits: &Limits) -> Result<Cgroup> {
        ensure!(!name.contains(['/', '\n', '\0']), "{name:?} cannot be the name of a cgroup");
        check(limits)?;
        let groups = plan(&Base::find()?, &format!("workshop-{name}"), limits)?;
        let mut cgroup = Cgroup { groups, v2: None, tasks: vec![], keeper: None };
        if !cgroup.groups.is_empty() {
            let dirs: Vec<PathBuf> = cgroup.groups.iter().map(|it| it.dir.clone()).collect();
            cgroup.keeper = Some(Keeper::start(&dirs)?);
        }
        for group in &cgroup.groups {
            group.fill()?;
            match group.v2 {
                true => cgroup.v2 = Some(open(&group.dir, libc::O_PATH | libc::O_DIRECTORY)?),
                false => cgroup.tasks.push(open(&group.dir.join("tasks"), libc::O_WRONLY)?),
            }
        }
        Ok(cgroup)
    }

    /// The v2 directory, for `clone3(2)` with CLONE_INTO_CGROUP: the child is born in the cgroup.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.v2.as_ref().map(AsFd::as_fd)
    }

    /// Adds a view of the container's own part of the v2 hierarchy, read-only: whoever could
    /// write there could lift the limits.
    pub fn show(&self, mut mounts: Vec<Mount>) -> Vec<Mount> {
        if self.v2.is_some() {
            let quiet = Flags::MOUNT_ATTR_NOSUID | Flags::MOUNT_ATTR_NODEV;
            let flags = quiet | Flags::MOUNT_ATTR_NOEXEC | Flags::MOUNT_ATTR_RDONLY;
            mounts.push(Mount::filesystem("cgroup2", "/sys/fs/cgroup").flags(flags));
        }
        mounts
    }

    /// In the child, first of all: joins the v1 cgroups, then makes a cgroup namespace, in which
    /// the container's cgroup is the root of every path, cgroup_namespaces(7). In this order: the
    /// namespace has for its root the cgroup that its maker is in.
    ///
    /// To join, write `0`, the writer itself, to each of `tasks`. The keeper's line is closed here
    /// too, `forget`, so that it waits for the parent alone. The namespace comes by unshare(2).
    ///
    /// Exercise 7.3
    pub fn enter(&self) -> Result<()> {
        self.keeper.iter().for_each(Keeper::forget);
        // Our user namespace is no obstacle: v1 asks who opened the file (since 5.17, and in older
        // stable kernels), before that who writes: until we change our ids that is the same user.
        for mut tasks in &self.tasks {
            // 0 is the writer. Moving one thread that is oneself needs no lock on thread groups;
            // for another process, or through cgroup.procs, the kernel waits 10 ms for RCU.
            tasks.write_all(b"0").context("cannot join the container's v1 cgroups")?;
        }
        // After CLONE_INTO_CGROUP alone, clone3(2) could have made it: it is rooted at the cgroup
        // that the child is born in (seen on 6.1 and 6.18). But on v1 that would be the parent's.
        unshare(CloneFlags::CLONE_NEWCGROUP).context("cannot make a cgroup namespace")
    }

    /// Stops all processes of the container where they are.
    pub fn freeze(&self) -> Result<()> {
        self.set_frozen(true).context("cannot freeze the container")
    }

    /// Lets them go on.
    pub fn thaw(&self) -> Result<()> {
        self.set_frozen(false).context("cannot thaw the container")
    }

    fn set_frozen(&self, frozen: bool) -> Result<()> {
        match self.stopper()? {
            Group { dir, v2: true, .. } => v2::freeze(dir, frozen),
            Group { dir, .. } => v1::freeze(dir, frozen),
        }
    }

    /// Kills all processes of the container at once, frozen or not.
    pub fn kill(&self) -> Result<()> {
        let group = self.stopper().context("cannot kill the container")?;
        if group.v2 && put(&group.dir.join("cgroup.kill"), "1").is_ok() {
            return Ok(());
        }
        self.freeze()?; // so that none is forked while we look
        v1::signal_all(&group.dir);
        self.thaw()
    }

    /// The cgroup that can stop processes: v2, or the freezer where there is no v2.
    fn stopper(&self) -> Result<&Group> {
        let stops = |group: &&Group| group.v2 || group.controllers.contains(&"freezer");
        self.groups.iter().find(stops).context("the container has no cgroup: we may make none here")
    }

    /// Whether the kernel killed a process of the container because memory ran out. Ask after the
    /// command has ended, before `remove`.
    ///
    /// The group with the `memory` controller counts it: `oom_kill` in memory.events, cgroup-v2.rst
    /// (on v1, in memory.oom_control). The limit to name is what was written for `--memory`.
    /// Without such a group, or with a count of 0, the answer is `None`.
    ///
    /// Exercise 7.4
    pub fn oom_killed(&self) -> Result<Option<Oom>> {
        let has_memory = |group: &&Group| group.controllers.contains(&"memory");
        let Some(group) = self.groups.iter().find(has_memory) else { return Ok(None) };
        let file = if group.v2 { "memory.events" } else { "memory.oom_control" };
        let text = text(&group.dir.join(file))?;
        let limit = group.writes.iter().find(|write| write.limit == "--memory");
        let kills = v2::value(&text, "oom_kill").unwrap_or_default();
        Ok((kills > 0).then(|| Oom { kills, limit: limit.cloned() }))
    }

    /// Says so on stderr if the command was killed for want of memory, and removes the cgroup.
    /// Gives `code`, the command's exit code, back: 137 is death by SIGKILL.
    pub fn finish(self, code: u8) -> Result<u8> {
        if code == 137
            && let Some(oom) = self.oom_killed()?
        {
            chroot::tell(&format!("error: {oom}"));
        }
        self.remove()?;
        Ok(code)
    }

    /// Removes the cgroup; processes that are left in it are killed. Dropping it does the same
    /// without a word.
    pub fn remove(mut self) -> Result<()> {
        self.keeper.take().map_or(Ok(()), Keeper::finish)
    }
}

/// What clap cannot see: limits that contradict each other.
fn check(limits: &Limits) -> Result<()> {
    match (limits.memory, limits.memory_swap) {
        (Some(memory), Some(Max::At(total))) if total < memory => {
            bail!("--memory-swap is memory and swap together: it cannot be less than --memory")
        }
        _ => Ok(()),
    }
}
