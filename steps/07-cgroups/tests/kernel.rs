//! The kernel's word on every limit: containers that are nothing but a cgroup, on this machine's
//! own hierarchies. Needs root. Every cgroup is in directories of its own, removed by its keeper.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cgroups::{Args, Base, Cgroup, Limits};
use clap::Parser;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{ForkResult, Pid, fork};
use pid::{Child, Clone3};

type Test = (&'static str, fn() -> Result<()>);

const TESTS: &[Test] = &[
    ("memory", memory),
    ("pids", pids),
    ("cpus", cpus),
    ("cpuset", cpuset),
    ("io", io),
    ("devices", devices),
    ("freeze, thaw, kill", freeze_thaw_kill),
    ("the root of the cgroup namespace", namespace),
    ("a cgroup mount inside", mount_inside),
    ("a name that is taken", taken_name),
    ("a limit that the kernel refuses", refused_limit),
    ("SIGKILL of the parent", killed_parent),
    ("SIGKILL of the parent at any moment", killed_any_time),
    ("cgroups made by the container", nested),
    ("an ordinary user with nothing delegated", ordinary_user),
    ("an ordinary user with a delegated cgroup", delegated),
    ("what it costs", cost),
];

fn main() -> ExitCode {
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: the cgroup tests need root");
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(&wanted)) {
        let before = ours();
        let outcome = test().and_then(|()| match ours() == before {
            true => Ok(()),
            false => bail!("cgroups are left: {:?}", ours()),
        });
        match &outcome {
            Ok(()) => println!("ok      {name}"),
            Err(error) => println!("FAILED  {name}: {error:#}"),
        }
        failed += u32::from(outcome.is_err());
    }
    ExitCode::from((failed > 0) as u8)
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// Limits, as they would be given to the step.
fn limits(flags: &str) -> Limits {
    let argv = std::iter::once("step").chain(flags.split_whitespace());
    Limits::from(&Cli::parse_from(argv).args)
}

fn create(flags: &str) -> Result<Cgroup> {
    Cgroup::create(&format!("test{}", std::process::id()), &limits(flags))
}

/// All directories of the workshop in any hierarchy.
fn ours() -> Vec<PathBuf> {
    let base = Base::find().unwrap();
    let hierarchies = base.v2.iter().chain(&base.v1);
    let dirs =
        hierarchies.flat_map(|it| it.own.ancestors().take_while(|up| up.starts_with(&it.mount)));
    let mut found: Vec<PathBuf> = dirs
        .flat_map(|dir| fs::read_dir(dir).unwrap().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("workshop-test"))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The directory of the container in the hierarchy of this controller.
fn dir_with(file: &str) -> Result<PathBuf> {
    let found = ours().into_iter().find(|dir| dir.join(file).exists());
    found.with_context(|| format!("no cgroup has {file}"))
}

fn spawn(cgroup: &Cgroup, run: impl FnOnce() -> Result<u8>) -> Result<Child> {
    let mut clone = Clone3::default();
    clone.namespace(pid::NAMESPACE);
    clone.into_cgroup(cgroup.descriptor());
    let mut child = clone.spawn(|gate| {
        gate.wait()?;
        cgroup.enter()?;
        run()
    })?;
    child.release()?;
    Ok(child)
}

fn sh(script: &str) -> Result<u8> {
    let status = Command::new("sh").args(["-c", script]).status()?;
    Ok(status.code().unwrap_or(99) as u8)
}

fn hog(mib: usize) -> u8 {
    let mut kept = Vec::new();
    for _ in 0..mib {
        kept.push(std::hint::black_box(vec![1u8; 1 << 20]));
    }
    kept.len() as u8
}

fn until(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !holds() {
        ensure!(start.elapsed() < Duration::from_secs(5), "{what}: not within 5 s");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn memory() -> Result<()> {
    let cgroup = create("--memory 64m --memory-swap 64m")?;
    ensure!(spawn(&cgroup, || Ok(hog(40)))?.wait()? == 40, "40 MiB do not fit into 64");
    ensure!(cgroup.oom_killed()?.is_none(), "killed without a reason");
    ensure!(spawn(&cgroup, || Ok(hog(200)))?.wait()? == 137, "200 MiB fit into 64");
    let oom = cgroup.oom_killed()?.context("no OOM kill is reported")?;
    let text = oom.to_string();
    ensure!(oom.kills == 1 && text.starts_with("killed: out of memory (memory."), "{text}");
    ensure!(text.ends_with(" 64 MiB)"), "{text}");
    cgroup.remove()
}

fn pids() -> Result<()> {
    let cgroup = create("--pids-limit 20")?;
    let made = |count| {
        let children = (0..count).map_while(|_| Command::new("sleep").arg("5").spawn().ok());
        children.count() as u8
    };
    let made = spawn(&cgroup, || Ok(made(60)))?.wait()?;
    ensure!((15..20).contains(&made), "{made} processes of 19");
    cgroup.remove()
}

fn cpus() -> Result<()> {
    let cgroup = create("--cpus 0.2 --cpu-weight 50")?;
    let mut child = spawn(&cgroup, || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(600) {}
        Ok(0)
    })?;
    child.wait()?;
    let stat = fs::read_to_string(cpu_stat()?)?;
    let throttled = stat.lines().find_map(|line| line.strip_prefix("nr_throttled "));
    ensure!(throttled.is_some_and(|count| count != "0"), "not throttled: {stat}");
    cgroup.remove()
}

/// v2 shows cpu.stat without the controller too, but then without this line.
fn cpu_stat() -> Result<PathBuf> {
    let files = ours().into_iter().map(|dir| dir.join("cpu.stat"));
    let throttling =
        |file: &PathBuf| fs::read_to_string(file).is_ok_and(|it| it.contains("nr_throttled"));
    files.filter(|file| file.exists()).find(throttling).context("no cpu.stat counts throttling")
}

fn cpuset() -> Result<()> {
    let Ok(cgroup) = create("--cpuset-cpus 0") else {
        println!("        (no cpuset controller here)");
        return Ok(());
    };
    let mut child = spawn(&cgroup, || sh("grep -q '^Cpus_allowed_list:.0$' /proc/self/status"))?;
    ensure!(child.wait()? == 0, "may run on more than processor 0");
    cgroup.remove()
}

fn io() -> Result<()> {
    let mut disks = fs::read_dir("/sys/block")?.flatten().map(|entry| entry.path());
    let Some(disk) = disks.find(|disk| disk.join("device").exists()) else {
        println!("        (no disk here)");
        return Ok(());
    };
    let device = fs::read_to_string(disk.join("dev"))?.trim().to_string();
    let cgroup = create(&format!("--io-max {device}:wbps=4m,riops=1000"))?;
    let file = std::env::temp_dir().join(format!("cgroups-io-{}", std::process::id()));
    let start = Instant::now();
    let script =
        format!("dd if=/dev/zero of={} bs=1M count=4 oflag=direct 2>/dev/null", file.display());
    let code = spawn(&cgroup, || sh(&script))?.wait()?;
    let took = start.elapsed();
    fs::remove_file(&file)?;
    cgroup.remove()?;
    if code != 0 || !Path::new("/dev/vda").exists() {
        println!("        (no direct writes to {device} here)");
        return Ok(());
    }
    ensure!(took > Duration::from_millis(700), "4 MiB at 4 MiB a second took {took:?}");
    Ok(())
}

fn devices() -> Result<()> {
    if Base::find()?.v1("devices").is_none() {
        println!("        (v2 has no devices controller)");
        return Ok(());
    }
    let cgroup = create("")?;
    let node = std::env::temp_dir().join(format!("cgroups-disk-{}", std::process::id()));
    let node = node.display();
    let script = format!(
        "mknod {node} b 254 0 || exit 1; head -c1 {node} && exit 2; \
                          echo > /dev/null && head -c1 /dev/urandom > /dev/null"
    );
    let code = spawn(&cgroup, || sh(&format!("({script}) 2>/dev/null")))?.wait()?;
    let _ = fs::remove_file(node.to_string());
    ensure!(code == 0, "1: no node can be made; 2: a disk can be read; else: no /dev/null: {code}");
    cgroup.remove()
}

fn state(pid: Pid) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?')
}

fn ticks(pid: Pid) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn freeze_thaw_kill() -> Result<()> {
    let cgroup = create("")?;
    let mut child = spawn(&cgroup, || {
        loop {
            std::hint::spin_loop()
        }
    })?;
    let pid = child.pid();
    until("running", || state(pid) == 'R' && ticks(pid) > 1)?;
    cgroup.freeze()?;
    let before = ticks(pid);
    std::thread::sleep(Duration::from_millis(60));
    ensure!(ticks(pid) == before && state(pid) != 'R', "it still runs: {}", state(pid));
    cgroup.thaw()?;
    until("running again", || ticks(pid) > before)?;
    cgroup.freeze()?;
    cgroup.kill()?;
    ensure!(child.wait()? == 137, "not killed");
    cgroup.remove()
}

fn namespace() -> Result<()> {
    let cgroup = create("--pids-limit 50 --memory 100m")?;
    let mut child = spawn(&cgroup, || {
        sh("grep -E ':(memory|pids)?:' /proc/self/cgroup | grep -v ':/$' && exit 1; exit 0")
    })?;
    ensure!(child.wait()? == 0, "the path of its cgroup is not /");
    // Made by the clone3 that has CLONE_INTO_CGROUP, it is rooted there too, in v2.
    let Some(descriptor) = cgroup.descriptor() else { return cgroup.remove() };
    let mut clone = Clone3::default();
    clone.namespace(nix::sched::CloneFlags::CLONE_NEWCGROUP);
    clone.into_cgroup(Some(descriptor));
    let look = || sh("grep -qx '0::/' /proc/self/cgroup");
    let mut child = clone.spawn(|gate| gate.wait().and_then(|()| look()))?;
    let path = fs::read_to_string(format!("/proc/{}/cgroup", child.pid()))?;
    ensure!(path.contains("/workshop-test"), "it was not born in the cgroup: {path}");
    child.release()?;
    ensure!(child.wait()? == 0, "in one step, the path is not /");
    cgroup.remove()
}

fn mount_inside() -> Result<()> {
    let cgroup = create("")?;
    if cgroup.descriptor().is_none() {
        return cgroup.remove();
    }
    let script = "mount --make-rprivate / && mount -t cgroup2 -o ro none /mnt && \
                  test -f /mnt/cgroup.events && ! mkdir /mnt/x 2>/dev/null && umount /mnt";
    for user in [false, true] {
        let mut clone = Clone3::default();
        clone.namespace(nix::sched::CloneFlags::CLONE_NEWNS);
        if user {
            clone.namespace(nix::sched::CloneFlags::CLONE_NEWUSER);
        }
        clone.into_cgroup(cgroup.descriptor());
        let mut child = clone.spawn(|gate| {
            gate.wait()?;
            cgroup.enter()?;
            sh(script)
        })?;
        for map in ["uid_map", "gid_map"].iter().filter(|_| user) {
            fs::write(format!("/proc/{}/{map}", child.pid()), "0 0 1")?;
        }
        child.release()?;
        let code = child.wait()?;
        ensure!(code == 0, "cannot mount cgroup2 inside, user namespace {user}: {code}");
    }
    cgroup.remove()
}

fn taken_name() -> Result<()> {
    let first = create("--pids-limit 20")?;
    let before = ours();
    let second = create("--pids-limit 20").err().context("two containers of one name")?;
    ensure!(format!("{second:#}").contains("EEXIST"), "{second:#}");
    ensure!(ours() == before && !before.is_empty(), "the first one's cgroups were touched");
    first.remove()
}

fn refused_limit() -> Result<()> {
    let refused = create("--cpuset-cpus 9999 --memory 64m --pids-limit 5");
    ensure!(refused.is_err(), "9999 processors");
    let refused = create("--io-max 99:99:rbps=1").err().context("a disk that is not there")?;
    ensure!(format!("{refused:#}").contains("--io-max"), "{refused:#}");
    Ok(())
}

/// A parent of its own, with its own child in a cgroup, that says when that is running.
fn parent(pause: Option<Duration>, frozen: bool) -> Result<Pid> {
    let (mut said, says) = std::io::pipe()?;
    // SAFETY: this program has one thread.
    if let ForkResult::Parent { child } = unsafe { fork() }? {
        drop(says);
        match pause {
            Some(pause) => std::thread::sleep(pause),
            None => drop(std::io::Read::read_exact(&mut said, &mut [0])),
        }
        return Ok(child);
    }
    let run = || -> Result<u8> {
        let cgroup = Cgroup::create("testparent", &limits("--pids-limit 20 --memory 64m"))?;
        let mut child = spawn(&cgroup, || {
            (&says).write_all(b"!")?;
            sh("sleep 30 & wait")
        })?;
        if frozen {
            std::thread::sleep(Duration::from_millis(20));
            cgroup.freeze()?;
        }
        child.wait()
    };
    std::process::exit(run().unwrap_or(1).into())
}

fn end(parent: Pid) -> Result<()> {
    kill(parent, Signal::SIGKILL)?;
    nix::sys::wait::waitpid(parent, None)?;
    until("gone", || ours().is_empty() && keepers() == 0)
}

fn keepers() -> usize {
    let names = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let keeper = |path: &PathBuf| {
        let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
        stat.contains("(cgroup-keeper)") && !stat.contains(") Z ")
    };
    names.filter(keeper).count()
}

fn killed_parent() -> Result<()> {
    [false, true].into_iter().try_for_each(|frozen| {
        let parent = parent(None, frozen)?;
        ensure!(!ours().is_empty(), "no cgroup to begin with");
        std::thread::sleep(Duration::from_millis(if frozen { 50 } else { 0 }));
        end(parent)
    })
}

fn killed_any_time() -> Result<()> {
    (0..60).try_for_each(|turn| end(parent(Some(Duration::from_micros(turn * 50)), false)?))
}

fn nested() -> Result<()> {
    let cgroup = create("")?;
    if cgroup.descriptor().is_some() {
        let deep = dir_with("cgroup.freeze")?.join("a/b/c");
        fs::create_dir_all(&deep)?;
        fs::create_dir(deep.join("../d"))?;
        let mut sleep = Command::new("sleep").arg("30").spawn()?;
        fs::write(deep.join("cgroup.procs"), sleep.id().to_string())?;
        cgroup.remove()?;
        sleep.wait()?;
        return Ok(());
    }
    cgroup.remove()
}

/// Runs `test` in a child that is uid 1000, after `before` as root; gives its error, if any.
fn as_user(before: impl FnOnce() -> Result<()>, test: impl FnOnce() -> Result<()>) -> Result<()> {
    // SAFETY: this program has one thread.
    let child = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let user = || {
                before()?;
                nix::unistd::setgroups(&[])?;
                nix::unistd::setgid(1000.into())?;
                nix::unistd::setuid(1000.into())?;
                test()
            };
            let outcome: Result<()> = user();
            if let Err(error) = &outcome {
                println!("        {error:#}");
            }
            std::process::exit(outcome.is_err().into())
        }
    };
    let status = nix::sys::wait::waitpid(child, None)?;
    ensure!(matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)), "{status:?}");
    Ok(())
}

