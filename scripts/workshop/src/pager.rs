//! A text of any length: through a pager on a terminal, as it is elsewhere.

use std::{
    env,
    io::{ErrorKind, IsTerminal, Write, stdout},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

/// What shows colours, ends at once when all fits on the screen, and leaves the text there.
const PAGER: &str = "less -R";
const LESS: &str = "FRX";

/// Shows a text. Without a pager that works, it is printed.
pub fn page(text: &str) -> Result<()> {
    crate::end_with_reader();
    if !stdout().is_terminal() || !paged(text)? {
        print!("{text}");
        stdout().flush().context("cannot write to stdout")?;
    }
    Ok(())
}

/// Whether the pager, `$PAGER` or less, could be started and had the text.
fn paged(text: &str) -> Result<bool> {
    let pager = env::var("PAGER").ok().filter(|it| !it.is_empty());
    let mut command = Command::new("sh");
    // As git has it: PAGER is for the shell.
    command.arg("-c").arg(pager.as_deref().unwrap_or(PAGER)).stdin(Stdio::piped());
    if env::var_os("LESS").is_none() {
        command.env("LESS", LESS);
    }
    let Ok(mut child) = command.spawn() else { return Ok(false) };
    let mut input = child.stdin.take().context("the pager has no stdin")?;
    // Who quits the pager has read enough: that must not end us before it has cleared up.
    let _ = writer_survives();
    match input.write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            return Err(error).context("cannot write to the pager");
        }
        _ => drop(input),
    }
    let status = child.wait().context("cannot wait for the pager")?;
    // The shell's word for a command that is not there.
    Ok(!matches!(status.code(), Some(126 | 127)))
}

fn writer_survives() -> nix::Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: no handler of ours is replaced.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) }.map(drop)
}
