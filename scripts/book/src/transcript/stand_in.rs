//! A stand-in for the host: mounts, processes, a host name and a network of its own, and a root directory in
//! which /home, /root, /tmp, /run and /mnt are new. What is done in it is gone when its last process is.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, Pid, chdir, fork, pivot_root, sethostname},
};
use tempfile::TempDir;

use super::{
    Job, Seen,
    kit::{UID, USER},
    shell::Shells,
};
use crate::place::{programs, read};

/// The subcommand by which we are started again in there.
pub const COMMAND: &str = "stand-in";

/// From here on processes are numbered: no other number in a transcript is like that.
const FIRST_PID: u32 = 27_183;

/// Runs a job in a stand-in for this machine.
pub fn start(job: &Job) -> Result<Seen> {
    if job.commands.is_empty() {
        return Ok(Seen::default());
    }
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--uts",
        "--ipc",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    command.arg(programs()?.join("book")).arg(COMMAND);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run unshare")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    let order = serde_json::to_vec(job)?;
    let writer = thread::spawn(move || stdin.write_all(&order));
    let output = child.wait_with_output().context("cannot wait for the stand-in")?;
    let _ = writer.join();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the transcripts could not be run: {}", said.trim());
    serde_json::from_slice(&output.stdout).context("cannot understand what was run")
}

/// What we do in there: read the job, run it, say what came of it. As the first process we also look after
/// those that lost their parent.
pub fn main() -> Result<()> {
    // SAFETY: this process has one thread.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Child => work(),
        ForkResult::Parent { child } => reap(child),
    }
}

fn reap(worker: Pid) -> Result<()> {
    loop {
        match waitpid(None, None).context("cannot wait")? {
            WaitStatus::Exited(pid, 0) if pid == worker => return Ok(()),
            status if status.pid() == Some(worker) => bail!("the stand-in ended: {status:?}"),
            _ => {}
        }
    }
}

fn work() -> Result<()> {
    let mut order = String::new();
    std::io::stdin().read_to_string(&mut order).context("cannot read the job")?;
    let job: Job = serde_json::from_str(&order).context("cannot understand the job")?;
    let own = TempDir::new_in(&job.kit).context("cannot make a directory for the chapter")?.keep();
    sethostname("host").context("cannot set the host name")?;
    let _ = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    let first = number_processes()?;
    arrange(&job.kit, &own)?;
    chdir(format!("/home/{USER}").as_str()).context("cannot go home")?;
    let outputs = Shells::start()?.run(&job.commands)?;
    let seen = Seen { pids: (first, last_pid()?), outputs };
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

/// Makes `root` a root directory like the machine's, on one mount, as a reader's is: programs, devices and
/// settings are the machine's, and the places where people write are new. Then goes there.
fn arrange(kit: &Path, root: &Path) -> Result<()> {
    bind(root, root)?;
    fs::set_permissions(root, PermissionsExt::from_mode(0o755)).context("cannot open the root")?;
    for (name, mode) in
        [("home", 0o755), ("root", 0o700), ("tmp", 0o1777), ("run", 0o755), ("mnt", 0o755)]
    {
        fs::create_dir(root.join(name)).with_context(|| format!("cannot make /{name}"))?;
        fs::set_permissions(root.join(name), PermissionsExt::from_mode(mode))?;
    }
    let names = fs::read_dir("/").context("cannot list /")?.collect::<Result<Vec<_>, _>>()?;
    let mut paths: Vec<PathBuf> = names.iter().map(|entry| entry.path()).collect();
    // What it lies in comes first, or all that is mounted in it already would be shown there once more.
    paths.sort_by_key(|path| !root.starts_with(path));
    paths.iter().try_for_each(|path| show(path, root))?;
    for name in ["etc", "srv"] {
        bind(&kit.join(name), &root.join(name))?;
    }
    let home = root.join("home").join(USER);
    fs::create_dir(&home).context("cannot make a home")?;
    let done = Command::new("cp").arg("-a").arg(kit.join("rootfs")).arg(&home).status();
    ensure!(done.context("cannot run cp")?.success(), "cannot copy the root directory");
    chown(&home, Some(UID), Some(UID)).context("cannot give the user a home")?;
    enter(root)
}

/// A link or a directory of the machine's `/`, in our own; what is there already stays.
fn show(path: &Path, root: &Path) -> Result<()> {
    let target = root.join(path.strip_prefix("/")?);
    if target.symlink_metadata().is_ok() {
        return Ok(());
    }
    let act = || format!("cannot show {}", path.display());
    if let Ok(link) = fs::read_link(path) {
        return symlink(link, target).with_context(act);
    }
    if path.is_dir() {
        fs::create_dir(&target).with_context(act)?;
        return bind(path, &target);
    }
    Ok(())
}

/// pivot_root(2), with the old root in no directory.
fn enter(root: &Path) -> Result<()> {
    chdir(root).context("cannot enter the root")?;
    pivot_root(".", ".").context("cannot pivot_root")?;
    umount2(".", MntFlags::MNT_DETACH).context("cannot leave the old root")
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(from), to, None::<&str>, flags, None::<&str>)
        .with_context(|| format!("cannot bind {} to {}", from.display(), to.display()))
}

/// Makes the kernel go on with a number from which a process is told from a size or a year.
fn number_processes() -> Result<u32> {
    let file = "/proc/sys/kernel/ns_last_pid";
    if fs::write(file, FIRST_PID.to_string()).is_ok() {
        return Ok(FIRST_PID);
    }
    // A kernel without that file: as many processes as it takes, but fewer.
    // A thread takes a number too, and costs less.
    for _ in 0..FEW {
        let _ = thread::spawn(|| {}).join();
    }
    last_pid()
}

/// How many numbers are left out where the kernel does not say so by itself.
const FEW: u32 = 2000;

/// The newest process of this namespace.
fn last_pid() -> Result<u32> {
    let load = read(Path::new("/proc/loadavg"))?;
    let last = load.split_whitespace().last().and_then(|it| it.parse().ok());
    last.context("/proc/loadavg does not say the last process")
}
