//! Why a system call failed: real mistakes, made by small programs (ourselves, told what to do),
//! and what is said about them. Two causes of one errno must be told apart, and what is found
//! named.

#[path = "explain/deeds.rs"]
mod deeds;

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use evidence::explain::{Explanation, explain};
use evidence::stage::{self, Stage, Test, skip};

use deeds::{DEEDS, Deed, Unfit};

const TESTS: &[Test] = &[
    ("pivot_root", |stage| group(stage, "pivot")),
    ("mounts", |stage| group(stage, "mount")),
    ("new filesystems", |stage| group(stage, "new")),
    ("overlays", |stage| group(stage, "overlay")),
    ("namespaces", |stage| group(stage, "namespace")),
    ("maps of user namespaces", |stage| group(stage, "map")),
    ("cgroups", |stage| group(stage, "cgroup")),
    ("filters", |stage| group(stage, "seccomp")),
    ("programs", |stage| group(stage, "exec")),
    ("names and ids", |stage| group(stage, "id")),
    ("only the failure that counts is told", counts),
    ("what does not fail is not explained", nothing_failed),
    ("a program that hangs is ended", hangs),
];

fn main() -> ExitCode {
    match std::env::var("DEED") {
        Ok(name) => ExitCode::from(deeds::perform(&name)),
        Err(_) => stage::main(TESTS),
    }
}

/// This program again, to do one deed in the stage's work directory.
fn ourselves(stage: &Stage, deed: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command.env("DEED", deed).current_dir(stage.work());
    Ok(command)
}

fn told(stage: &Stage, deed: &str) -> Result<Option<Explanation>> {
    let mut command = ourselves(stage, deed)?;
    // What it says is for who looks at a test that fails.
    if std::env::var_os("SHOW").is_none() {
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    }
    explain(&mut command)
}

/// All deeds whose names begin with `prefix`.
fn group(stage: &Stage, prefix: &str) -> Result<()> {
    let (mut wrong, mut done, mut unfit) = (Vec::new(), 0, BTreeSet::new());
    for deed in DEEDS.iter().filter(|deed| deed.name.starts_with(prefix)) {
        if let Some(Unfit(why)) = (deed.unfit)() {
            unfit.insert(why);
            continue;
        }
        let work = stage.work();
        let _ = std::fs::remove_dir_all(&work);
        std::fs::create_dir_all(&work)?;
        let said = told(stage, deed.name).with_context(|| format!("deed {}", deed.name))?;
        // What a deed has closed could not be cleared away by an ordinary user.
        let _ = std::fs::set_permissions(work.join("closed"), Permissions::from_mode(0o755));
        if std::env::var_os("SHOW").is_some() {
            println!("\n[{}]", deed.name);
            said.iter().for_each(|it| println!("{it}"));
        }
        wrong.extend(mistake(deed, said));
        done += 1;
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unfit: Vec<String> = unfit.into_iter().collect();
    // Of what cannot be made here, the reason is told with the tests that were skipped.
    unfit.iter().filter(|_| done > 0).for_each(|why| println!("skipped: some {prefix}: {why}"));
    if done == 0 { skip(&unfit.join("; ")) } else { Ok(()) }
}

/// What is wrong with an explanation.
fn mistake(deed: &Deed, said: Option<Explanation>) -> Option<String> {
    let Some(said) = said else { return Some(format!("{}: nothing is explained", deed.name)) };
    let errno = deed.errno.map_or("exit code 127".into(), |errno| format!("{errno:?}"));
    let missing: Vec<&&str> =
        deed.words.iter().filter(|word| !said.reason.contains(**word)).collect();
    let right = said.errno == errno && missing.is_empty() && !said.fix.is_empty();
    (!right).then(|| {
        format!("{}: {errno} with {:?} is expected, and said is\n{said}", deed.name, deed.words)
    })
}

/// A PATH is tried, an older option taken: that was no failure. The last one is.
fn counts(stage: &Stage) -> Result<()> {
    let said = told(stage, "fallback, then mkdir")?.context("nothing is explained")?;
    ensure!(said.call.starts_with("chroot("), "not the last failure: {said}");
    let said = told(stage, "a file is missing, and said so")?.context("nothing is explained")?;
    ensure!(said.call.contains("\"nowhere\""), "not the file that it names: {said}");
    let said = told(stage, "EACCES in PATH, then ENOENT")?.context("nothing is explained")?;
    ensure!(said.errno == "EACCES", "what PATH says of another directory: {said}");
    let said =
        told(stage, "a child fails, and its child before")?.context("nothing is explained")?;
    ensure!(said.call.starts_with("pivot_root("), "not the process that gave up: {said}");
    Ok(())
}

fn nothing_failed(stage: &Stage) -> Result<()> {
    for deed in ["succeeds", "gives up without a failure", "passes on 127"] {
        let said = told(stage, deed)?;
        ensure!(said.is_none(), "{deed} is explained: {said:?}");
    }
    Ok(())
}

fn hangs(stage: &Stage) -> Result<()> {
    let patience = std::time::Duration::from_millis(300);
    let said = evidence::explain::explain_within(&mut ourselves(stage, "hangs")?, patience)?;
    ensure!(said.is_none(), "{said:?}");
    Ok(())
}
