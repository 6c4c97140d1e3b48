//! Signals that ask us to end, as bytes in a pipe that can be waited for. They are not held back: what we
//! start inherits no mask, and so gets its Ctrl-C as ever.

use std::{
    fs::File,
    io::{Read, pipe},
    os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd},
    sync::atomic::{AtomicI32, Ordering},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
};

/// The pipe that the handler writes to.
static PIPE: AtomicI32 = AtomicI32::new(-1);

pub struct Signals(File);

impl Signals {
    /// From now on these signals do nothing but to arrive here. Of use once in a process.
    pub fn catch(signals: &[Signal]) -> Result<Signals> {
        let (read, write) = pipe().context("cannot make a pipe for signals")?;
        PIPE.store(write.into_raw_fd(), Ordering::Relaxed);
        let handler = SigHandler::Handler(note);
        let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
        for signal in signals {
            // SAFETY: the handler calls nothing but write(2), signal-safety(7).
            unsafe { sigaction(*signal, &action) }.context("cannot catch a signal")?;
        }
        // Whoever started us may have held them back.
        SigSet::empty().thread_set_mask().context("cannot let signals through")?;
        Ok(Signals(OwnedFd::from(read).into()))
    }

    /// Waits for the next one.
    pub fn next(&mut self) -> Result<Signal> {
        let mut number = [0];
        self.0.read_exact(&mut number).context("cannot read a signal")?;
        Signal::try_from(i32::from(number[0])).context("not a signal")
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

extern "C" fn note(signal: i32) {
    let errno = Errno::last_raw();
    // SAFETY: it writes one byte of ours; the descriptor is never closed.
    unsafe { libc::write(PIPE.load(Ordering::Relaxed), [signal as u8].as_ptr().cast(), 1) };
    Errno::set_raw(errno);
}