fn ordinary_user() -> Result<()> {
    as_user(
        || Ok(()),
        || {
            let none = create("")?;
            ensure!(none.descriptor().is_none() && ours().is_empty(), "made one in {:?}", ours());
            none.remove()?;
            let refused =
                create("--pids-limit 5").err().context("a limit without the right to set it")?;
            let hint = refused.downcast_ref::<chroot::Hint>().context("no hint")?;
            println!("        {refused:#}; {}", hint.0);
            Ok(())
        },
    )
}

/// The root of the hierarchy must hand down pids already: it is not ours to change.
fn delegated() -> Result<()> {
    let Some(hierarchy) = Base::find()?.v2 else { return Ok(()) };
    let handed = fs::read_to_string(hierarchy.mount.join("cgroup.subtree_control"))?;
    if !handed.contains("pids") || !handed.contains("memory") {
        println!("        (the root of cgroup v2 hands down neither memory nor pids here)");
        return Ok(());
    }
    let slice = hierarchy.mount.join(format!("workshop-test-slice{}", std::process::id()));
    let session = slice.join("session");
    fs::create_dir_all(&session)?;
    for dir in [&slice, &session] {
        for file in ["", "cgroup.procs", "cgroup.subtree_control"] {
            std::os::unix::fs::chown(dir.join(file), Some(1000), Some(1000))?;
        }
    }
    let join = || Ok(fs::write(session.join("cgroup.procs"), "0")?);
    let outcome = as_user(join, || in_delegated(&slice));
    fs::remove_dir(&session)?;
    fs::remove_dir(&slice)?;
    outcome
}

