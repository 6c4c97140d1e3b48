//! Our side of a running lab: input and signals go in, output and the exit code come out.
//! We never wait for the guest to take input while it waits for us to take output: neither would move.

use super::channel::{CHUNK, Channel, Kind, Message};
use super::terminal::{Raw, Signals, Terminal};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::read;
use std::io::{ErrorKind, Write, stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

pub enum End {
    /// The command ended, or a signal told us to end.
    Exit(i32),
    /// The guest was not ready in time, or went away before.
    NotBooted,
    /// The guest went away while the command ran.
    Lost,
}

/// A boot takes about three seconds, on a busy machine ten.
const BOOT_TIME: Duration = Duration::from_secs(60);

struct Relay<'a> {
    channel: &'a mut Channel,
    signals: &'a Signals,
    terminal: Option<&'a Terminal>,
    /// Said once the guest is ready.
    welcome: &'a str,
    ready: bool,
    raw: Option<Raw<'a>>,
    input_ended: bool,
}

/// Passes everything on, from the boot to the end of the command.
pub fn relay(
    channel: &mut Channel,
    signals: &Signals,
    terminal: Option<&Terminal>,
    welcome: &str,
) -> Result<End> {
    let deadline = Instant::now() + BOOT_TIME;
    let mut relay =
        Relay { channel, signals, terminal, welcome, ready: false, raw: None, input_ended: false };
    loop {
        if let Some(end) = relay.step(deadline)? {
            return Ok(end);
        }
    }
}

impl Relay<'_> {
    /// Waits until something can be done, and does it.
    fn step(&mut self, deadline: Instant) -> Result<Option<End>> {
        let [line, signal, input] = self.wait(deadline)?;
        if signal && let Some(code) = self.take_signal()? {
            return Ok(Some(End::Exit(code)));
        }
        if input {
            self.pass_input();
        }
        if !line {
            return Ok((!self.ready && Instant::now() >= deadline).then_some(End::NotBooted));
        }
        let _ = self.channel.flush();
        let Ok(Some(messages)) = self.channel.receive() else {
            return Ok(Some(if self.ready { End::Lost } else { End::NotBooted }));
        };
        messages
            .iter()
            .find_map(|m| self.take(m).transpose())
            .transpose()
            .map(|code| code.map(End::Exit))
    }

    /// Which of these need us: the line to the guest, the signals, our input.
    fn wait(&self, deadline: Instant) -> Result<[bool; 3]> {
        let stdin = stdin();
        let more = if self.channel.is_full() { PollFlags::POLLOUT } else { PollFlags::empty() };
        let mut files = vec![
            PollFd::new(self.channel.as_fd(), PollFlags::POLLIN | more),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        if self.ready && !self.input_ended && !self.channel.is_full() {
            files.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = if self.ready {
            PollTimeout::NONE
        } else {
            left.try_into().unwrap_or(PollTimeout::MAX)
        };
        match poll(&mut files, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e).context("cannot wait for the lab"),
        }
        let needs_us = |n: usize| files.get(n).and_then(PollFd::any).unwrap_or(false);
        Ok([needs_us(0), needs_us(1), needs_us(2)])
    }

    /// A new window size is passed on. Any other signal ends the lab: the exit code is returned.
    fn take_signal(&mut self) -> Result<Option<i32>> {
        match self.signals.next()? {
            Some(Signal::SIGWINCH) => self.send_size(),
            // Whoever wrote sees the error.
            Some(Signal::SIGPIPE) => {}
            Some(signal) => return Ok(Some(128 + signal as i32)),
            None => {}
        }
        Ok(None)
    }

    fn send_size(&mut self) {
        if let Some(terminal) = self.terminal.filter(|_| self.ready) {
            // If the guest is gone, reading from it says so.
            let _ = self.channel.send(Kind::Size, &terminal.size().to_bytes());
        }
    }

    fn pass_input(&mut self) {
        let mut buffer = [0; CHUNK];
        // What cannot be read has ended, for the command: a closed input, a terminal that went away.
        let n = read(stdin(), &mut buffer).unwrap_or(0);
        self.input_ended = n == 0;
        let _ = self.channel.send(Kind::Input, &buffer[..n]);
    }

    /// Handles a message from the guest. Returns the exit code if it brings one.
    fn take(&mut self, message: &Message) -> Result<Option<i32>> {
        match message.kind {
            Kind::Ready => self.begin()?,
            Kind::Output => {
                return written(stdout().write_all(&message.bytes).and_then(|()| stdout().flush()));
            }
            Kind::Error => return written(stderr().write_all(&message.bytes)),
            Kind::Exit => {
                let bytes = message
                    .bytes
                    .as_slice()
                    .try_into()
                    .context("the guest sent half an exit code")?;
                return Ok(Some(i32::from_le_bytes(bytes)));
            }
            Kind::Input | Kind::Size => {}
        }
        Ok(None)
    }

    fn begin(&mut self) -> Result<()> {
        self.ready = true;
        eprint!("{}", self.welcome);
        self.raw = self.terminal.map(Terminal::make_raw).transpose()?;
        self.send_size();
        Ok(())
    }
}

/// Nobody reads our output any more: we end as SIGPIPE would have ended the command.
fn written(result: std::io::Result<()>) -> Result<Option<i32>> {
    match result {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(Some(128 + Signal::SIGPIPE as i32)),
        result => result.map(|()| None).context("cannot write the command's output"),
    }
}
