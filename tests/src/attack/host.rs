//! What lures and judges have of the host: a directory of its own, secrets, processes, and
//! the namespaces in which a throwaway stands in for the host.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, geteuid, getpid, getppid, sethostname};

/// The host as one attack sees it, for one container.
pub struct Host {
    dir: PathBuf,
    /// The step's binary; none when the attempt is made without a container.
    step: Option<PathBuf>,
    flags: Vec<String>,
    told: Vec<String>,
    processes: Vec<Pid>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.processes.iter().for_each(|pid| end(*pid));
    }
}

impl Host {
    pub(super) fn new(dir: &Path, step: Option<PathBuf>, flags: Vec<String>) -> Self {
        Host { dir: dir.to_owned(), step, flags, told: Vec::new(), processes: Vec::new() }
    }

    /// A directory of the host, outside of the container's root and gone at the end.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The container's root directory.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// Gives the attempt an argument: what an attacker knows or has found out.
    pub fn tell(&mut self, what: impl Display) {
        self.told.push(what.to_string());
    }

    /// What the attempt was told, for the judge.
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// Puts a secret into a file of the host, outside of the root, and returns its path.
    pub fn secret(&mut self) -> Result<PathBuf> {
        let path = self.dir.join("secret");
        let secret =
            format!("secret {:08x} of the host\n", std::process::id().wrapping_mul(0x9e37_79b9));
        fs::write(&path, secret).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Mounts a directory of the host, open to everyone, on /volume in the container.
    pub fn volume(&mut self) -> Result<PathBuf> {
        let path = self.dir.join("volume");
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
        self.flags.extend(["-v".into(), format!("{}:/volume", path.display())]);
        Ok(path)
    }

    /// Keeps something of the host open as long as it has this attack: a terminal, a descriptor.
    /// Not a moment less: who loses his terminal gets SIGHUP.
    pub fn keep(&mut self, thing: impl Sized) {
        std::mem::forget(thing);
    }

    /// Starts a process of the host that does `work` and dies with the harness.
    pub fn process(&mut self, work: impl FnOnce()) -> Result<Pid> {
        let pid = start(work).context("cannot start a process")?;
        self.processes.push(pid);
        Ok(pid)
    }

    /// The first line of a file as the next container sees it; none if the file is not there.
    pub fn next_container_reads(&self, path: &str) -> Result<Option<String>> {
        let output = self.start(&["cat".into(), path.into()])?;
        let line = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        match output.status.code() {
            Some(0) => Ok(Some(line)),
            Some(1) => Ok(None),
            _ => {
                bail!("the next container: {}", String::from_utf8_lossy(&output.stderr).trim_end())
            }
        }
    }

    pub(super) fn attempt(&self, name: &str) -> Result<Output> {
        self.start(&[&[name.to_owned()], &self.told[..]].concat())
    }

    /// Runs the part inside, in a container or without one, and waits for it.
    fn start(&self, args: &[String]) -> Result<Output> {
        let mut command = self.command();
        command.arg("inside").args(args).stdin(Stdio::null());
        let us = getpid();
        // SAFETY: prctl(2) and getppid(2) are async-signal-safe and touch nothing of ours.
        unsafe { command.pre_exec(move || Ok(die_with(us)?)) };
        command.output().with_context(|| format!("cannot run {}", command.get_program().display()))
    }

    fn command(&self) -> Command {
        let Some(step) = &self.step else {
            return Command::new(self.root().join("attack"));
        };
        let mut command = Command::new(step);
        command.args(&self.flags).arg(self.root()).arg("/attack");
        command
    }
}

/// Starts a process that does `work` and dies with us, or with the last word of `work`.
pub fn start(work: impl FnOnce()) -> nix::Result<Pid> {
    let us = getpid();
    // SAFETY: this program has one thread, so the child may do what any program may.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            if die_with(us).is_ok() {
                work();
            }
            std::process::exit(0)
        }
    }
}

/// Ends a process that [`start`] made, and waits until it is gone.
pub fn end(child: Pid) {
    let _ = kill(child, Signal::SIGKILL);
    let _ = waitpid(child, None);
}

/// Asks to be killed when the parent ends; it may have ended before we asked.
fn die_with(parent: Pid) -> nix::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH) }
}

/// Moves the harness into namespaces of its own, which from then on are "the host": what an attack
/// renames, mounts or connects to is a throwaway.
///
/// It is still a true test. No namespace is special to these calls: a container either shares its
/// parent's namespace or has another, and that is what the attack finds out. Ours belong to the
/// host's user namespace, as the first ones do, so the same rights are asked for. A mount tree that is
/// shared, as systemd makes it, is made private first, so that nothing of it reaches the real
/// host, and then shared again among us.
///
/// An ordinary user gets no stand-in and needs none: the kernel allows him nothing of this.
pub(super) fn stand_in(namespaces: CloneFlags) -> Result<()> {
    if namespaces.is_empty() || !geteuid().is_root() {
        return Ok(());
    }
    unshare(namespaces).context("cannot make namespaces to stand in for the host")?;
    if namespaces.contains(CloneFlags::CLONE_NEWUTS) {
        sethostname("host").context("cannot name the stand-in for the host")?;
    }
    if namespaces.contains(CloneFlags::CLONE_NEWNS) {
        propagate(MsFlags::MS_PRIVATE)?;
        propagate(MsFlags::MS_SHARED)?;
    }
    if namespaces.contains(CloneFlags::CLONE_NEWNET) {
        loopback_up()?;
    }
    Ok(())
}

fn propagate(how: MsFlags) -> Result<()> {
    mount(None::<&str>, "/", None::<&str>, how | MsFlags::MS_REC, None::<&str>)
        .context("cannot change the propagation of /")
}

/// A new network namespace has a loopback interface, but down: see netdevice(7).
pub(crate) fn loopback_up() -> Result<()> {
    use std::os::fd::AsRawFd;
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: an ifreq is plain data, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) };
    Errno::result(result).context("cannot bring up lo")?;
    Ok(())
}
