//! Labs that are kept running between checks: they boot once, then take orders in a fraction of a second.
//! A process in the background, the keeper, holds each, and is reached by a socket in `.workshop/lab`.
//! They end after some idle minutes, or by `workshop clean`, and nothing is left of them.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Read, Write, stdin, stdout},
    os::{
        fd::{AsFd, AsRawFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread::{available_parallelism, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::setsid,
};
use serde::{Deserialize, Serialize};

use crate::checkout;

/// The subcommand by which we become the keeper.
pub const KEEP: &str = "lab-keep";

/// The subcommand by which we take orders inside the lab.
pub const SERVE: &str = "lab-serve";

/// Ourselves as the lab has us: see `machine::fill`.
const INSIDE: &str = "/run/guest/workshop";

const IDLE: Duration = Duration::from_secs(15 * 60);

/// Two boots of a busy machine.
const PATIENCE: Duration = Duration::from_secs(130);

/// So many labs at most: each has memory of its own.
const MOST: usize = 4;

/// How many labs work side by side here. Each has one processor.
pub fn side_by_side() -> usize {
    available_parallelism().map_or(1, usize::from).min(MOST)
}

/// A command for the lab, a line of JSON. None at all ends the lab.
#[derive(Serialize, Deserialize)]
struct Order {
    command: Vec<OsString>,
}

/// What comes back, a line of JSON each.
#[derive(Serialize, Deserialize)]
enum Said {
    /// A line of the command's output.
    Line(String),
    /// All of its error output.
    Error(String),
    /// Its exit code: the last word.
    End(i32),
}

/// Runs a command in the kept lab of this number, which is booted if there is none, and hands over each
/// line of its output. Its error output goes to ours.
pub fn lines(
    lab: usize,
    command: &[OsString],
    on: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<i32> {
    let mut lab = reach(lab)?;
    send(&mut lab, &Order { command: command.to_vec() }).context("cannot ask the lab")?;
    for line in BufReader::new(lab).lines() {
        let line = line.context("cannot read from the lab")?;
        match serde_json::from_str(&line).context("cannot understand the lab")? {
            Said::Line(line) => on(&line)?,
            Said::Error(text) => eprint!("{text}"),
            Said::End(code) => return Ok(code),
        }
    }
    bail!("the lab broke off before the command ended")
}

/// Ends the kept labs. False if there was none.
pub fn end() -> Result<bool> {
    let directory = checkout::work()?.join("lab");
    let labs = (0..MOST).map(|lab| Files { directory: directory.clone(), lab });
    let ended: Vec<bool> = labs.map(end_one).collect::<Result<_>>()?;
    Ok(ended.contains(&true))
}

fn end_one(files: Files) -> Result<bool> {
    let Ok(mut lab) = files.connect() else { return Ok(false) };
    send(&mut lab, &Order { command: Vec::new() }).context("cannot ask the lab to end")?;
    let start = Instant::now();
    while files.lock()?.is_none() {
        if start.elapsed() > Duration::from_secs(10) {
            bail!("it does not end");
        }
        sleep(Duration::from_millis(20));
    }
    Ok(true)
}

/// Connects to the keeper, and starts one where there is none.
fn reach(lab: usize) -> Result<UnixStream> {
    let files = Files::new(lab)?;
    if let Ok(lab) = files.connect() {
        return Ok(lab);
    }
    if lab == 0 {
        eprintln!("note: the lab boots; it stays for {} minutes", IDLE.as_secs() / 60);
    }
    let mut keeper = Command::new(checkout::this_program()?);
    keeper.arg(KEEP).arg(lab.to_string());
    keeper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut keeper = keeper.spawn().context("cannot start the lab's keeper")?;
    let start = Instant::now();
    loop {
        match files.connect() {
            Ok(lab) => return Ok(lab),
            Err(_) if keeper.try_wait()?.is_none() && start.elapsed() < PATIENCE => {}
            Err(_) => bail!("the lab cannot be kept: {}", files.complaint()),
        }
        sleep(Duration::from_millis(10));
    }
}

/// Whatever the keeper has on the disk: a lock for as long as it lives, a socket, the lab's complaints.
struct Files {
    directory: PathBuf,
    lab: usize,
}

impl Files {
    fn new(lab: usize) -> Result<Files> {
        let directory = checkout::work()?.join("lab");
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Files { directory, lab })
    }

    fn socket(&self) -> String {
        format!("kept-{}", self.lab)
    }

    /// The address of a socket is short, unix(7), and the checkout's path may be long: so it is
    /// reached through a descriptor of its directory.
    fn with_short_path<T>(&self, act: impl FnOnce(PathBuf) -> std::io::Result<T>) -> Result<T> {
        let directory = File::open(&self.directory)?;
        Ok(act(format!("/proc/self/fd/{}/{}", directory.as_raw_fd(), self.socket()).into())?)
    }

    fn connect(&self) -> Result<UnixStream> {
        self.with_short_path(UnixStream::connect)
    }

    fn listen(&self) -> Result<UnixListener> {
        // Of a keeper that was killed: whoever has the lock is the only one alive.
        let _ = fs::remove_file(self.directory.join(self.socket()));
        self.with_short_path(UnixListener::bind).context("cannot make the keeper's socket")
    }

    /// The lock, unless a keeper has it.
    fn lock(&self) -> Result<Option<Flock<File>>> {
        let path = self.directory.join(format!("{}.lock", self.socket()));
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(errno).context("cannot lock the kept lab"),
        }
    }

    fn complaints(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.socket()))
    }

    fn complaint(&self) -> String {
        let text = fs::read_to_string(self.complaints()).unwrap_or_default();
        text.trim().trim_start_matches("error: ").to_string()
    }
}

