//! Step 7, cgroups: how much the container may use, and what it did use.
//! `Cgroup::create` makes it with its limits before there is a process, the child is born in it or
//! joins it before it does anything else, and it is removed whatever happens to us.

mod base;
mod keeper;
mod limits;
mod table;
mod v1;
mod v2;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use chroot::{Hint, HintExt};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

pub use base::{Base, Hierarchy};
pub use limits::{Device, Hugetlb, Io, Limits, Max, Quota};
pub use table::TABLE;

use keeper::Keeper;
use table::{Row, Write};

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
            devices: Device::defaults(),
        }
    }
}

/// A directory that is to be made, in one hierarchy.
#[derive(Debug, Default, PartialEq)]
struct Group {
    dir: PathBuf,
    v2: bool,
    controllers: Vec<&'static str>,
    writes: Vec<Write>,
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

    /// In the child, first of all: joins the v1 cgroups, then makes a cgroup namespace, in which
    /// the container's cgroup is the root of every path, cgroup_namespaces(7).
    ///
    /// With CLONE_INTO_CGROUP alone, `clone3(2)` could have made the namespace too: the kernel
    /// roots it at the cgroup that the child is born in (seen on 6.18). But the v1 cgroups are
    /// joined here, and a namespace from before would have the parent's for its roots.
    ///
    /// The child's user namespace is no obstacle: v1 asks who opened the file (since 5.17, and in
    /// older stable kernels), before that who writes, and until the child changes its ids that
    /// is the same user.
    pub fn enter(&self) -> Result<()> {
        self.keeper.iter().for_each(Keeper::forget);
        for mut tasks in &self.tasks {
            // 0 is the writer. Moving one thread that is oneself needs no lock on thread groups;
            // for another process, or through cgroup.procs, the kernel waits 10 ms for RCU.
            tasks.write_all(b"0").context("cannot join the container's v1 cgroups")?;
        }
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
        if let (137, Some(oom)) = (code, self.oom_killed()?) {
            eprintln!("error: {oom}");
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

/// What the container was killed for.
#[derive(Debug)]
pub struct Oom {
    /// How many processes were killed.
    pub kills: u64,
    limit: Option<Write>,
}

impl fmt::Display for Oom {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("killed: out of memory (")?;
        match &self.limit {
            Some(Write { file, value, .. }) => write!(f, "{file} {})", human(value)),
            None => f.write_str("no limit of its own: a cgroup above it, or the host)"),
        }
    }
}

/// Bytes in the largest unit that divides them: `64 MiB`.
fn human(bytes: &str) -> String {
    let Ok(bytes) = bytes.parse::<u64>() else { return bytes.to_string() };
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = units.iter().find(|(shift, _)| bytes > 0 && bytes % (1 << shift) == 0);
    whole.map_or(format!("{bytes} bytes"), |(shift, unit)| format!("{} {unit}", bytes >> shift))
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

/// Which directories are needed for `limits`, each with what is written to it. The v2 hierarchy
/// first; a controller that it does not have is looked for in v1.
fn plan(base: &Base, name: &str, limits: &Limits) -> Result<Vec<Group>> {
    let offered = base.v2.as_ref().map(v2::offered).transpose()?.unwrap_or_default();
    let mut v2 = Group { v2: true, ..Group::default() };
    let mut v1: Vec<Group> = Vec::new();
    for row in TABLE {
        if offered.contains(row.v2.controller) {
            v2.add(row.v2.controller, row.v2(limits));
        } else if let Some(hierarchy) = base.v1(row.v1.controller) {
            add_v1(&mut v1, hierarchy, name, row, row.v1(limits));
        } else if let Some(write) = row.v2(limits).iter().find(|write| write.asked) {
            return Err(absent(write, row));
        }
    }
    let v2 = place_v2(base, name, v2)?;
    if v2.is_none()
        && let Some(freezer) = base.v1("freezer")
        && v1::may_create(&freezer.own)
    {
        v1.push(Group {
            dir: freezer.own.join(name),
            controllers: vec!["freezer"],
            ..Group::default()
        });
    }
    Ok(v2.into_iter().chain(v1).collect())
}

/// Controllers may share a v1 hierarchy (cpu,cpuacct), and then the directory too.
fn add_v1(groups: &mut Vec<Group>, at: &Hierarchy, name: &str, row: &Row, writes: Vec<Write>) {
    let asked = writes.iter().any(|write| write.asked);
    if writes.is_empty() || !asked && !v1::may_create(&at.own) {
        return;
    }
    let dir = at.own.join(name);
    let index = groups.iter().position(|group| group.dir == dir).unwrap_or_else(|| {
        groups.push(Group { dir, ..Group::default() });
        groups.len() - 1
    });
    groups[index].add(row.v1.controller, writes);
}

/// Finds the directory for the v2 cgroup and has its parent hand down what is needed. Without a
/// limit it is made too, where we may: for freeze, kill and accounting.
fn place_v2(base: &Base, name: &str, mut group: Group) -> Result<Option<Group>> {
    let Some(hierarchy) = &base.v2 else { return Ok(None) };
    let Some(parent) = v2::place(hierarchy, &group.controllers) else {
        let alone = |write: &&Write| v2::place(hierarchy, &[controller_of(write)]).is_none();
        let worst = group.writes.iter().find(alone).or(group.writes.first());
        let refusal = worst.map(|it| v2::refusal(hierarchy, it.limit, controller_of(it)));
        return refusal.map_or(Ok(None), Err);
    };
    v2::hand_down(&parent, &group.controllers)?;
    group.dir = parent.join(name);
    Ok(Some(group))
}

/// A file is named after its controller: `memory.max`.
fn controller_of(write: &Write) -> &str {
    write.file.split('.').next().unwrap_or_default()
}

fn absent(write: &Write, row: &Row) -> anyhow::Error {
    let controller = row.v2.controller;
    let hint = format!(
        "if it is not in /proc/cgroups, boot without cgroup_disable={controller} \
         (on a Raspberry Pi: with cgroup_enable={controller})"
    );
    anyhow!("cannot apply {}: this host has no {controller} controller", write.limit)
        .context(Hint(hint))
}

impl Group {
    fn add(&mut self, controller: &'static str, writes: Vec<Write>) {
        if !writes.is_empty() && !self.controllers.contains(&controller) {
            self.controllers.push(controller);
        }
        self.writes.extend(writes);
    }

    /// Writes the limits, before anyone is in the cgroup.
    fn fill(&self) -> Result<()> {
        if !self.v2 && self.controllers.contains(&"cpuset") {
            v1::fill_cpuset(&self.dir)?;
        }
        let mut per_file = self.writes.chunk_by(|one, next| one.file == next.file);
        per_file.try_for_each(|writes| self.fill_file(writes))
    }

    /// Each value in a write(2) of its own: that is how these files tell them apart.
    fn fill_file(&self, writes: &[Write]) -> Result<()> {
        let path = self.dir.join(&writes[0].file);
        let file = open(&path, libc::O_WRONLY);
        if file.is_err() && !writes[0].asked {
            return Ok(());
        }
        let act = || format!("cannot apply {}", writes[0].limit);
        let mut file = file.with_context(act)?;
        writes.iter().try_for_each(|write| match put_into(&mut file, &path, &write.value) {
            // In a container, what the host denies cannot be allowed: devices.allow fails.
            Err(_) if !write.asked && !write.file.ends_with(".deny") => Ok(()),
            done => done.with_context(act),
        })
    }
}

/// Writes `value` to a file of a cgroup in one write(2), without making the file.
fn put(file: &Path, value: &str) -> Result<()> {
    put_into(&mut open(file, libc::O_WRONLY)?, file, value)
}

fn put_into(open: &mut File, file: &Path, value: &str) -> Result<()> {
    let act = || format!("cannot write {value:?} to {}", file.display());
    open.write_all(value.as_bytes()).with_context(act)
}

/// Reads a file of /proc or of a cgroup with one read(2): they are small, and their size is not
/// known beforehand.
fn text(path: &Path) -> Result<String> {
    let mut text = String::with_capacity(8192);
    let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

fn open(path: &Path, flags: i32) -> Result<File> {
    let mut options = OpenOptions::new();
    match flags {
        libc::O_WRONLY => options.write(true),
        _ => options.read(true).custom_flags(flags),
    };
    let file = options.open(path).with_context(|| format!("cannot open {}", path.display()));
    file.hint(Errno::ENOENT, "this kernel does not have that file (swap: boot with swapaccount=1)")
}
