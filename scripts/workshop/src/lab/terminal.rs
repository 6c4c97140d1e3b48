//! Our own terminal while a lab uses it: raw, so that every key goes to the guest's terminal, which gives
//! Ctrl-C and Ctrl-Z their meaning. What was changed is put back whichever way we leave.

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use serde::{Deserialize, Serialize};
use std::io::{IsTerminal, stdin, stdout};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct WindowSize {
    pub rows: u16,
    pub columns: u16,
}

nix::ioctl_read_bad!(get_size, nix::libc::TIOCGWINSZ, nix::libc::winsize);
nix::ioctl_write_ptr_bad!(set_size, nix::libc::TIOCSWINSZ, nix::libc::winsize);

impl WindowSize {
    /// The size of a terminal; 24 by 80 if it does not say.
    pub fn of(terminal: BorrowedFd) -> Self {
        let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the kernel fills in the structure that we own, ioctl_tty(2).
        let known = unsafe { get_size(terminal.as_raw_fd(), &mut size) }.is_ok() && size.ws_row > 0;
        if known {
            Self { rows: size.ws_row, columns: size.ws_col }
        } else {
            Self { rows: 24, columns: 80 }
        }
    }

    pub fn set(self, terminal: BorrowedFd) -> nix::Result<()> {
        let size = nix::libc::winsize {
            ws_row: self.rows,
            ws_col: self.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the kernel only reads the structure, ioctl_tty(2).
        unsafe { set_size(terminal.as_raw_fd(), &size) }.map(drop)
    }

    pub fn to_bytes(self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.rows.to_le_bytes(), self.columns.to_le_bytes());
        [a, b, c, d]
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, d] = bytes else { return None };
        Some(Self { rows: u16::from_le_bytes([a, b]), columns: u16::from_le_bytes([c, d]) })
    }
}

/// The terminal that is both our standard input and output, as it was found.
pub struct Terminal {
    before: Termios,
}

impl Terminal {
    pub fn of_stdio() -> Option<Self> {
        let both = stdin().is_terminal() && stdout().is_terminal();
        both.then(|| tcgetattr(stdin()).ok().map(|before| Terminal { before })).flatten()
    }

    pub fn size(&self) -> WindowSize {
        WindowSize::of(stdin().as_fd())
    }

    /// Raw until the returned value is dropped.
    pub fn make_raw(&self) -> Result<Raw<'_>> {
        let mut raw = self.before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin(), SetArg::TCSADRAIN, &raw).context("cannot make the terminal raw")?;
        Ok(Raw(self))
    }

    pub fn restore(&self) {
        // Nothing helps if this fails: the terminal is gone.
        let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

pub struct Raw<'a>(&'a Terminal);

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        self.0.restore();
    }
}

/// The signals that end a lab, the one that says that the window has another size, and the one that would
/// kill us when we write to a lab that just ended: held back, and read from a descriptor, so that they
/// find us between two messages, signalfd(2).
pub struct Signals {
    descriptor: SignalFd,
    mask_before: SigSet,
}

impl Signals {
    pub fn block() -> Result<Self> {
        use Signal::{SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGWINCH};
        let held = [SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGWINCH];
        let held: SigSet = held.into_iter().collect();
        let mut mask_before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&held), Some(&mut mask_before))
            .context("cannot hold signals back")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let descriptor =
            SignalFd::with_flags(&held, flags).context("cannot make a signal descriptor")?;
        Ok(Signals { descriptor, mask_before })
    }

    /// The next signal that has come, if one has.
    pub fn next(&self) -> Result<Option<Signal>> {
        let info = self.descriptor.read_signal().context("cannot read a signal")?;
        Ok(info.and_then(|i| Signal::try_from(i.ssi_signo as i32).ok()))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // What came late is not to end our caller.
        while let Ok(Some(_)) = self.next() {}
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.mask_before), None);
    }
}