/// The keeper: one lab, one order at a time. Of two that are started at once one ends at once.
pub fn keep(lab: usize) -> Result<i32> {
    let _ = setsid();
    let files = Files::new(lab)?;
    let Some(_lock) = files.lock()? else { return Ok(0) };
    let listener = files.listen()?;
    let mut lab = Lab::boot(&files)?;
    while lab.awaits(&listener)? {
        let (client, _) = listener.accept().context("cannot take an order")?;
        if !lab.serve(client, &files).unwrap_or(false) {
            break;
        }
    }
    // Whoever comes now starts another.
    let _ = fs::remove_file(files.directory.join(files.socket()));
    lab.end();
    Ok(0)
}

/// A lab that takes orders on its standard input.
struct Lab {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Lab {
    fn boot(files: &Files) -> Result<Lab> {
        let complaints = File::create(files.complaints()).context("cannot make a log file")?;
        let mut lab = Command::new(checkout::this_program()?);
        lab.args(["lab", "--", INSIDE, SERVE]).current_dir(checkout::checkout()?);
        lab.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(complaints);
        let mut child = lab.spawn().context("cannot start the lab")?;
        let orders = child.stdin.take().context("the lab has no input")?;
        let answers = child.stdout.take().context("the lab has no output")?;
        Ok(Lab { child, orders, answers: BufReader::new(answers) })
    }

    /// Waits for somebody who wants something. False if nobody came for long, or the lab has ended.
    fn awaits(&self, listener: &UnixListener) -> Result<bool> {
        let mut files = [
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.answers.get_ref().as_fd(), PollFlags::POLLIN),
        ];
        let idle = PollTimeout::try_from(IDLE).unwrap_or(PollTimeout::MAX);
        poll(&mut files, idle).context("cannot wait for an order")?;
        // What is connected is served first: it hears then why the lab has ended.
        Ok(files[0].any().unwrap_or(false))
    }

    /// Passes an order in and the answers out. False if the lab is to end, or has.
    fn serve(&mut self, mut client: UnixStream, files: &Files) -> Result<bool> {
        let mut order = String::new();
        BufReader::new(client.try_clone()?).read_line(&mut order)?;
        let command = serde_json::from_str::<Order>(&order)?.command;
        if command.is_empty() {
            return Ok(false);
        }
        let _ = self.orders.write_all(order.as_bytes());
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line).unwrap_or(0) == 0 {
                send(&mut client, &Said::Error(format!("error: {}\n", files.complaint())))?;
                return Ok(false);
            }
            // A client that went away is no reason to leave the lab in the middle.
            let _ = client.write_all(line.as_bytes());
            if matches!(serde_json::from_str(&line)?, Said::End(_)) {
                return Ok(true);
            }
        }
    }

    /// No more orders: the lab ends by itself.
    fn end(mut self) {
        drop(self.orders);
        let _ = self.child.wait();
    }
}

/// Inside the lab: takes orders until there are no more.
pub fn serve() -> Result<i32> {
    for order in stdin().lines() {
        let order: Order = serde_json::from_str(&order?).context("cannot understand the order")?;
        let code = obey(&order).unwrap_or_else(|error| {
            let text = format!("error: {}\n", crate::describe(&error));
            let _ = send(&mut stdout(), &Said::Error(text));
            125
        });
        send(&mut stdout(), &Said::End(code))?;
    }
    Ok(0)
}

/// Runs the command of an order, and passes on what it says.
fn obey(order: &Order) -> Result<i32> {
    let (program, arguments) = order.command.split_first().context("an empty order")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
    let mut errors = child.stderr.take().context("no error output")?;
    let errors = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = errors.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
        send(&mut stdout(), &Said::Line(line?))?;
    }
    let status = child.wait()?;
    let errors = errors.join().unwrap_or_default();
    if !errors.is_empty() {
        send(&mut stdout(), &Said::Error(errors))?;
    }
    Ok(status.code().unwrap_or(125))
}

fn send(to: &mut impl Write, what: &impl Serialize) -> Result<()> {
    let line = serde_json::to_string(what).context("cannot write JSON")?;
    writeln!(to, "{line}")?;
    Ok(to.flush()?)
}
