//! Process groups, which no namespace separates: `kill(0)` reaches the caller's whole group, also
//! the members outside. So the child leaves a group in which others are.

use std::fs::File;

use anyhow::{Context, Result};
use nix::unistd::{Pid, getpgrp, getpid, setpgid, tcgetpgrp};

/// Whether sharing our group is harmless, or needed. A shell with job control starts every job in
/// a group of its own. And the terminal's foreground group must be shared in any case: only its
/// members get Ctrl-C and Ctrl-Z, and may read, credentials(7).
pub fn is_for_us_alone() -> bool {
    getpgrp() == getpid() || is_foreground()
}

fn is_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(terminal) == Ok(getpgrp()))
}

/// In the child, if `wanted`: leads a group of its own from here on.
pub fn leave(wanted: bool) -> Result<()> {
    let ourselves = Pid::from_raw(0);
    match wanted {
        true => setpgid(ourselves, ourselves).context("cannot make a process group"),
        false => Ok(()),
    }
}
