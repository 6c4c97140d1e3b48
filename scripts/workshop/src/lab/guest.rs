//! The guest's side: our own program, which `scripts/guest-init` becomes inside the lab. As process 1 it
//! starts the command, passes its input and output along the channel, and buries all orphans.

use super::channel::{CHUNK, Channel, Kind, Message};
use super::modules::load;
use super::terminal::WindowSize;
use super::{GUEST, Job};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, read, setsid, sync, write};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

nix::ioctl_write_int_bad!(set_controlling_terminal, libc::TIOCSCTTY);

/// The subcommand [`GUEST`]: `load MODULES NAME` or `run`. Of use only inside the lab.
pub fn guest(arguments: &[OsString]) -> Result<i32> {
    let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
    match arguments[..] {
        [what, modules, name] if what == "load" => {
            load(Path::new(modules), &name.to_string_lossy())?
        }
        [what] if what == "run" => run()?,
        _ => bail!("{GUEST} is started by the lab alone"),
    }
    Ok(0)
}

/// Runs the job and sends its exit code.
fn run() -> Result<()> {
    let job = fs::read("/run/guest/job").context("cannot read the job")?;
    let job: Job = serde_json::from_slice(&job).context("cannot understand the job")?;
    loopback_up().context("cannot bring lo up")?;
    let mut channel = Channel::new(serial_line().context("cannot open the serial line")?);
    channel.send(Kind::Ready, &[])?;
    let code = match Session::start(&job, &mut channel) {
        Ok(session) => session.run()?,
        Err(error) => {
            let name = job.command.first().map_or("a shell".into(), |c| c.to_string_lossy());
            channel.send(Kind::Error, cannot_run(&name, &error).as_bytes())?;
            if error.kind() == ErrorKind::NotFound { 127 } else { 126 }
        }
    };
    // The host ends the guest as soon as it has the code: what was written to my/ must be there by then.
    sync();
    channel.send(Kind::Exit, &code.to_le_bytes())?;
    std::thread::sleep(Duration::from_secs(60));
    Ok(())
}

fn cannot_run(name: &str, error: &io::Error) -> String {
    let errno = error.raw_os_error().map(Errno::from_raw);
    let reason = errno.map_or_else(|| error.to_string(), evidence::answer::describe);
    let hint = match name.contains(char::is_whitespace) {
        true => "hint: a line for a shell is run by sh -c\n",
        false => "",
    };
    format!("error: cannot run {name}: {reason}\n{hint}")
}

/// Our end of the channel: every byte passes as it is, none is echoed.
fn serial_line() -> Result<File> {
    let line = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open("/dev/ttyS0")?;
    let mut raw = tcgetattr(&line)?;
    cfmakeraw(&mut raw);
    tcsetattr(&line, SetArg::TCSANOW, &raw)?;
    Ok(line)
}

/// `ip link set lo up`, without ip: netdevice(7).
fn loopback_up() -> Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: all zeroes is a valid ifreq; its name is then set, zero-terminated.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    let number = std::os::fd::AsRawFd::as_raw_fd(&socket);
    // SAFETY: the kernel reads the request that we own.
    Errno::result(unsafe { libc::ioctl(number, libc::SIOCSIFFLAGS, &request) })?;
    Ok(())
}

struct Session<'a> {
    channel: &'a mut Channel,
    /// Readable when a child has died.
    deaths: SignalFd,
    command: Pid,
    /// None once the command's input is closed.
    input: Option<OwnedFd>,
    /// What the command has not taken yet. As long as there is some, no more is asked for.
    pending: Vec<u8>,
    /// Whether what is pending is the last.
    input_ended: bool,
    outputs: Vec<(Kind, OwnedFd)>,
}

