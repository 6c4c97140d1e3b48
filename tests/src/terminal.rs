//! A program on a terminal of its own, with a person at it who types and reads: a pseudo-terminal,
//! pty(7), that is the controlling terminal of a new session.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::termios::{Termios, tcgetattr};

use crate::host;

const PATIENCE: Duration = Duration::from_secs(20);

/// The person's side, and the program that was started.
pub struct Terminal {
    master: File,
    slave: OwnedFd,
    child: Child,
    said: String,
    /// How much of it has been looked at.
    seen: usize,
}

impl Terminal {
    /// Starts `command` as the leader of a session on a new terminal.
    pub fn start(command: &mut Command) -> Result<Terminal> {
        let pty = openpty(None, None).context("cannot open a pseudo-terminal")?;
        let slave = pty.slave;
        let descriptor = slave.as_raw_fd();
        command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave.try_clone()?);
        let take = move || {
            nix::unistd::setsid()?;
            // SAFETY: TIOCSCTTY takes a number; the descriptor is open.
            nix::errno::Errno::result(unsafe { libc::ioctl(descriptor, libc::TIOCSCTTY, 0) })?;
            Ok(())
        };
        // SAFETY: between fork and exec, two system calls.
        unsafe { command.pre_exec(take) };
        let child = command.spawn().context("cannot start a program on a terminal")?;
        host::started(child.id() as i32);
        Ok(Terminal { master: pty.master.into(), slave, child, said: String::new(), seen: 0 })
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Types `keys`; `\x03` is Ctrl-C, `\x1a` Ctrl-Z.
    pub fn types(&mut self, keys: &str) -> Result<()> {
        self.master.write_all(keys.as_bytes()).context("cannot type")
    }

    /// Reads until `text` appears, after what was looked for before.
    pub fn shows(&mut self, text: &str) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(at) = self.said[self.seen..].find(text) {
                self.seen += at + text.len();
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                let before = self.said.len().saturating_sub(600);
                let last = String::from_utf8_lossy(&self.said.as_bytes()[before..]);
                bail!("the terminal does not show {text:?} after {last:?}");
            }
            self.listen()?;
        }
    }

    /// A key may be too early for a program that is just changing the terminal; nothing tells when it
    /// is done.
    pub fn pause(&self) {
        std::thread::sleep(Duration::from_millis(200));
    }

    /// All that it has shown so far.
    pub fn said(&self) -> &str {
        &self.said
    }

    fn listen(&mut self) -> Result<()> {
        let mut ready = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(50u8)).context("cannot wait for the terminal")? > 0 {
            let mut bytes = [0; 4096];
            let length = self.master.read(&mut bytes).unwrap_or(0);
            self.said.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        Ok(())
    }

    /// The terminal's settings.
    pub fn settings(&self) -> Result<Termios> {
        tcgetattr(&self.slave).context("cannot read the terminal's settings")
    }

    /// As when a person pulls at the window's corner: TIOCSWINSZ, which makes a SIGWINCH.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: it reads a winsize, which outlives the call.
        let done = unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &size) };
        nix::errno::Errno::result(done).context("cannot change the terminal's size")?;
        Ok(())
    }

    /// Waits for the program's end.
    pub fn end(&mut self) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            self.listen()?;
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > PATIENCE {
                bail!("the program on the terminal does not end; it said {:?}", self.said);
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
