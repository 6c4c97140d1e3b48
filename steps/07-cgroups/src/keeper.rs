//! The keeper: a small process that makes a container's cgroups and removes them again when the
//! parent lets go of it or ends, however that happens, SIGKILL included. It makes them itself,
//! so that at no moment there is a cgroup that nobody knows to be ours.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Error, Result, ensure};
use chroot::HintExt;
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{self, ForkResult, Pid};

use crate::files::put;

/// How long processes may take to die: the sum of the waits is 4 s.
const PATIENCE: u32 = 12;

/// The parent's handle. Dropped, the cgroups are removed before the drop returns.
pub struct Keeper {
    pid: Pid,
    /// One end of a socket pair. The keeper reads until it is shut down, or closed by all.
    line: Cell<Option<UnixStream>>,
}

impl Keeper {
    /// Starts a keeper and has it make `dirs`. Either all are made or none is left.
    pub fn start(dirs: &[PathBuf]) -> Result<Keeper> {
        let (line, end) = UnixStream::pair().context("cannot make the keeper's socket pair")?;
        // What is blocked at fork(2) stays blocked in the child: only SIGKILL ends a keeper early.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        // SAFETY: the child takes no lock of this program, and allocates, which glibc allows
        // after fork(2) also in a program with threads.
        let pid = match unsafe { unistd::fork() }.context("cannot fork the keeper")? {
            ForkResult::Child => keep(end, dirs),
            ForkResult::Parent { child } => child,
        };
        before.thread_set_mask()?;
        drop(end);
        let answer = answer(&line);
        let keeper = Keeper { pid, line: Cell::new(Some(line)) };
        match answer? {
            (index, errno) if index < dirs.len() => Err(refusal(&dirs[index], errno)),
            _ => Ok(keeper),
        }
    }

    /// In the child, which has a copy of the line: closes it, so that the keeper waits for the
    /// parent alone.
    pub fn forget(&self) {
        self.line.take();
    }

    /// Lets go, and waits until the cgroups are gone.
    pub fn finish(self) -> Result<()> {
        self.let_go()
    }

    fn let_go(&self) -> Result<()> {
        let Some(line) = self.line.take() else { return Ok(()) };
        line.shutdown(Shutdown::Both).context("cannot let go of the keeper")?;
        let status = loop {
            match waitpid(self.pid, None) {
                Err(Errno::EINTR) => {}
                status => break status.context("cannot wait for the keeper")?,
            }
        };
        ensure!(status == WaitStatus::Exited(self.pid, 0), "cannot remove the container's cgroups");
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.let_go();
    }
}

/// What the keeper says once: which directory it could not make, and why.
fn answer(mut line: &UnixStream) -> Result<(usize, Errno)> {
    let mut answer = [0; 8];
    line.read_exact(&mut answer).context("the keeper of the cgroups ended too early")?;
    let [a, b, c, d, errno @ ..] = answer;
    let index = u32::from_ne_bytes([a, b, c, d]) as usize;
    Ok((index, Errno::from_raw(i32::from_ne_bytes(errno))))
}

fn refusal(dir: &Path, errno: Errno) -> Error {
    let refused = Err::<(), Errno>(errno)
        .with_context(|| format!("cannot make the cgroup {}", dir.display()))
        .hint(Errno::EEXIST, "another container has this name: choose one with --name")
        .hint(Errno::EACCES, "cgroup v1 is root's alone: use sudo, or a host with cgroup v2");
    refused.unwrap_err()
}

/// The keeper's life, from the fork to its exit.
fn keep(mut end: UnixStream, dirs: &[PathBuf]) -> ! {
    hold_nothing_else(&end);
    let made = dirs.iter().position(|dir| make(dir).is_err()).unwrap_or(dirs.len());
    // errno still is what the last mkdir(2) gave.
    let answer = [(made as u32).to_ne_bytes(), Errno::last_raw().to_ne_bytes()].concat();
    let _ = end.write_all(&answer);
    // An interrupted read is tried again: with no signal but SIGKILL there is none.
    let _ = if made == dirs.len() { end.read(&mut [0]) } else { Ok(0) };
    let left = dirs[..made].iter().rev().filter(|dir| remove(dir).is_err()).count();
    // SAFETY: ends the process without running what the parent has left to run at its exit.
    unsafe { libc::_exit((left != 0).into()) }
}

/// Leaves the parent's process group, so that neither Ctrl-C nor `kill -9 -GROUP` finds the
/// keeper, and its descriptors, directory and name: nothing waits for it or is kept busy by it.
fn hold_nothing_else(end: &UnixStream) {
    let _ = unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0));
    let _ = env::set_current_dir("/");
    let _ = prctl::set_name(c"cgroup-keeper");
    // Rust programs start with 0, 1 and 2 open, so `end` is above.
    let end = end.as_raw_fd() as libc::c_uint;
    for (first, last) in [(0, end - 1), (end + 1, libc::c_uint::MAX)] {
        // SAFETY: of the descriptors that this closes none is used here any more.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

fn make(dir: &Path) -> nix::Result<()> {
    unistd::mkdir(dir, Mode::from_bits_truncate(0o755))
}

/// Kills what is left in the cgroup `dir` and removes it, waiting for processes to die.
fn remove(dir: &Path) -> std::io::Result<()> {
    let mut removed = remove_tree(dir);
    for turn in 0..PATIENCE {
        if !matches!(&removed, Err(error) if error.kind() == ErrorKind::ResourceBusy) {
            break;
        }
        kill_all(dir);
        std::thread::sleep(Duration::from_millis(1 << turn));
        removed = remove_tree(dir);
    }
    removed
}

/// A container may have made cgroups in its own, as deep as it liked: this goes down by name,
/// never by a path that could be too long, and removes the deepest first.
fn remove_tree(dir: &Path) -> std::io::Result<()> {
    match fs::remove_dir(dir) {
        Err(error) if error.kind() == ErrorKind::ResourceBusy => env::set_current_dir(dir)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        done => return done,
    }
    let mut names = Vec::new();
    loop {
        match (child_of(Path::new("."))?, names.pop()) {
            (Some(child), last) => {
                env::set_current_dir(&child)?;
                names.extend(last);
                names.push(child);
            }
            (None, Some(done)) => {
                env::set_current_dir("..")?;
                fs::remove_dir(done)?;
            }
            (None, None) => break,
        }
    }
    env::set_current_dir("/")?;
    fs::remove_dir(dir)
}

fn child_of(dir: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut entries = fs::read_dir(dir)?.filter_map(|entry| entry.ok());
    let child = entries.find(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(child.map(|entry| entry.file_name().into()))
}

/// v2 kills a whole subtree with one write (since 5.14); else every process gets a signal.
fn kill_all(dir: &Path) {
    if put(&dir.join("cgroup.kill"), "1").is_err() {
        crate::v1::signal_all(dir);
    }
}
