//! The kernel's processes on the host, and the keeper, a process that outlives us to end them in order.
//! User-Mode Linux runs each program of the guest in a process of the host, and catches its system calls
//! by ptrace(2). If the kernel alone is killed, those processes run on and *their calls reach the host*:
//! so they are killed first, and the kernel after them.

use super::channel::Channel;
use super::processor::{self, Processor, signal_within};
use super::terminal::Terminal;
use super::{GUEST, Job, Kernel, Request, kept_directory};
use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid, setsid};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub struct Machine {
    pub channel: Channel,
    keeper: Pid,
    log: Option<PathBuf>,
}

impl Machine {
    /// Starts a kernel. Errors are of the host's making; what goes wrong later shows on the channel.
    pub fn boot(
        kernel: &Kernel,
        request: &Request,
        job: &Job,
        terminal: Option<&Terminal>,
    ) -> Result<Self> {
        let directory = short_directory()?;
        let (log, output) = create_log(&kernel.directory)?;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
                .context("cannot make a socket pair")?;
        fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .context("cannot make a socket non-blocking")?;
        let keeper = Keeper { directory: directory.path(), log: &log, parent: getpid(), terminal };
        // SAFETY: the child works on its own copies, needs none of our threads and leaves by `exit`.
        match unsafe { fork() }.context("cannot fork the lab's keeper")? {
            ForkResult::Child => {
                drop(ours);
                keeper.run(|| boot(kernel, request, job, directory.path(), theirs, output))
            }
            ForkResult::Parent { child } => {
                let _ = directory.keep();
                Ok(Machine {
                    channel: Channel::new(File::from(ours)),
                    keeper: child,
                    log: Some(log),
                })
            }
        }
    }

    /// The error for a lab that failed: what, and the end of its log, which stays.
    pub fn failure(mut self, what: &str) -> anyhow::Error {
        let log = self.log.take().expect("a machine has a log until it failed");
        drop(self);
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        // After a panic come only the kernel's registers and its stack.
        let end = text.lines().position(|line| line.starts_with("Kernel panic"));
        let lines: Vec<&str> = text.lines().take(end.map_or(usize::MAX, |n| n + 1)).collect();
        let tail = lines[lines.len().saturating_sub(10)..].join("\n  ");
        anyhow!("{what}; its log is {}, and ends:\n  {tail}", log.display())
    }
}

impl Drop for Machine {
    /// Ends the lab and waits until nothing is left of it.
    fn drop(&mut self) {
        let _ = kill(self.keeper, Signal::SIGTERM);
        while waitpid(self.keeper, None) == Err(Errno::EINTR) {}
        self.log.as_ref().map(fs::remove_file);
    }
}

/// A file for what the kernel says: with the kernel, or where this user may write.
fn create_log(directory: &Path) -> Result<(PathBuf, File)> {
    let here = tempfile::Builder::new().prefix("boot-").suffix(".log").tempfile_in(directory);
    let file = here.or_else(|_| tempfile::Builder::new().prefix("lab-boot-").tempfile());
    let (file, path) = file.and_then(|file| Ok(file.keep()?)).context("cannot make a log file")?;
    Ok((path, file))
}

/// A new directory for one lab. Its path stands on the kernel's command line and in the address of a
/// socket, unix(7): it is short and has no spaces.
fn short_directory() -> Result<TempDir> {
    let fits = |p: &PathBuf| {
        p.to_str()
            .is_some_and(|s| s.len() < 50 && !s.contains(|c: char| c.is_whitespace() || c == '"'))
    };
    let parent = Some(std::env::temp_dir()).filter(fits).unwrap_or("/tmp".into());
    tempfile::Builder::new()
        .prefix("lab-")
        .tempdir_in(&parent)
        .with_context(|| format!("cannot make a directory in {}", parent.display()))
}

struct Keeper<'a> {
    directory: &'a Path,
    log: &'a Path,
    parent: Pid,
    terminal: Option<&'a Terminal>,
}

impl Keeper<'_> {
    /// Starts the kernel, waits until it ends or we are told to end it, and clears up.
    fn run(&self, boot: impl FnOnce() -> Result<Pid>) -> ! {
        // A session of its own: Ctrl-C and a closing terminal are the parent's to handle.
        let _ = setsid();
        // Processes of the kernel's whose parent dies become ours, so that none is lost.
        let _ = prctl::set_child_subreaper(true);
        let _ = prctl::set_pdeathsig(Signal::SIGTERM);
        let awaited: SigSet = [Signal::SIGTERM, Signal::SIGCHLD].into_iter().collect();
        let _ = awaited.thread_set_mask();
        match boot() {
            Ok(kernel) => {
                let (mut lives, mut processor) = (true, Processor::of(kernel));
                // The parent may have died before the death signal was set: then none comes.
                while lives && getppid() == self.parent {
                    match signal_within(&awaited, processor.pause()) {
                        None => processor.look(),
                        Some(Signal::SIGCHLD) => lives = reap(kernel),
                        Some(_) => break,
                    }
                }
                end(kernel, lives);
            }
            Err(error) => {
                let _ = fs::write(self.log, format!("{error:#}\n"));
            }
        }
        self.clear_up();
        std::process::exit(0)
    }

    fn clear_up(&self) {
        let _ = fs::remove_dir_all(self.directory);
        if getppid() != self.parent {
            let _ = fs::remove_file(self.log);
            self.terminal.inspect(|t| t.restore());
        }
    }
}

