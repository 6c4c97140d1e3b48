//! Waiting for a container. Whoever asks again and again takes time from what he waits for; most of all in a
//! lab, where every question is dear. So the kernel wakes us: when a process ends, or says something.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The longest that anything may take. A lab is thirty times slower than its host.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long we sleep at most, should the kernel not wake us.
const NAP: u8 = 100;

/// The end of a process, and what is written to a file.
pub struct Signs {
    process: OwnedFd,
    written: Inotify,
}

impl Signs {
    /// Of a child that was not waited for yet, so that its number is nobody else's.
    pub fn of(pid: i32) -> Result<Signs> {
        let pid = Pid::from_raw(pid).context("no process has this number")?;
        let process = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open")?;
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        Ok(Signs { process, written: Inotify::init(flags).context("inotify_init")? })
    }

    /// Also when something is written to this file.
    pub fn and(self, file: &File) -> Result<Signs> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        self.written.add_watch(&*path, AddWatchFlags::IN_MODIFY).context("inotify_add_watch")?;
        Ok(self)
    }

    /// Sleeps until there is one, and not for long if there is none.
    pub fn wait(&self) {
        let mut signs = [self.process.as_fd(), self.written.as_fd()]
            .map(|sign| PollFd::new(sign, PollFlags::POLLIN));
        // Interrupted or not: whoever waits looks now.
        let _ = poll(&mut signs, PollTimeout::from(NAP));
        let _ = self.written.read_events();
    }
}

/// For what nothing wakes us: asks again and again, the more seldom the longer it takes. An error when
/// it takes too long.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !holds()? {
        in_time(what, start)?;
        sleep((start.elapsed() / 8).clamp(Duration::from_millis(1), Duration::from_millis(20)));
    }
    Ok(())
}

/// An error if we have waited too long.
pub fn in_time(what: &str, start: Instant) -> Result<()> {
    if start.elapsed() > PATIENCE {
        bail!("waited {} s for {what}", PATIENCE.as_secs());
    }
    Ok(())
}
