//! `check --watch` and the page on a real terminal, tmux: keys, saves, narrow windows, colours, and that
//! the terminal is as it was after every way out.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use evidence::steps;
use libtest_mimic::{Arguments, Failed, Trial};
use nix::unistd::geteuid;
use tempfile::TempDir;

const WORKSHOP: &str = env!("CARGO_BIN_EXE_workshop");

/// A cargo that has to build all of it, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They build in one directory.
    arguments.test_threads = Some(1);
    let tmux = Command::new("tmux").arg("-V").output().is_ok();
    let test = |name: &str, test: fn() -> Result<()>| {
        let run = move || test().map_err(|error| Failed::from(format!("{error:#}")));
        Trial::test(name, run).with_ignored_flag(!tmux)
    };
    if !tmux {
        println!("skipped: terminal: tmux is not installed");
    }
    let tests = vec![
        test("watch checks again after a save", after_a_save),
        test("keys do what they say", keys),
        test("the terminal is as it was after q, Ctrl-C and SIGTERM", restored),
        test("Ctrl-C while it builds and checks", in_the_middle),
        test("a narrow window", narrow),
        test("colours, and NO_COLOR", colours),
    ];
    libtest_mimic::run(&arguments, tests).exit_code()
}

fn step() -> usize {
    if geteuid().is_root() { 1 } else { 6 }
}

/// A learner's workspace with its first step blank, and a terminal beside it.
struct Desk {
    my: TempDir,
    socket: PathBuf,
}

impl Desk {
    fn new(columns: u16, rows: u16) -> Result<Desk> {
        let my = TempDir::with_prefix("desk-")?;
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("journey");
        fs::create_dir_all(&target)?;
        symlink(target, my.path().join("target"))?;
        let mut start = Command::new(WORKSHOP);
        start.args(["start", &step().to_string(), "--dir"]).arg(my.path());
        ensure!(start.output()?.status.success(), "cannot start");
        let desk = Desk { socket: my.path().join("tmux"), my };
        let size = [columns, rows].map(|it| it.to_string());
        desk.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &size[0], "-y", &size[1], "sh"])?;
        desk.types("PS1='$ '")?;
        Ok(desk)
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let mut tmux = Command::new("tmux");
        let output = tmux.arg("-S").arg(&self.socket).args(arguments).env("LC_ALL", "C.UTF-8");
        let output = output.output().context("cannot run tmux")?;
        ensure!(output.status.success(), "tmux {arguments:?}: {output:?}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A line, and Enter.
    fn types(&self, line: &str) -> Result<()> {
        self.tmux(&["send-keys", "-l", line])?;
        self.key("Enter")
    }

    fn key(&self, key: &str) -> Result<()> {
        self.tmux(&["send-keys", key]).map(drop)
    }

    fn screen(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen shows it.
    fn shows(&self, text: &str) -> Result<String> {
        self.until(&format!("{text:?} is on the screen"), |screen| screen.contains(text))
    }

    fn until(&self, what: &str, holds: impl Fn(&str) -> bool) -> Result<String> {
        let start = Instant::now();
        loop {
            let screen = self.screen()?;
            if holds(&screen) {
                return Ok(screen);
            }
            if start.elapsed() > PATIENCE {
                bail!("never: {what}; it shows\n{screen}");
            }
            sleep(Duration::from_millis(30));
        }
    }

    /// An empty screen: what is looked for is not found in what was.
    fn wipe(&self) -> Result<()> {
        self.types("clear")?;
        self.until("the screen is empty", |screen| screen.trim() == "$").map(drop)
    }

    fn workshop(&self, words: &str) -> String {
        format!("{WORKSHOP} {words} --dir {}", self.my.path().display())
    }

    /// Starts to watch, and waits for the first outcome.
    fn watch(&self) -> Result<String> {
        self.types(&self.workshop("check --watch"))?;
        self.checked()
    }

    /// Waits for an outcome that is shown, with nothing under way.
    fn checked(&self) -> Result<String> {
        self.until("checked", |screen| {
            screen.contains("checks hold") && !screen.contains("checking")
        })
    }

    fn source(&self, name: &str) -> PathBuf {
        let (step, directory) = (step(), steps::name(step()));
        self.my.path().join(format!("steps/{step:02}-{directory}/src/{name}"))
    }

    fn solve(&self) -> Result<()> {
        for exercise in 1..=9 {
            let mut solve = Command::new(WORKSHOP);
            let exercise = format!("{}.{exercise}", step());
            let output = solve.args(["solve", &exercise, "--dir"]).arg(self.my.path()).output()?;
            if !output.status.success() {
                break;
            }
        }
        let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../steps");
        let main = main.join(format!("{:02}-{}/src/main.rs", step(), steps::name(step())));
        fs::copy(main, self.source("main.rs")).context("cannot wire the step").map(drop)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}

fn after_a_save() -> Result<()> {
    let desk = Desk::new(80, 24)?;
    let screen = desk.watch()?;
    ensure!(screen.contains('✗') && screen.contains("h hint"), "{screen}");
    let lib = desk.source("lib.rs");
    let good = fs::read_to_string(&lib)?;
    fs::write(&lib, format!("{good}\nfn broken( {{}}\n"))?;
    desk.shows("does not compile")?;
    fs::write(&lib, good)?;
    desk.checked()?;
    desk.solve()?;
    // Each of the files is a save of its own, and may be checked by itself.
    let screen = desk.until("all hold", |screen| {
        screen.contains("workshop start ") && !screen.contains("checking")
    })?;
    ensure!(!screen.contains('✗'), "{screen}");
    // What is not below steps/ is nobody's business.
    fs::write(desk.my.path().join("notes"), "x")?;
    sleep(Duration::from_millis(400));
    ensure!(!desk.screen()?.contains("checking"), "it checks for no reason");
    desk.key("q")
}

fn keys() -> Result<()> {
    let desk = Desk::new(80, 24)?;
    desk.watch()?;
    desk.key("h")?;
    desk.shows("any key goes on")?;
    ensure!(desk.screen()?.contains(&format!("{}.", step())), "no hint: {}", desk.screen()?);
    desk.key("x")?;
    desk.shows("q quit")?;
    desk.key("n")?;
    desk.key("z")?;
    desk.shows("q quit")?;
    desk.key("q")?;
    desk.until("a prompt", |screen| screen.trim_end().ends_with('$')).map(drop)
}

/// stty before and after, and the exit code.
fn restored() -> Result<()> {
    let desk = Desk::new(80, 24)?;
    for (way, code) in [("q", "1"), ("C-c", "130"), ("kill", "143")] {
        desk.wipe()?;
        let watch = desk.workshop("check --watch");
        desk.types(&format!(
            "stty -a >{0}/before; {watch}; echo code=$?; stty -a >{0}/after",
            desk.my.path().display()
        ))?;
        desk.checked()?;
        match way {
            "kill" => end_of(&desk)?,
            key => desk.key(key)?,
        }
        desk.shows(&format!("code={code}"))?;
        desk.types("echo over")?;
        desk.shows("\nover")?;
        let read = |name: &str| fs::read_to_string(desk.my.path().join(name));
        ensure!(read("before")? == read("after")?, "{way} leaves the terminal otherwise");
    }
    Ok(())
}

/// SIGTERM to the workshop itself, the child of the terminal's shell.
fn end_of(desk: &Desk) -> Result<()> {
    let shell = desk.tmux(&["display-message", "-p", "#{pane_pid}"])?;
    let shell = shell.trim();
    let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"))?;
    let child = children.split_whitespace().next().context("the shell has no child")?;
    Ok(nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.parse()?),
        nix::sys::signal::Signal::SIGTERM,
    )?)
}

