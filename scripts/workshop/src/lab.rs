//! The lab: a machine of one's own, without root on the host. A Linux kernel that is an ordinary process
//! (User-Mode Linux) boots on the host's files, read-only, and runs one command or a shell as root.
//! Promised: the host is untouched but for `my/`, and nothing is left of the lab, however it ends.

mod channel;
mod guest;
pub mod kept;
mod kernel;
mod machine;
mod modules;
mod processor;
mod relay;
pub mod terminal;

use anyhow::{Context, Result, bail};
pub use guest::guest;
pub use kernel::{Kernel, fetched, kernel};
use machine::Machine;
use relay::End;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};
use terminal::{Signals, Terminal};

/// The subcommand by which our own program is started again inside the lab: see [`guest`].
pub const GUEST: &str = "lab-guest";

/// What to run in a lab.
pub struct Request<'a> {
    /// The workshop's directory, absolute: seen in the lab at the same path.
    pub checkout: &'a Path,
    /// The command and its arguments; none is an interactive shell.
    pub command: &'a [OsString],
    /// Variables for the command, besides PATH, HOME and what [`PASSED`] names.
    pub env: &'a [(OsString, OsString)],
    /// The most memory that the lab may use, in MiB: it is taken from the host as it is needed.
    pub memory: u32,
}

impl<'a> Request<'a> {
    pub fn new(checkout: &'a Path, command: &'a [OsString]) -> Self {
        Request { checkout, command, env: &[], memory: 2048 }
    }
}

/// The variables that go from our environment into the lab's.
const PASSED: [&str; 7] =
    ["TERM", "COLORTERM", "NO_COLOR", "CLICOLOR_FORCE", "RUST_BACKTRACE", "LANG", "LC_ALL"];

/// What the guest is told to run, in a file of the lab's directory.
#[derive(Serialize, Deserialize)]
struct Job {
    command: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    directory: OsString,
    /// Whether the command gets a terminal of its own, or three pipes.
    terminal: bool,
}

/// Boots a lab, runs the command in it and returns its exit code: 128+n if signal n ended it, or us.
///
/// The command gets a terminal if our standard input and output are one; else its input, output and
/// error output are passed through, byte by byte, as they come.
/// Errors: no kernel can be had, or two boots failed; the message has the last lines of the log.
pub fn run(request: &Request) -> Result<i32> {
    let kernel = kernel(request.checkout)?;
    let terminal = Terminal::of_stdio();
    let job = job(request, terminal.is_some())?;
    let signals = Signals::block()?;
    for last in [false, true] {
        let mut machine = Machine::boot(&kernel, request, &job, terminal.as_ref())?;
        let welcome = if request.command.is_empty() { &*welcome(request.checkout) } else { "" };
        match relay::relay(&mut machine.channel, &signals, terminal.as_ref(), welcome)? {
            End::Exit(code) => return Ok(code),
            End::NotBooted if !last => eprintln!("note: the lab did not boot; once more"),
            End::NotBooted => return Err(machine.failure("the lab did not boot, twice")),
            End::Lost => return Err(machine.failure("the lab broke off before the command ended")),
        }
    }
    unreachable!("the second boot returns")
}

fn welcome(checkout: &Path) -> String {
    let kept = match kept_directory(checkout) {
        Some(_) => "only my/ is kept",
        None => "nothing is kept, as my/ is not yours to write",
    };
    format!(
        "The lab: a machine of your own. You are root here and nothing can harm the host; {kept}.\n\
         Leave with `exit` or Ctrl-D.\n"
    )
}

fn job(request: &Request, terminal: bool) -> Result<Job> {
    let passed = PASSED.iter().filter_map(|name| Some((OsString::from(name), env::var_os(name)?)));
    let env = passed.chain(request.env.iter().cloned()).collect();
    let directory = directory(request.checkout)?.into();
    Ok(Job { command: request.command.to_vec(), env, directory, terminal })
}

/// Where the command starts: where we are, if that is in the checkout; else in the checkout.
fn directory(checkout: &Path) -> Result<PathBuf> {
    if !checkout.is_absolute() {
        bail!("the path of the checkout must be absolute: {}", checkout.display());
    }
    let here = env::current_dir().context("cannot find out the working directory")?;
    Ok(if here.starts_with(checkout) { here } else { checkout.to_owned() })
}

/// `my/`, where the learner's work is: made if it can be; none if this user cannot write there.
fn kept_directory(checkout: &Path) -> Option<PathBuf> {
    let my = checkout.join("my");
    let _ = fs::create_dir(&my);
    nix::unistd::access(&my, nix::unistd::AccessFlags::W_OK).ok().map(|()| my)
}
