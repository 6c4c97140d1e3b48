//! pasta: an ordinary process that stands between a tap interface in the container's network
//! namespace and plain sockets in the host's. So nobody needs rights in the host's network.
//! It lives exactly as long as the connection, and dies with us.

use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{self, Child, Command, Stdio};

use anyhow::{Context, Error, Result, anyhow};
use chroot::Hint;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{AccessFlags, Pid, access, geteuid};

/// pasta's own defaults make the host's 127.0.0.1 reachable from inside, by the container's
/// loopback (-T, -U) and by the gateway's address, and publish ports (-t, -u). None of that here.
const CLOSED: [&str; 9] = ["-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw"];

/// Who can open this can make a tap interface in a namespace of his own.
const TUN: &str = "/dev/net/tun";

/// A running pasta. Dropped, it is ended.
pub struct Pasta(Child);

impl Pasta {
    /// Starts pasta for the child's network and user namespace and waits until it is ready.
    ///
    /// It copies the host's address and routes to its interface inside and sets that up.
    pub fn connect(child: Pid) -> Result<Pasta> {
        let mut errors = std::fs::File::from(
            memfd_create("pasta", MFdFlags::MFD_CLOEXEC).context("cannot make a file in memory")?,
        );
        let spawned = command(child).stderr(errors.try_clone()?).spawn();
        let mut pasta = Pasta(spawned.map_err(explain)?);
        if !pasta.wait_until_ready()? {
            let mut text = String::new();
            errors.rewind()?;
            errors.read_to_string(&mut text)?;
            return Err(failure(&text));
        }
        Ok(pasta)
    }

    /// pasta writes its process id when all is set up: to its standard output, which is our pipe.
    /// False if it ended instead. The pipe's end alone would not tell: a process that it left
    /// behind may hold the pipe open.
    fn wait_until_ready(&mut self) -> Result<bool> {
        let mut output = self.0.stdout.take().context("pasta has no standard output")?;
        loop {
            let mut ready = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
            let readable =
                poll(&mut ready, PollTimeout::from(20u8)).context("cannot wait for pasta")?;
            if readable > 0 && output.read(&mut [0; 16]).context("cannot hear of pasta")? > 0 {
                return Ok(true);
            }
            if self.0.try_wait().context("cannot wait for pasta")?.is_some() {
                return Ok(false);
            }
        }
    }
}

impl Drop for Pasta {
    /// Not all versions notice that the container has ended, or end their helper processes: so
    /// the whole process group.
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.0.id() as i32), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// In a process group of its own, so that Ctrl-C at the terminal ends the command and not this.
fn command(child: Pid) -> Command {
    let mut command = Command::new("pasta");
    command.args(["--foreground", "--quiet", "--config-net", "--pid", "/proc/self/fd/1"]);
    if geteuid().is_root() {
        // It would become nobody, who may not join the container's user namespace.
        command.args(["--runas", "0:0"]);
    }
    command.args(CLOSED).arg(child.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let parent = process::id();
    // SAFETY: between fork and exec, two system calls; nothing is allocated and no lock taken.
    unsafe { command.pre_exec(move || die_with(parent)) };
    command
}

/// PR_SET_PDEATHSIG(2const); a parent that died before it was armed leaves no signal behind.
fn die_with(parent: u32) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if parent_id() != parent {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(())
}

fn explain(error: io::Error) -> Error {
    let missing = error.kind() == io::ErrorKind::NotFound;
    let error = Error::from(error).context("cannot start pasta");
    match missing {
        true => error.context(Hint("install the package passt, or use --network none".into())),
        false => error,
    }
}

/// The last line that pasta wrote, but for its grief that there is no system log.
fn failure(text: &str) -> Error {
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.contains("to syslog"));
    let why = lines.next_back().unwrap_or("it ended without a word");
    let error = anyhow!("cannot join the network through pasta: {why}");
    match access(TUN, AccessFlags::R_OK | AccessFlags::W_OK) {
        Ok(()) => error,
        Err(_) => error.context(Hint(format!("it needs {TUN}: let everyone read and write it"))),
    }
}
