//! How a step begins and ends: arguments in, an exit code and one line of error out.
//! 125: the container could not be made; 126: the command cannot be executed; 127: it was not
//! found; 128+n: signal n ended it; else the command's own code.

use std::ffi::OsStr;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Error, Result};
use clap::Parser;
use clap::error::{ContextKind, ErrorKind};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};

const NO_CONTAINER: u8 = 125;
const CANNOT_EXECUTE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Parses the arguments, runs the step and turns its outcome into this process's exit code.
pub fn main<Cli: Parser>(run: impl FnOnce(Cli) -> Result<u8>) -> ExitCode {
    default_sigchld();
    let code = match Cli::try_parse() {
        Ok(cli) => run(cli).unwrap_or_else(|error| report(&error)),
        Err(error) => usage(&error),
    };
    ExitCode::from(code)
}

/// Whoever started us may ignore SIGCHLD, and that survives execve(2). Then the kernel would say
/// nothing of a child that has ended, and keep no exit code of it, wait(2).
fn default_sigchld() {
    // SAFETY: the default action replaces "ignore"; no handler of ours is involved.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
}

/// Says what went wrong, in one line and perhaps a hint, and gives the exit code for it.
pub fn report(error: &Error) -> u8 {
    let causes: Vec<String> = error.chain().map(cause).filter(|text| !text.is_empty()).collect();
    // A path or a name may hold a line feed; the error stays one line.
    tell(&format!("error: {}", causes.join(": ").replace('\n', "\\n")));
    if let Some(Hint(hint)) = error.downcast_ref() {
        tell(&format!("hint: {hint}"));
    }
    error.downcast_ref().map_or(NO_CONTAINER, CommandError::code)
}

/// clap explains over several lines; the first two sentences of it are what a person needs.
fn usage(error: &clap::Error) -> u8 {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        print!("{error}");
        return 0;
    }
    let text = error.to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        tell(text.trim_end());
        return NO_CONTAINER;
    }
    let what: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    tell(&what.join(" "));
    tell(&format!("hint: {}", help(error)));
    NO_CONTAINER
}

/// Whoever comes from Docker asks for what is always so here.
fn help(error: &clap::Error) -> &'static str {
    let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    match (error.kind(), argument.as_deref()) {
        (ErrorKind::UnknownArgument, Some("-i" | "-t" | "--interactive" | "--tty" | "--rm")) => {
            "leave it out: the command has this terminal, and nothing is left of a container"
        }
        (ErrorKind::InvalidSubcommand | ErrorKind::MissingSubcommand, _) => {
            "--help lists the commands"
        }
        _ => "--help lists the flags",
    }
}

/// Writes a line to stderr, by one write(2). Nobody may be reading there any more (EPIPE), or its disk
/// be full: that is no reason to give up what is under way, as `eprintln!` would.
pub fn tell(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// One link of the chain.
fn cause(cause: &(dyn std::error::Error + 'static)) -> String {
    match errno(cause) {
        Some(errno) => describe(errno),
        None => cause.to_string(),
    }
}

/// In the words of strerror(3), and by its name: `Bad file descriptor (EBADF)`.
pub fn describe(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    format!("{words} ({errno:?})")
}

/// The errno in an error of any of the three libraries that report one.
fn errno(cause: &(dyn std::error::Error + 'static)) -> Option<Errno> {
    let io = || cause.downcast_ref::<std::io::Error>()?.raw_os_error();
    let rustix = || Some(cause.downcast_ref::<rustix::io::Errno>()?.raw_os_error());
    let raw = || io().or_else(rustix).map(Errno::from_raw);
    cause.downcast_ref::<Errno>().copied().or_else(raw)
}

/// A second line for an error: why the kernel refused, and what to do. It is no link of the
/// chain of causes, so it shows as nothing there.
#[derive(Debug)]
pub struct Hint(pub String);

impl fmt::Display for Hint {
    fn fmt(&self, _: &mut fmt::Formatter) -> fmt::Result {
        Ok(())
    }
}

/// Adds a hint to errors that the kernel gave with one errno.
pub trait HintExt<T> {
    /// `text` is shown under the error if `errno` caused it.
    fn hint(self, errno: Errno, text: &str) -> Result<T>;
}

impl<T> HintExt<T> for Result<T> {
    fn hint(self, wanted: Errno, text: &str) -> Result<T> {
        self.map_err(|error| match errno(error.root_cause()) == Some(wanted) {
            true => error.context(Hint(text.to_string())),
            false => error,
        })
    }
}

/// The container stands, but the command does not run in it.
#[derive(Debug)]
pub struct CommandError {
    code: u8,
    text: String,
}

impl CommandError {
    /// `execve(2)` of `command` gave `errno`.
    pub fn new(command: &OsStr, errno: Errno) -> CommandError {
        let (code, act) = match errno {
            Errno::ENOENT | Errno::ENOTDIR => (NOT_FOUND, "cannot find"),
            _ => (CANNOT_EXECUTE, "cannot execute"),
        };
        let why = describe(errno);
        let command = if command.is_empty() { "\"\"".into() } else { command.to_string_lossy() };
        CommandError { code, text: format!("{act} {command} in the root: {why}") }
    }

    /// The file is there: ENOENT speaks of its `#!` interpreter or its ELF loader, execve(2).
    pub fn no_interpreter(command: &OsStr) -> CommandError {
        let command = command.display();
        let text =
            format!("cannot execute {command}: its interpreter or loader is not in the root");
        CommandError { code: NOT_FOUND, text }
    }

    fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for CommandError {}
