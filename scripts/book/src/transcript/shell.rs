//! Two shells, root's and the ordinary user's, that are told one command after the other. What a command
//! leaves behind, a directory, a variable, a job, the next one finds.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::{
        fd::AsFd,
        unix::{fs::OpenOptionsExt, process::CommandExt},
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    libc::{ENXIO, O_NONBLOCK},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::stat::Mode,
    unistd::{Gid, Uid, chown, mkfifo, pipe},
};

use super::{
    Order,
    kit::{UID, USER},
};

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Stands in the output where a command's ends.
const END: u8 = 1;

/// Reads a command from a named pipe, so that no command inherits a descriptor of ours; `$?` is kept. While
/// it waits for one, a job that ends can interrupt it.
const LOOP: &str = r#"
__s=0
while :; do
    IFS= read -r -d '' __c 2>/dev/null <"$__orders" || continue
    (exit $__s); eval "$__c" </dev/null
    __s=$?
    printf '\001'
done
"#;

pub struct Shells {
    root: Shell,
    user: Shell,
}

impl Shells {
    pub fn start() -> Result<Shells> {
        Ok(Shells { root: Shell::start(true)?, user: Shell::start(false)? })
    }

    /// Runs all commands and returns what each printed.
    pub fn run(mut self, orders: &[Order]) -> Result<Vec<Vec<String>>> {
        let run = |order: &Order| {
            let shell = if order.root { &mut self.root } else { &mut self.user };
            let output = shell.run(&order.text).with_context(|| format!("`{}`", order.text))?;
            Ok(output.lines().filter_map(line).collect())
        };
        orders.iter().map(run).collect()
    }
}

struct Shell {
    child: Child,
    orders: PathBuf,
    output: File,
}

impl Shell {
    fn start(root: bool) -> Result<Shell> {
        let (name, home) =
            if root { ("root", "/root".into()) } else { (USER, format!("/home/{USER}")) };
        let orders = PathBuf::from(format!("/srv/orders-{name}"));
        mkfifo(&orders, Mode::from_bits_truncate(0o600)).context("cannot make a pipe")?;
        let (read, write) = pipe().context("cannot make a pipe")?;
        let mut command = Command::new("bash");
        command.args(["--norc", "--noprofile", "-c", LOOP, "bash"]).env_clear();
        let path = "/srv/path:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        command.envs([("PATH", path), ("HOME", &home), ("USER", name), ("LOGNAME", name)]);
        command.envs([("LC_ALL", "C.UTF-8"), ("TERM", "linux"), ("SHELL", "/bin/bash")]);
        command.env("__orders", &orders).stdin(Stdio::null());
        command.stdout(write.try_clone()?).stderr(write);
        if !root {
            chown(&orders, Some(Uid::from_raw(UID)), Some(Gid::from_raw(UID)))?;
            command.uid(UID).gid(UID);
        }
        let child = command.spawn().context("cannot run bash")?;
        Ok(Shell { child, orders, output: read.into() })
    }

    /// Runs one command and returns what is printed until it is done.
    fn run(&mut self, text: &str) -> Result<String> {
        let mut orders = self.orders()?;
        orders
            .write_all(&[text.as_bytes(), &[0]].concat())
            .context("the shell takes no command")?;
        drop(orders);
        let (deadline, mut output) = (Instant::now() + PATIENCE, Vec::new());
        while output.last() != Some(&END) {
            let mut bytes = [0; 4096];
            wait(&self.output, deadline)?;
            match self.output.read(&mut bytes).context("cannot read what it prints")? {
                0 => bail!("it ended the shell"),
                n => output.extend_from_slice(&bytes[..n]),
            }
        }
        output.pop();
        Ok(String::from_utf8_lossy(&output).into_owned())
    }
}

impl Shell {
    /// The pipe, once the shell reads from it: it may have been ended by a command.
    fn orders(&mut self) -> Result<File> {
        loop {
            let pipe = File::options().write(true).custom_flags(O_NONBLOCK).open(&self.orders);
            match pipe {
                Ok(pipe) => return Ok(pipe),
                Err(error) if error.raw_os_error() == Some(ENXIO) => {}
                Err(error) => return Err(error).context("cannot open the shell's pipe"),
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the shell has ended: {status}");
            }
            sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.orders);
    }
}

fn wait(output: &File, deadline: Instant) -> Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let mut polled = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX);
    match poll(&mut polled, timeout).context("cannot wait for output")? {
        0 => bail!("it is not done after {} s", PATIENCE.as_secs()),
        _ => Ok(()),
    }
}

/// A line as a reader's own shell prints it: ours is not interactive, and says in which line of a script
/// something happened; of a process that a signal ended it says more.
fn line(text: &str) -> Option<String> {
    let Some((number, rest)) = text.strip_prefix("bash: line ").and_then(|it| it.split_once(": "))
    else {
        return Some(text.to_string());
    };
    if number.parse::<u32>().is_err() {
        return Some(text.to_string());
    }
    let ended = rest.trim_start().split_once(' ').filter(|(pid, _)| pid.parse::<u32>().is_ok());
    match ended {
        Some((_, signal)) => signal.split("  ").next().map(|it| it.trim().to_string()),
        None => Some(format!("bash: {rest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_an_interactive_shell_has_it() {
        assert_eq!(
            line("bash: line 4: x: command not found").unwrap(),
            "bash: x: command not found"
        );
        assert_eq!(
            line("bash: line 4: 271 Killed                  step7 rootfs").unwrap(),
            "Killed"
        );
        assert_eq!(line("bash: other").unwrap(), "bash: other");
    }
}