impl<'a> Session<'a> {
    fn start(job: &Job, channel: &'a mut Channel) -> io::Result<Self> {
        let died = SigSet::from(Signal::SIGCHLD);
        died.thread_block()?;
        let deaths = SignalFd::with_flags(&died, SfdFlags::SFD_CLOEXEC)?;
        let (input, outputs, child) = if job.terminal { on_terminal(job)? } else { on_pipes(job)? };
        for file in outputs.iter().map(|(_, file)| file).chain([&input]) {
            fcntl(file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let (input, pending, input_ended) = (Some(input), Vec::new(), false);
        Ok(Session { channel, deaths, command: child, input, pending, input_ended, outputs })
    }

    /// Passes everything on until the command has ended. Returns its exit code.
    fn run(mut self) -> Result<i32> {
        loop {
            let [line, death] = self.wait()?;
            self.pass_output()?;
            if death && let Some(code) = self.bury()? {
                self.pass_output()?;
                return Ok(code);
            }
            if line && self.pending.is_empty() {
                let messages = self.channel.receive()?.context("the host is gone")?;
                messages.iter().for_each(|m| self.take(m));
            }
            self.pass_input();
        }
    }

    fn wait(&self) -> Result<[bool; 2]> {
        let line = if self.pending.is_empty() { PollFlags::POLLIN } else { PollFlags::empty() };
        let mut files = vec![
            PollFd::new(self.channel.as_fd(), line),
            PollFd::new(self.deaths.as_fd(), PollFlags::POLLIN),
        ];
        files.extend(
            self.outputs.iter().map(|(_, file)| PollFd::new(file.as_fd(), PollFlags::POLLIN)),
        );
        if let Some(input) = self.input.as_ref().filter(|_| !self.pending.is_empty()) {
            files.push(PollFd::new(input.as_fd(), PollFlags::POLLOUT));
        }
        poll(&mut files, PollTimeout::NONE).context("cannot wait for the command")?;
        Ok([0, 1].map(|n: usize| files[n].any().unwrap_or(false)))
    }

    /// Sends on what the command has written, until it would block or has ended.
    fn pass_output(&mut self) -> Result<()> {
        let mut buffer = [0; CHUNK];
        let mut open = Vec::new();
        for (kind, file) in std::mem::take(&mut self.outputs) {
            loop {
                match read(&file, &mut buffer) {
                    // A terminal that no process has open any more says EIO.
                    Ok(0) | Err(Errno::EIO) => break,
                    Ok(n) => self.channel.send(kind, &buffer[..n])?,
                    Err(_) => break open.push((kind, file)),
                }
            }
        }
        self.outputs = open;
        Ok(())
    }

    /// Buries all dead, orphans among them. Returns the exit code if the command is one of them.
    fn bury(&mut self) -> Result<Option<i32>> {
        self.deaths.read_signal()?;
        let mut code = None;
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, n)) if pid == self.command => code = Some(n),
                Ok(WaitStatus::Signaled(pid, n, _)) if pid == self.command => {
                    code = Some(128 + n as i32)
                }
                Ok(WaitStatus::StillAlive) | Err(_) => return Ok(code),
                Ok(_) => {}
            }
        }
    }

    fn take(&mut self, message: &Message) {
        match (message.kind, &self.input) {
            (Kind::Input, _) if message.bytes.is_empty() => self.input_ended = true,
            (Kind::Input, _) => self.pending.extend(&message.bytes),
            (Kind::Size, Some(terminal)) => {
                WindowSize::from_bytes(&message.bytes).map(|size| size.set(terminal.as_fd()));
            }
            _ => {}
        }
    }

    fn pass_input(&mut self) {
        let Some(input) = &self.input else { return self.pending.clear() };
        match write(input, &self.pending) {
            Ok(n) => drop(self.pending.drain(..n)),
            Err(Errno::EAGAIN) => {}
            // The command does not want it.
            Err(_) => self.input = None,
        }
        if self.input_ended && self.pending.is_empty() {
            self.input = None;
        }
    }
}

type Started = (OwnedFd, Vec<(Kind, OwnedFd)>, Pid);

/// Starts the command on three pipes.
fn on_pipes(job: &Job) -> io::Result<Started> {
    let ((stdin, input), (output, stdout), (error, stderr)) = (pipe()?, pipe()?, pipe()?);
    let mut command = command(job);
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    let child = command.spawn()?.id();
    let outputs = vec![(Kind::Output, output.into()), (Kind::Error, error.into())];
    Ok((input.into(), outputs, Pid::from_raw(child as i32)))
}

/// Starts the command on a terminal that it controls, so that Ctrl-C, Ctrl-Z and `fg` work, credentials(7).
fn on_terminal(job: &Job) -> io::Result<Started> {
    let pty = openpty(None, None)?;
    let mut command = command(job);
    command.stdin(pty.slave.try_clone()?).stdout(pty.slave.try_clone()?).stderr(pty.slave);
    // SAFETY: one system call between fork and exec, on the new standard input.
    unsafe { command.pre_exec(|| Ok(set_controlling_terminal(0, 0).map(drop)?)) };
    let child = command.spawn()?.id();
    let outputs = vec![(Kind::Output, pty.master.try_clone()?)];
    Ok((pty.master, outputs, Pid::from_raw(child as i32)))
}

/// The command of the job, or a shell, in a session of its own.
fn command(job: &Job) -> Command {
    let mut command = match &job.command[..] {
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        [] => shell(),
    };
    command.envs(job.env.iter().map(|(name, value)| (name, value))).current_dir(&job.directory);
    for ours in ["GUEST", "uml_dir", "mem", "PWD"] {
        command.env_remove(ours);
    }
    // SAFETY: two system calls between fork and exec.
    unsafe {
        command.pre_exec(|| {
            // We hold SIGCHLD back; the command is not to inherit that.
            SigSet::empty().thread_set_mask()?;
            Ok(setsid().map(drop)?)
        })
    };
    command
}

/// A shell whose prompt says where we are.
fn shell() -> Command {
    let bash = Path::new("/bin/bash").exists();
    let mut command = Command::new(if bash { "/bin/bash" } else { "/bin/sh" });
    // Else the host's files would set another prompt.
    command.args(bash.then_some("--norc")).arg("-i");
    command.env("PS1", if bash { r"lab:\w\$ " } else { "lab:$PWD# " });
    command
}
