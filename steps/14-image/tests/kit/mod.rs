//! What the tests of images share: a place to work in, the program run as root and as an ordinary
//! user, archives and layouts made byte by byte, servers on loopback.
#![allow(dead_code)]

pub mod packed;
pub mod server;
pub mod tree;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::geteuid;
use tempfile::TempDir;

pub type Test = (&'static str, fn(&Place) -> Result<()>);

/// Long enough for anything here, and not for ever.
const LONGEST: Duration = Duration::from_secs(120);
/// An id that owns nothing and has no range of ids.
const NOBODY: u32 = 65534;

/// A test says by this error that it cannot be made here.
#[derive(Debug)]
pub struct Skipped(pub String);

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// Runs the tests whose names hold the first argument: each as root, if we are, and as nobody.
pub fn main(tests: &[Test]) -> ExitCode {
    let wanted = std::env::args().skip(1).find(|it| !it.starts_with('-')).unwrap_or_default();
    let users: &[Option<u32>] = if geteuid().is_root() { &[None, Some(NOBODY)] } else { &[None] };
    let _program = install().expect("the program can be copied");
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, test) in tests.iter().filter(|(name, _)| name.contains(&wanted)) {
        for user in users {
            let title =
                format!("{name}{}", if user.is_some() { ", as an ordinary user" } else { "" });
            match Place::new(*user).and_then(|place| test(&place)) {
                Ok(()) => passed += 1,
                Err(error) if error.is::<Skipped>() => {
                    skipped += 1;
                    println!("skipped: {title}: {error}");
                    continue;
                }
                Err(error) => {
                    failed += 1;
                    println!("test {title} ... FAILED\n{error:#}");
                    continue;
                }
            }
            println!("test {title} ... ok");
        }
    }
    let outcome = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {outcome}. {passed} passed; {failed} failed; {skipped} ignored");
    ExitCode::from(u8::from(failed > 0))
}

/// A directory of the test's own, and who is to run the program.
pub struct Place {
    directory: TempDir,
    user: Option<u32>,
}

/// What came of the program.
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new(user: Option<u32>) -> Result<Place> {
        let directory = tempfile::Builder::new().prefix("image-test").tempdir()?;
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), mode)?;
        let place = Place { directory, user };
        place.directory("home")?;
        Ok(place)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A new directory of the user's.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path)?;
        if let Some(user) = self.user {
            chown(&path, Some(user), Some(user))?;
        }
        Ok(path)
    }

    pub fn store(&self) -> PathBuf {
        self.path("home/store")
    }

    /// Whether the program runs as root of this machine.
    pub fn is_root(&self) -> bool {
        geteuid().is_root() && self.user.is_none()
    }

    /// Whom a file belongs to that is `id`'s in an image.
    pub fn owner(&self, id: u32) -> u32 {
        if self.is_root() {
            return id;
        }
        let maps = user::Maps::plan(&user::Args::default());
        let map = maps.uids.iter().find(|it| it.inside <= id && id - it.inside < it.count);
        let own = self.user.unwrap_or(geteuid().as_raw());
        map.filter(|_| self.user.is_none()).map_or(own, |it| it.outside + id - it.inside)
    }

    /// A program as the user, with nothing of our environment.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("HOME", self.path("home")).env("IMAGE_STORE", self.store());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(self.path("home")).stdin(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// `image ARGUMENT…`, not yet started.
    pub fn image(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.command(program()?);
        command.args(arguments);
        Ok(command)
    }

    /// `image ARGUMENT…`, to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        finish(self.image(arguments)?)
    }

    /// The same, which must succeed; gives what it printed.
    pub fn ok(&self, arguments: &[&str]) -> Result<String> {
        let outcome = self.run(arguments)?;
        ensure!(outcome.code == 0, "image {arguments:?}: {} {}", outcome.code, outcome.stderr);
        Ok(outcome.stdout)
    }

    /// The same, which must end with code 125 and one line of error that holds `words`.
    pub fn fails(&self, arguments: &[&str], words: &str) -> Result<Outcome> {
        let outcome = self.run(arguments)?;
        outcome.is_one_error(words).with_context(|| format!("image {arguments:?}"))?;
        Ok(outcome)
    }
}

impl Outcome {
    /// One line, perhaps a hint, and the code for "no container was made".
    pub fn is_one_error(&self, words: &str) -> Result<()> {
        let (code, stderr) = (self.code, &self.stderr);
        ensure!(code == 125, "exit code {code}, not 125: {stderr}");
        let errors: Vec<&str> = stderr.lines().filter(|it| it.starts_with("error: ")).collect();
        let others = stderr.lines().filter(|it| {
            !["error: ", "hint: ", "note: ", "layer "].iter().any(|start| it.starts_with(start))
        });
        let others: Vec<&str> = others.collect();
        ensure!(errors.len() == 1 && others.is_empty(), "not one line of error: {stderr:?}");
        ensure!(
            errors[0].starts_with("error: cannot "),
            "it does not say what it cannot: {stderr:?}"
        );
        ensure!(errors[0].contains(words), "{:?} does not say {words:?}", errors[0]);
        Ok(())
    }
}

/// Runs a program to its end, which must come.
pub fn finish(mut command: Command) -> Result<Outcome> {
    let out = tempfile::tempfile()?;
    let err = tempfile::tempfile()?;
    command.stdout(out.try_clone()?).stderr(err.try_clone()?);
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if start.elapsed() > LONGEST => {
                child.kill()?;
                child.wait()?;
                bail!("{command:?} did not end: {}", text(&err)?);
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let code = status.code().with_context(|| format!("{command:?}: {status}"))?;
    Ok(Outcome { code, stdout: text(&out)?, stderr: text(&err)? })
}

fn text(file: &fs::File) -> Result<String> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; file.metadata()?.len() as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Puts the program where any user can run it, for as long as the directory is there.
fn install() -> Result<TempDir> {
    let directory = tempfile::Builder::new().prefix("image-test").tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    // Beside the directory of the tests, unless STEPS names another one.
    let own = std::env::current_exe()?;
    let steps = std::env::var_os("STEPS").map(PathBuf::from);
    let steps = steps.or_else(|| Some(own.parent()?.parent()?.to_path_buf()));
    let path = directory.path().join("image");
    fs::copy(steps.context("no directory of the steps")?.join("image"), &path)?;
    let _ = PROGRAM.set(path);
    Ok(directory)
}

fn program() -> Result<&'static Path> {
    PROGRAM.get().map(PathBuf::as_path).context("the program is not installed")
}

/// What belongs to other ids of ours can only be removed by whoever is root over them.
impl Drop for Place {
    fn drop(&mut self) {
        if !geteuid().is_root() {
            let mut remove = Command::new("unshare");
            remove.args(["--map-root-user", "--map-auto", "rm", "-rf"]).arg(self.directory.path());
            let _ = finish(remove);
        }
    }
}

/// The programs of other people that a test needs: scripts/test installs them.
pub fn need(packages: &[(&str, &str)]) -> Result<()> {
    let found = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|it| it.join(program).is_file())
    };
    for (program, package) in packages {
        ensure!(found(program), Skipped(format!("{program} is missing (package {package})")));
    }
    Ok(())
}

/// Runs a program of other people's as ourselves; it must succeed.
pub fn tool(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).env_clear();
    // Not with the logins of whoever started the tests.
    command
        .env("HOME", "/nowhere")
        .env("XDG_RUNTIME_DIR", "/nowhere")
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let outcome = finish(command)?;
    ensure!(outcome.code == 0, "{program} {arguments:?}: {}", outcome.stderr);
    Ok(outcome.stdout)
}