/// Buries our dead. Returns whether the kernel still lives.
fn reap(kernel: Pid) -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return true,
            Ok(status) if status.pid() == Some(kernel) => return false,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Ends the kernel, if it lives, and all processes that it made: those first.
fn end(kernel: Pid, lives: bool) {
    if lives {
        // Stopped, it makes no new ones while we kill those that it has.
        let _ = kill(kernel, Signal::SIGSTOP);
        let _ = waitpid(kernel, Some(WaitPidFlag::WUNTRACED));
        kill_children(kernel);
        let _ = kill(kernel, Signal::SIGKILL);
    }
    // What it left behind is ours by now.
    while waitpid(None, Some(WaitPidFlag::WNOHANG)) != Err(Errno::ECHILD) {
        kill_children(getpid());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills the children of a process, listed in /proc/PID/task/PID/children, proc(5).
fn kill_children(parent: Pid) {
    let list =
        fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    for child in list.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
    }
}

/// Fills the lab's directory and starts the kernel on it.
fn boot(
    kernel: &Kernel,
    request: &Request,
    job: &Job,
    directory: &Path,
    line: OwnedFd,
    log: File,
) -> Result<Pid> {
    fill(directory, kernel, request, job).context("cannot fill the lab's directory")?;
    let mut command = Command::new(&kernel.program);
    command
        .args(arguments(directory, request.memory, line.as_raw_fd()))
        .env_clear()
        .env("TMPDIR", memory_directory(directory, request.memory))
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let number = line.as_raw_fd();
    // SAFETY: only system calls between fork and exec: no allocation, no lock.
    unsafe {
        command.pre_exec(move || {
            SigSet::empty().thread_set_mask()?;
            processor::stay();
            // Without its keeper, the kernel ends its processes and itself at SIGTERM.
            prctl::set_pdeathsig(Signal::SIGTERM)?;
            nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0)?;
            let inherited = std::os::fd::BorrowedFd::borrow_raw(number);
            fcntl(inherited, FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()))?;
            Ok(())
        });
    }
    let child =
        command.spawn().with_context(|| format!("cannot start {}", kernel.program.display()))?;
    Ok(Pid::from_raw(child.id() as i32))
}

/// The kernel's command line. `con` are its consoles, of which only the first goes anywhere (the log);
/// `ssl0` is its first serial line, the guest's end of the channel.
fn arguments(directory: &Path, memory: u32, line: i32) -> Vec<String> {
    let directory = directory.display();
    vec![
        format!("mem={memory}M"),
        "root=/dev/root".into(),
        "rootfstype=hostfs".into(),
        "ro".into(),
        format!("init={directory}/init"),
        format!("GUEST={directory}"),
        "con=null".into(),
        "con0=null,fd:1".into(),
        "ssl=null".into(),
        format!("ssl0=fd:{line}"),
        "quiet".into(),
        "umid=lab".into(),
        format!("uml_dir={directory}/"),
        "security=apparmor".into(),
        "apparmor=1".into(),
    ]
}

/// What the guest finds in its directory: `init` and its settings, our own program, and the job.
fn fill(directory: &Path, kernel: &Kernel, request: &Request, job: &Job) -> Result<()> {
    let kept = kept_directory(request.checkout).unwrap_or_default();
    let mut settings = File::create(directory.join("settings"))?;
    writeln!(settings, "name=lab")?;
    writeln!(settings, "checkout={}", quoted(request.checkout))?;
    writeln!(settings, "kept={}", quoted(&kept))?;
    writeln!(settings, "modules={}", quoted(&kernel.modules))?;
    writeln!(settings, "load() {{ \"$GUEST/workshop\" {GUEST} load \"$modules\" \"$1\"; }}")?;
    writeln!(settings, "run() {{ exec \"$GUEST/workshop\" {GUEST} run; }}")?;
    fs::write(directory.join("job"), serde_json::to_vec(job)?)?;
    fs::copy("/proc/self/exe", directory.join("workshop"))?;
    fs::write(directory.join("init"), include_str!("../../../guest-init"))?;
    fs::set_permissions(directory.join("init"), fs::Permissions::from_mode(0o755))?;
    Ok(fs::set_permissions(directory.join("workshop"), fs::Permissions::from_mode(0o755))?)
}

/// A path as a word of the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

/// Where the guest's memory lives, in a file without a name: in /dev/shm if it has room and programs may be
/// run from it (the guest's are mapped from there; Docker allows neither), else with the rest on the disk.
fn memory_directory(otherwise: &Path, megabytes: u32) -> PathBuf {
    let shm = Path::new("/dev/shm");
    let fits = statvfs(shm).is_ok_and(|s| {
        !s.flags().contains(FsFlags::ST_NOEXEC)
            && s.blocks_available() * s.fragment_size() >= u64::from(megabytes) << 20
    });
    let writable = nix::unistd::access(shm, nix::unistd::AccessFlags::W_OK).is_ok();
    if fits && writable { shm.into() } else { otherwise.into() }
}
