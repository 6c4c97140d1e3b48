//! Where the tests that run whole containers stand. As root it is a stage with its own mounts, links
//! and names, which is "the host" for the containers: exact to compare, and the machine itself
//! is left alone. No namespace is special to the kernel, so what is true here is true there.

use std::cell::OnceCell;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::{Pid, geteuid, sethostname};
use tempfile::TempDir;

use crate::host::{Snapshot, descendants, reap_orphans};
use crate::steps::LAST_WITH_ROOT;
use crate::tree;

/// A test's name and what it does.
pub type Test = (&'static str, fn(&Stage) -> Result<()>);

/// The steps whose programs take a root directory, in their order: `STEP [FLAGS] ROOT COMMAND`. What step
/// 14 makes of an image is tested with it.
pub const ROOT_STEPS: [&str; LAST_WITH_ROOT] =
    ["chroot", "uts", "pid", "mount", "net", "user", "cgroups", "overlay", "seccomp"];

/// Where programs put what they need for a while.
const TEMPORARY: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/run"];

/// Why a test was not run, as the error that says so.
#[derive(Debug)]
struct Skipped(String);

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// Ends a test that cannot be run here: `return skip("it needs root")`.
pub fn skip<T>(why: &str) -> Result<T> {
    Err(Skipped(why.into()).into())
}

/// The stage: directories of its own, the steps' programs, and a root directory.
pub struct Stage {
    scratch: TempDir,
    watched: Vec<PathBuf>,
    template: OnceCell<PathBuf>,
}

/// Runs the tests whose names contain the first argument, one after the other. What one leaves
/// behind on the host makes it fail.
pub fn main(tests: &[Test]) -> ExitCode {
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let tests = tests.iter().filter(|(name, _)| name.contains(&wanted));
    if std::env::args().any(|arg| arg == "--list") {
        tests.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let stage = match Stage::set() {
        Ok(stage) => stage,
        Err(error) => {
            eprintln!("error: cannot set the stage: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, test) in tests {
        let start = Instant::now();
        match stage.play(*test) {
            Ok(()) => {
                println!("test {name} ... ok ({:.1} s)", start.elapsed().as_secs_f32());
                passed += 1;
            }
            Err(error) if error.is::<Skipped>() => {
                println!("skipped: {name}: {error}");
                skipped += 1;
            }
            Err(error) => {
                println!("test {name} ... FAILED\n{error:#}");
                failed += 1;
            }
        }
        let _ = std::io::stdout().flush();
    }
    let outcome = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {outcome}. {passed} passed; {failed} failed; {skipped} ignored");
    ExitCode::from((failed > 0) as u8)
}

/// Whoever started us may ignore these, nohup(1) or a shell with its `&`. That survives execve(2), and
/// a shell in a container cannot trap them then.
fn default_signals() -> Result<()> {
    for ignored in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        // SAFETY: the default action replaces "ignore"; no handler of ours is involved.
        unsafe { signal(ignored, SigHandler::SigDfl) }.context("cannot reset a signal")?;
    }
    Ok(())
}

impl Stage {
    fn set() -> Result<Stage> {
        // Who loses his parent becomes our child: nobody gets lost to init.
        prctl::set_child_subreaper(true).context("cannot become a subreaper")?;
        default_signals()?;
        let mut watched = Vec::new();
        if geteuid().is_root() {
            watched = leave_the_host()?;
        }
        let scratch = TempDir::with_prefix("evidence-").context("cannot make a directory")?;
        fs::set_permissions(&scratch, Permissions::from_mode(0o755))?;
        for dir in ["tmp", "work"] {
            fs::create_dir(scratch.path().join(dir))?;
        }
        watched.push(scratch.path().join("tmp"));
        Ok(Stage { scratch, watched, template: OnceCell::new() })
    }

    /// One test, with the host compared before and after it.
    fn play(&self, test: fn(&Stage) -> Result<()>) -> Result<()> {
        let before = self.snapshot()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| test(self)))
            .unwrap_or_else(|_| Err(anyhow::anyhow!("the test panicked")));
        let left = before.settle();
        if left.is_err() {
            end_descendants()?;
        }
        match (outcome, left.and(self.clear())) {
            (Err(error), Err(left)) => Err(error.context(format!("{left:#}\nand before that"))),
            (outcome, left) => outcome.and(left),
        }
    }

    /// Takes away what a test has made.
    fn clear(&self) -> Result<()> {
        let work = self.work();
        tree::make_removable(&work)?;
        fs::remove_dir_all(&work).context("cannot remove what the test made")?;
        fs::create_dir(&work).context("cannot make the work directory anew")
    }

    /// What the host looks like now.
    pub fn snapshot(&self) -> Result<Snapshot> {
        reap_orphans()?;
        Snapshot::take(&self.watched)
    }

    /// A directory for what a test makes; it is emptied after each.
    pub fn work(&self) -> PathBuf {
        self.scratch.path().join("work")
    }

    /// For TMPDIR: whatever is left there after a container is a mistake.
    pub fn temporary(&self) -> PathBuf {
        self.scratch.path().join("tmp")
    }

    /// A root directory that all tests share: programs, and nothing to be proud of.
    pub fn root(&self) -> Result<&Path> {
        if self.template.get().is_none() {
            let root = self.scratch.path().join("root");
            build_root(&root)?;
            let _ = self.template.set(root);
        }
        Ok(self.template.get().context("there is no root directory")?)
    }

    /// A copy of it for a test that spoils it.
    pub fn own_root(&self, name: &str) -> Result<PathBuf> {
        let copy = self.work().join(name);
        let copied = Command::new("cp").arg("-a").arg(self.root()?).arg(&copy).status();
        ensure!(copied.context("cannot run cp")?.success(), "cannot copy the root directory");
        Ok(copy)
    }
}

/// What a test that failed has left running must not disturb the next.
fn end_descendants() -> Result<()> {
    for process in descendants()? {
        let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
    }
    Ok(())
}

/// Gives us mounts, links, names and temporary directories of our own.
fn leave_the_host() -> Result<Vec<PathBuf>> {
    let us = std::env::current_exe().context("cannot find this program")?;
    let namespaces = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
    unshare(namespaces).context("cannot make namespaces to stand in for the host")?;
    sethostname("host").context("cannot name the stand-in for the host")?;
    // Shared among us, as systemd has it; private towards the real host, before that.
    for how in [MsFlags::MS_PRIVATE, MsFlags::MS_SHARED] {
        mount(None::<&str>, "/", None::<&str>, how | MsFlags::MS_REC, None::<&str>)
            .context("cannot change the propagation of /")?;
    }
    let mut own = Vec::new();
    for dir in TEMPORARY.map(PathBuf::from) {
        if dir.is_dir() && !dir.is_symlink() && !us.starts_with(&dir) {
            mount(Some("tmpfs"), &dir, Some("tmpfs"), MsFlags::empty(), Some("mode=1777"))
                .with_context(|| format!("cannot mount a tmpfs on {}", dir.display()))?;
            own.push(dir);
        }
    }
    Ok(own)
}

/// With busybox where the host has it: that is one file to copy instead of a hundred.
fn build_root(root: &Path) -> Result<()> {
    let script = checkout()?.join("scripts/rootfs");
    let on_path = |name| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
    };
    let mut command = Command::new(&script);
    command.args(on_path("busybox").then_some("--busybox")).arg(root);
    let output = command.output().with_context(|| format!("cannot run {}", script.display()))?;
    if !output.status.success() {
        bail!("cannot build a root directory: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Tests are in target/TRIPLE/PROFILE/deps, the steps one directory up.
pub fn programs() -> Result<PathBuf> {
    let us = std::env::current_exe().context("cannot find this program")?;
    let dir = us.parent().and_then(Path::parent).context("this program is in no directory")?;
    Ok(dir.to_owned())
}

/// The directory of the whole project.
pub fn checkout() -> Result<PathBuf> {
    let programs = programs()?;
    let mut above = programs.ancestors();
    let found = above.find(|dir| dir.join("scripts/rootfs").is_file());
    Ok(found.with_context(|| format!("{} is in no checkout", programs.display()))?.to_owned())
}
