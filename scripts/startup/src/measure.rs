//! Starting subjects and reading the clock: wall time around fork and wait, processor time and
//! exit code from wait4(2).

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::Subject;

/// What was measured of one subject.
pub struct Figures {
    pub name: String,
    pub wall: Vec<Duration>,
    pub cpu: Vec<Duration>,
    pub peak_kib: u64,
    /// Containers per second with so many at a time.
    pub per_second: Vec<(usize, f64)>,
}

impl Figures {
    /// The median wall time in milliseconds.
    pub fn median_ms(&self) -> f64 {
        median(&self.wall)
    }

    /// The median of user and system time in milliseconds.
    pub fn median_cpu_ms(&self) -> f64 {
        median(&self.cpu)
    }
}

fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

/// Starts every subject once a round, each round beginning with another one.
pub fn rounds(subjects: &[Subject], rounds: usize) -> Result<Vec<Figures>> {
    let hidden = namespace_without_unified()?;
    let mut figures: Vec<Figures> = subjects.iter().map(empty).collect();
    for round in 0..rounds + 1 {
        for turn in 0..subjects.len() {
            let which = (round + turn) % subjects.len();
            let (wall, cpu) = once(&subjects[which], &hidden)?;
            // The first round only warms the caches.
            if round > 0 {
                figures[which].wall.push(wall);
                figures[which].cpu.push(cpu);
            }
        }
    }
    Ok(figures)
}

fn empty(subject: &Subject) -> Figures {
    let (wall, cpu, per_second) = (Vec::new(), Vec::new(), Vec::new());
    Figures { name: subject.name.clone(), wall, cpu, peak_kib: 0, per_second }
}

fn once(subject: &Subject, hidden: &File) -> Result<(Duration, Duration)> {
    let begin = Instant::now();
    let child = start(subject, hidden, &[])?;
    let mut status = 0;
    // SAFETY: zero is a valid value of every field.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both are ours to be written; the child is not waited for anywhere else.
    unsafe { libc::wait4(child.id() as i32, &mut status, 0, &mut usage) };
    let wall = begin.elapsed();
    ensure!(status == 0, "{} failed, wait status {status}: {}", subject.name, said());
    Ok((wall, duration(usage.ru_utime) + duration(usage.ru_stime)))
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000)
}

fn start(subject: &Subject, hidden: &File, before: &[&Path]) -> Result<Child> {
    let name = unique();
    let words = subject.words.iter().map(|word| match word.to_str() {
        Some(text) => text.replace("{}", &name).into(),
        None => word.clone(),
    });
    let mut words = before.iter().map(|path| path.as_os_str().to_owned()).chain(words);
    let mut command = Command::new(words.next().context("an empty command")?);
    command.args(words).stdin(stream()?).stdout(stream()?).stderr(stream()?);
    command.env_clear().envs(environment());
    before_exec(&mut command, subject, hidden)?;
    command.spawn().with_context(|| format!("cannot start {}", subject.name))
}

/// All streams of a subject: a file that is nobody's. crun gives the owner's rights on its streams to the
/// container's root, and were it /dev/null, or the file that our table goes to.
fn stream() -> Result<File> {
    static FILE: OnceLock<File> = OnceLock::new();
    if FILE.get().is_none() {
        let _ = FILE.set(tempfile::tempfile().context("cannot make a temporary file")?);
    }
    let file = FILE.get().context("no temporary file")?;
    file.try_clone().context("cannot copy a descriptor")
}

/// What the subjects have said.
fn said() -> String {
    let mut text = Vec::new();
    let Ok(mut file) = stream() else { return String::new() };
    let _ = file.rewind().and_then(|()| file.read_to_end(&mut text));
    String::from_utf8_lossy(&text).trim().to_string()
}

