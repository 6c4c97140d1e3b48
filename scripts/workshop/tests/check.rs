//! `workshop check` as learners, autograders and teachers see it: what it prints, its exit codes, what is
//! left when it is interrupted; and that a step before it does not pass for the step.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use evidence::{checks, steps};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use serde_json::Value;
use tempfile::TempDir;

const WORKSHOP: &str = env!("CARGO_BIN_EXE_workshop");

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They build in one directory.
    arguments.test_threads = Some(1);
    let test = |name: &str, test: fn() -> Result<()>| {
        Trial::test(name, move || test().map_err(|error| Failed::from(format!("{error:#}"))))
    };
    let tests = vec![
        test("the reference passes, and its JSON is as the schema says", reference),
        test("the step before does not pass for a step", before),
        test("a step that does not compile is an outcome", does_not_compile),
        test("a page for people", page),
        test("interrupted, nothing is left", interrupted),
        test("the lab is kept", kept_lab),
        test("a class at a glance", class),
    ];
    libtest_mimic::run(&arguments, tests).exit_code()
}

/// The steps that whoever we are may check here.
fn ours() -> impl Iterator<Item = usize> {
    steps::numbers().filter(|step| geteuid().is_root() || *step > 5)
}

fn workshop(words: &str) -> Result<Output> {
    let mut command = Command::new(WORKSHOP);
    command.args(words.split_whitespace()).stdin(Stdio::null());
    command.output().with_context(|| format!("cannot run workshop {words}"))
}

fn json(output: &Output) -> Result<Value> {
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    let value: Value = serde_json::from_slice(&output.stdout).with_context(said)?;
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../book/src/check.schema.json");
    let schema = serde_json::from_slice(&fs::read(schema)?)?;
    let validator = jsonschema::validator_for(&schema)?;
    let wrong: Vec<String> = validator.iter_errors(&value).map(|it| it.to_string()).collect();
    ensure!(wrong.is_empty(), "not as the schema says: {wrong:?}");
    Ok(value)
}

fn reference() -> Result<()> {
    for step in ours() {
        let output = workshop(&format!("check {step} --reference --json --host"))?;
        let value = json(&output)?;
        let checks = value["checks"].as_array().context("no checks")?;
        let failed: Vec<_> = checks.iter().filter(|it| it["passed"] == false).collect();
        ensure!(failed.is_empty() && value["passed"] == true, "step {step}: {failed:?}");
        ensure!(output.status.code() == Some(0), "step {step}: {}", output.status);
        ensure!(value["step"] == step && checks[0]["step"] == step, "step {step} comes not first");
        let expected = checks::all().filter(|it| it.applies_to(step)).count();
        ensure!(checks.len() == expected, "step {step}: {} of {expected} checks", checks.len());
        for version in ["kernel", "rustc", "workshop"] {
            ensure!(value["versions"][version] != "", "no version of {version}");
        }
    }
    Ok(())
}

/// The program of the step before, under the step's name.
fn before() -> Result<()> {
    let programs = Path::new(WORKSHOP).parent().context("no directory")?;
    for step in ours().filter(|step| *step > 1) {
        let (name, before) = (steps::name(step), steps::name(steps::before(step)));
        let dir = TempDir::new()?;
        symlink(programs.join(before), dir.path().join(name))?;
        let mut command = Command::new(WORKSHOP);
        command.args(["check-here", "--own", "--programs"]).arg(dir.path());
        let output = command.arg("--act").arg(programs.join("act")).arg(name).output()?;
        let held: BTreeSet<String> = String::from_utf8(output.stdout)?
            .lines()
            .map(serde_json::from_str::<Value>)
            .filter_map(|line| line.ok().map(|line| line["Report"].clone()))
            .filter(|report| report["passed"] == true)
            .map(|report| report["check"].as_str().unwrap_or_default().to_string())
            .collect();
        let allowed: BTreeSet<String> =
            checks::all().filter(|it| it.before.is_some()).map(|it| it.full_name()).collect();
        let wrong: Vec<_> = held.difference(&allowed).collect();
        ensure!(wrong.is_empty(), "{before} passes for {name}: {wrong:?}");
    }
    Ok(())
}

/// A learner's workspace; what is not the learner's is built once for all tests.
fn learner(step: usize) -> Result<TempDir> {
    let my = TempDir::with_prefix("check-")?;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("journey");
    fs::create_dir_all(&target)?;
    symlink(target, my.path().join("target"))?;
    let output = workshop(&format!("start {step} --dir {}", my.path().display()))?;
    ensure!(output.status.success(), "{output:?}");
    Ok(my)
}

/// The first step that we may check here, in a learner's workspace.
fn first() -> usize {
    ours().next().expect("there are steps")
}

fn does_not_compile() -> Result<()> {
    let my = learner(first())?;
    let main = main_rs(my.path())?;
    fs::write(&main, fs::read_to_string(&main)? + "\nfn broken( {}\n")?;
    let output = workshop(&format!("check --json --dir {}", my.path().display()))?;
    let value = json(&output)?;
    let said = value["error"].as_str().context("no error")?;
    ensure!(said.contains("fn broken("), "cargo's message is not there: {said}");
    ensure!(value["passed"] == false && output.status.code() == Some(1), "{output:?}");
    let output = workshop(&format!("check --dir {}", my.path().display()))?;
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(page.contains("fn broken(") && page.contains("does not compile"), "{page}");
    ensure!(output.status.code() == Some(1), "{}", output.status);
    Ok(())
}

