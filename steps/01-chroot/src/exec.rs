//! The last act of every step: this process becomes the command, execve(2).
//! The command gets its arguments, an explicit environment and descriptors 0, 1 and 2.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd;

use crate::Args;
use crate::outcome::CommandError;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Becomes the command; returns only when it could not.
pub fn exec(args: &Args) -> Result<u8> {
    close_descriptors()?;
    enter_workdir(&args.workdir)?;
    default_sigpipe()?;
    let environment = environment(&args.env)?;
    let argv = args.command.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>>>()?;
    execute(&args.command[0], &argv, &environment)
}

/// Tries execve(2) on one candidate for `command` after the other, with these arguments and this
/// environment. It returns only if none of them could be executed.
///
/// ENOENT and ENOTDIR lead to the next candidate, unless the file is there: then its interpreter
/// is not. So does EACCES, but it is remembered: a command that nobody may execute is not one
/// that is missing. Any other errno ends the search. The error is a `CommandError`.
///
/// Exercise 1.5
fn execute(command: &OsStr, argv: &[CString], environment: &[CString]) -> Result<u8> {
    let mut refused = Errno::ENOENT;
    for path in candidates(command, environment)? {
        let Err(errno) = unistd::execve(&path, argv, environment);
        match errno {
            Errno::ENOENT if exists(&path) => {
                return Err(CommandError::no_interpreter(command).into());
            }
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => refused = errno,
            _ => return Err(CommandError::new(command, errno).into()),
        }
    }
    Err(CommandError::new(command, refused).into())
}

fn exists(path: &CStr) -> bool {
    unistd::access(path, unistd::AccessFlags::F_OK).is_ok()
}

/// Has execve(2) close every descriptor above 2, whoever left it open.
///
/// One open directory of the host is a way out of any root: `openat(fd, "..")`. close_range(2)
/// with CLOSE_RANGE_CLOEXEC marks them all in one call, so that only the command loses them. No
/// library of ours wraps it: it goes through syscall(2).
///
/// Exercise 1.2
fn close_descriptors() -> Result<()> {
    let (first, last) = (3, libc::c_uint::MAX);
    // SAFETY: it marks descriptors and touches no memory.
    let marked =
        unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
    Errno::result(marked).context("cannot mark the inherited descriptors to be closed")?;
    Ok(())
}

/// Changes to the working directory, and refuses one that is not inside.
///
/// After chdir(2) ask getcwd(2): its answer begins with `(unreachable)` instead of `/` for a
/// directory that the root directory does not lead to. Both errors name the directory.
///
/// Exercise 1.3
fn enter_workdir(workdir: &Path) -> Result<()> {
    let act = || format!("cannot change to the working directory {}", workdir.display());
    unistd::chdir(workdir).with_context(act)?;
    if !unistd::getcwd().with_context(act)?.is_absolute() {
        bail!("the working directory {} is outside of the root", workdir.display());
    }
    Ok(())
}

/// Rust programs ignore SIGPIPE, and an ignored signal stays ignored across execve(2).
fn default_sigpipe() -> Result<()> {
    // SAFETY: the default action replaces "ignore"; no handler of ours is involved.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.context("cannot reset SIGPIPE")?;
    Ok(())
}

/// All that the command finds in environ(7), each as `KEY=VALUE`: nothing of ours comes along.
///
/// PATH is `DEFAULT_PATH`; HOME is `/root` for the superuser and `/` for others; TERM is ours, or
/// `dumb`. Then what `-e` asked for, as `assignment` reads it: a later value replaces an earlier
/// one.
///
/// Exercise 1.4
fn environment(asked: &[OsString]) -> Result<Vec<CString>> {
    let home = if unistd::geteuid().is_root() { "/root" } else { "/" };
    let term = std::env::var_os("TERM").unwrap_or_else(|| "dumb".into());
    let mut variables: Vec<(OsString, OsString)> = vec![
        ("PATH".into(), DEFAULT_PATH.into()),
        ("HOME".into(), home.into()),
        ("TERM".into(), term),
    ];
    for variable in asked {
        if let Some((key, value)) = assignment(variable) {
            variables.retain(|(known, _)| *known != key);
            variables.push((key, value));
        }
    }
    variables.into_iter().map(|(key, value)| c_string(&join(key, value))).collect()
}

/// `KEY=VALUE` as it stands; `KEY` alone with the value it has outside, if it has one there.
fn assignment(variable: &OsStr) -> Option<(OsString, OsString)> {
    let bytes = variable.as_bytes();
    match bytes.iter().position(|&byte| byte == b'=') {
        Some(at) => {
            let (key, value) = (&bytes[..at], &bytes[at + 1..]);
            Some((OsStr::from_bytes(key).into(), OsStr::from_bytes(value).into()))
        }
        None => std::env::var_os(variable).map(|value| (variable.into(), value)),
    }
}

fn join(mut key: OsString, value: OsString) -> OsString {
    key.push("=");
    key.push(value);
    key
}

/// The paths to try in turn: the command itself if it names a path, else one for every
/// directory of the PATH that the command will see, environ(7).
fn candidates(command: &OsStr, environment: &[CString]) -> Result<Vec<CString>> {
    if command.is_empty() {
        return Ok(Vec::new());
    }
    if command.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(command)?]);
    }
    let path = environment.iter().find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="));
    std::env::split_paths(OsStr::from_bytes(path.unwrap_or_default()))
        .map(|directory| c_string(directory.join(command).as_os_str()))
        .collect()
}

fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.to_os_string().into_vec())
        .with_context(|| format!("{text:?} holds a NUL byte"))
}