fn in_delegated(slice: &Path) -> Result<()> {
    let cgroup = create("--memory 64m --memory-swap 64m --pids-limit 20")?;
    ensure!(ours().iter().any(|dir| dir.parent() == Some(slice)), "not beside us: {:?}", ours());
    let mut clone = Clone3::default();
    clone.namespace(nix::sched::CloneFlags::CLONE_NEWUSER | pid::NAMESPACE);
    clone.into_cgroup(cgroup.descriptor());
    let mut child = clone.spawn(|gate| {
        gate.wait()?;
        cgroup.enter()?;
        Ok(hog(200))
    })?;
    child.release()?;
    ensure!(child.wait()? == 137, "200 MiB fit into 64");
    ensure!(cgroup.oom_killed()?.is_some(), "no OOM kill is reported");
    cgroup.remove()
}

/// Medians, and in brackets the least of the runs: what a machine with nothing else to do takes.
fn cost() -> Result<()> {
    let forks = (0..201).map(|_| bare_fork()).collect::<Result<_>>()?;
    println!("        for comparison, fork and wait: {} µs", summary(forks));
    for flags in ["", "--memory 64m --pids-limit 64 --cpus 0.5"] {
        let runs: Vec<[u128; 3]> = (0..201).map(|_| once(flags)).collect::<Result<_>>()?;
        let part = |part: usize| summary(runs.iter().map(|run| run[part]).collect());
        let (create, enter, remove) = (part(0), part(1), part(2));
        println!("        create {create}, spawn and enter {enter}, remove {remove} µs: {flags:?}");
    }
    Ok(())
}

fn summary(mut times: Vec<u128>) -> String {
    times.sort();
    format!("{} ({})", times[times.len() / 2], times[0])
}

fn bare_fork() -> Result<u128> {
    let start = Instant::now();
    // SAFETY: this program has one thread, and the child ends at once.
    match unsafe { fork() }? {
        ForkResult::Child => std::process::exit(0),
        ForkResult::Parent { child } => nix::sys::wait::waitpid(child, None)?,
    };
    Ok(start.elapsed().as_micros())
}

fn once(flags: &str) -> Result<[u128; 3]> {
    let start = Instant::now();
    let cgroup = create(flags)?;
    let created = start.elapsed();
    spawn(&cgroup, || Ok(0))?.wait()?;
    let ran = start.elapsed();
    cgroup.remove()?;
    let removed = start.elapsed();
    Ok([created, ran - created, removed - ran].map(|part| part.as_micros()))
}