fn in_the_middle() -> Result<()> {
    let desk = Desk::new(80, 24)?;
    for milliseconds in [50, 400, 900] {
        desk.wipe()?;
        desk.types(&format!("{}; echo code=$?", desk.workshop("check --watch")))?;
        desk.shows("q quit")?;
        sleep(Duration::from_millis(milliseconds));
        desk.key("C-c")?;
        desk.shows("code=130")?;
    }
    Ok(())
}

fn narrow() -> Result<()> {
    let desk = Desk::new(32, 14)?;
    let screen = desk.watch()?;
    ensure!(screen.starts_with("Step "), "the top is gone: {screen}");
    ensure!(screen.contains("Next:") && screen.contains("h hint"), "{screen}");
    desk.tmux(&["resize-window", "-x", "90", "-y", "30"])?;
    desk.shows("q quit")?;
    desk.key("q")
}

fn colours() -> Result<()> {
    let desk = Desk::new(80, 50)?;
    let coloured = |words: &str| -> Result<bool> {
        desk.wipe()?;
        desk.types(&format!("{words}; echo o''ver"))?;
        desk.shows("over")?;
        Ok(desk.tmux(&["capture-pane", "-p", "-e"])?.contains("\x1b[31m"))
    };
    let check = desk.workshop("check");
    ensure!(coloured(&check)?, "no colours on a terminal");
    ensure!(!coloured(&format!("export NO_COLOR=1; {check}"))?, "colours in spite of NO_COLOR");
    Ok(())
}