/// What the subject finds: a mount namespace without cgroup2, a filter on descriptor 9.
fn before_exec(command: &mut Command, subject: &Subject, hidden: &File) -> Result<()> {
    let namespace = hidden.try_clone().context("cannot copy a descriptor")?;
    let filter = subject.filter.as_ref().map(File::open).transpose().context("no filter")?;
    let hide = subject.without_unified;
    let prepare = move || {
        if hide {
            setns(&namespace, CloneFlags::CLONE_NEWNS)?;
        }
        if let Some(filter) = &filter {
            // It may be number 9 already, and then nothing but the flag that closes it is changed.
            // SAFETY: descriptor 9 is nobody else's in the child.
            unsafe {
                libc::dup2(filter.as_raw_fd(), 9);
                libc::fcntl(9, libc::F_SETFD, 0);
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec there are system calls, no allocation and no lock.
    unsafe { command.pre_exec(prepare) };
    Ok(())
}

/// What a shell has; above all no RUST_BACKTRACE, with which every error costs a stack walk.
fn environment() -> impl Iterator<Item = (&'static str, String)> {
    ["PATH", "HOME", "TERM"].into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?)))
}

fn unique() -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A mount namespace like the host's, where a cgroup2 mount beside v1 hierarchies is gone.
fn namespace_without_unified() -> Result<File> {
    let ours = File::open("/proc/self/ns/mnt").context("cannot open our mount namespace")?;
    if !nix::unistd::geteuid().is_root() {
        return Ok(ours);
    }
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("cannot make / private")?;
    let _ = umount2("/sys/fs/cgroup/unified", MntFlags::MNT_DETACH);
    let hidden = File::open("/proc/self/ns/mnt").context("cannot open the new namespace")?;
    setns(&ours, CloneFlags::CLONE_NEWNS).context("cannot go back to our mount namespace")?;
    Ok(hidden)
}

/// The most memory of one run of each, read by a small program in between.
pub fn peaks(subjects: &[Subject], figures: &mut [Figures], peak: &Path) -> Result<()> {
    let hidden = namespace_without_unified()?;
    for (subject, figures) in subjects.iter().zip(figures) {
        let mut words = vec![peak.as_os_str().to_owned()];
        words.extend(subject.words.iter().cloned());
        let (name, filter) = (subject.name.clone(), subject.filter.clone());
        let subject = Subject { name, words, filter, ..*subject };
        figures.peak_kib = read_peak(&subject, &hidden)?;
    }
    Ok(())
}

fn read_peak(subject: &Subject, hidden: &File) -> Result<u64> {
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    let name = unique();
    let words = subject.words.iter().map(|word| word.to_string_lossy().replace("{}", &name));
    let mut words = words.collect::<Vec<_>>().into_iter();
    let mut command = Command::new(words.next().context("an empty command")?);
    command.args(words).stdin(stream()?).stdout(writer).stderr(stream()?);
    command.env_clear().envs(environment());
    before_exec(&mut command, subject, hidden)?;
    let status = command.status().with_context(|| format!("cannot start {}", subject.name))?;
    drop(command);
    ensure!(status.success(), "{} failed: {}", subject.name, said());
    let text = io::read_to_string(reader).context("cannot read the peak")?;
    text.trim().parse().with_context(|| format!("{text:?} is no number"))
}

/// `count` containers of each subject, 1, 8 and 32 at a time.
pub fn throughput(subjects: &[Subject], figures: &mut [Figures], count: usize) -> Result<()> {
    let hidden = namespace_without_unified()?;
    for at_once in [1, 8, 32] {
        for (subject, figures) in subjects.iter().zip(figures.iter_mut()) {
            if subject.throughput {
                let rate = rate(subject, &hidden, at_once, count)?;
                figures.per_second.push((at_once, rate));
            }
        }
    }
    Ok(())
}

fn rate(subject: &Subject, hidden: &File, at_once: usize, count: usize) -> Result<f64> {
    let begin = Instant::now();
    let mut running: Vec<Child> = Vec::new();
    for _ in 0..count {
        if running.len() == at_once {
            finish_one(subject, &mut running)?;
        }
        running.push(start(subject, hidden, &[])?);
    }
    while !running.is_empty() {
        finish_one(subject, &mut running)?;
    }
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}

fn finish_one(subject: &Subject, running: &mut Vec<Child>) -> Result<()> {
    let mut status = 0;
    // SAFETY: the status is ours to be written; all children are containers of this list.
    let ended = unsafe { libc::waitpid(-1, &mut status, 0) };
    ensure!(status == 0, "{} failed, wait status {status}: {}", subject.name, said());
    running.retain(|child| child.id() as i32 != ended);
    Ok(())
}