fn main_rs(my: &Path) -> Result<PathBuf> {
    let step = first();
    Ok(my.join(format!("steps/{step:02}-{}/src/main.rs", steps::name(step))))
}

fn page() -> Result<()> {
    let my = learner(first())?;
    let run = |locale: &str, more: &[&str]| -> Result<String> {
        let mut command = Command::new(WORKSHOP);
        command.args(["check", "--dir"]).arg(my.path()).args(more).env("LC_ALL", locale);
        let output = command.output()?;
        ensure!(output.status.code() == Some(1), "blank, it passes: {output:?}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let page = run("C.UTF-8", &[])?;
    for text in ["✗ ", "several of these checks met", "Wiring of step", "Next: ", " hint "] {
        ensure!(page.contains(text), "no {text:?} in {page}");
    }
    ensure!(!page.contains('\x1b'), "colours, and no terminal: {page:?}");
    let plain = run("C", &[])?;
    ensure!(plain.is_ascii() && plain.contains("  NO "), "not ASCII: {plain}");
    let wiring = page.rfind("Wiring of step").context("no wiring")?;
    ensure!(!page[wiring..].contains("Exercise "), "wiring is not last: {page}");
    Ok(())
}

/// By Ctrl-C at any moment: neither files nor containers nor cgroups.
fn interrupted() -> Result<()> {
    let programs = Path::new(WORKSHOP).parent().context("no directory")?;
    for milliseconds in [30, 150, 400] {
        let temporary = TempDir::new()?;
        let mut command = Command::new(WORKSHOP);
        command.args(["check-here", "--programs"]).arg(programs).arg("--act");
        command.arg(programs.join("act")).arg("seccomp").env("TMPDIR", temporary.path());
        let before = cgroups();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        sleep(Duration::from_millis(milliseconds));
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT)?;
        let status = child.wait()?;
        ensure!(status.code() == Some(130), "after {milliseconds} ms: {status}");
        let left: Vec<_> = fs::read_dir(&temporary)?.flatten().map(|it| it.path()).collect();
        ensure!(left.is_empty(), "after {milliseconds} ms these are left: {left:?}");
        let containers = containers_in(temporary.path());
        ensure!(containers.is_empty(), "after {milliseconds} ms these run: {containers:?}");
        let left: Vec<_> = cgroups().difference(&before).cloned().collect();
        ensure!(left.is_empty(), "after {milliseconds} ms these cgroups are left: {left:?}");
    }
    Ok(())
}

/// The cgroups of all containers.
fn cgroups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut directories = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = directories.pop() {
        let below = fs::read_dir(&directory).into_iter().flatten().flatten();
        let below = below.filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir()));
        for entry in below {
            match entry.file_name().as_encoded_bytes().starts_with(b"workshop-") {
                true => drop(found.insert(entry.path())),
                false => directories.push(entry.path()),
            }
        }
    }
    found
}

/// Command lines that name a directory; the kernel may take a moment to end them.
fn containers_in(directory: &Path) -> Vec<String> {
    let start = Instant::now();
    loop {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let lines = processes.filter_map(|it| fs::read(it.path().join("cmdline")).ok());
        let lines = lines.map(|it| String::from_utf8_lossy(&it).replace('\0', " "));
        let name = directory.to_string_lossy().into_owned();
        let found: Vec<String> = lines.filter(|line| line.contains(&name)).collect();
        if found.is_empty() || start.elapsed() > Duration::from_secs(2) {
            return found;
        }
        sleep(Duration::from_millis(10));
    }
}

/// It boots once; a program that was built again is seen; told to end, it leaves nothing.
fn kept_lab() -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        println!("skipped: the lab is for x86_64");
        return Ok(());
    }
    workshop("lab-keep --end")?;
    let boots = |words: &str| -> Result<(Value, bool)> {
        let output = workshop(words)?;
        Ok((json(&output)?, String::from_utf8_lossy(&output.stderr).contains("the lab boots")))
    };
    let (first, booted) = boots("check uts --reference --lab --json")?;
    ensure!(first["passed"] == true && first["place"] == "lab" && booted, "{first}");
    let (second, booted) = boots("check chroot --reference --lab --json")?;
    ensure!(second["passed"] == true && !booted, "it is not kept: {second}");
    ensure!(first["versions"]["kernel"] == second["versions"]["kernel"], "another kernel");
    ensure!(workshop("lab-keep --end")?.status.code() == Some(0), "it was not kept");
    ensure!(workshop("lab-keep --end")?.status.code() == Some(1), "it did not end");
    let work = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.workshop");
    ensure!(!work.join("lab/kept-0").exists(), "its socket is left");
    ensure!(fs::read_dir(work.join("handed-over"))?.next().is_none(), "programs are left");
    Ok(())
}

fn class() -> Result<()> {
    let dir = TempDir::new()?;
    let step = first();
    let output = workshop(&format!("check {step} --reference --json --host"))?;
    fs::write(dir.path().join("<i>ada.json"), &output.stdout)?;
    let page = dir.path().join("class.html");
    let words = format!("class {} --html {}", dir.path().display(), page.display());
    let output = workshop(&words)?;
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(0) && table.contains("<i>ada"), "{table}");
    let html = fs::read_to_string(&page)?;
    ensure!(html.contains("&lt;i&gt;ada") && !html.contains("<i>"), "{html}");
    fs::write(dir.path().join("broken.json"), "{")?;
    let output = workshop(&words)?;
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(1), "a broken file goes by without a word");
    ensure!(table.contains("broken.json") && table.contains("<i>ada"), "{table}");
    Ok(())
}
