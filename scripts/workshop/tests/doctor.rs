//! `workshop doctor --json` on this machine, and on worse ones: as an ordinary user, without tools, with
//! a masked /proc, where no user namespace may be made. What was broken must be found and named.

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use evidence::steps::STEPS;
use nix::unistd::geteuid;
use serde_json::Value;

const WORKSHOP: &str = env!("CARGO_BIN_EXE_workshop");

/// One doctor at a time, so that what one has left behind is not what another is making.
static ALONE: Mutex<()> = Mutex::new(());

/// A report, whose promises that hold anywhere are checked.
fn report(command: &mut Command) -> Value {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    report_of_one(command)
}

fn report_of_one(command: &mut Command) -> Value {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let plan = report["plan"].as_array().unwrap();
    let nowhere = plan.iter().any(|one| one["place"] == "nowhere");
    assert_eq!((report["version"].as_u64(), plan.len()), (Some(1), STEPS.len()));
    assert_eq!(report["ok"].as_bool(), Some(!nowhere));
    assert_eq!(output.status.code(), Some(i32::from(nowhere)));
    for fault in report["faults"].as_array().unwrap() {
        for word in ["reason", "fix", "undo", "answer"] {
            assert!(fault[word].as_str().is_some_and(|it| !it.is_empty()), "no {word}: {fault}");
        }
    }
    report
}

fn doctor() -> Command {
    let mut command = Command::new(WORKSHOP);
    command.args(["doctor", "--json", "--no-lab"]);
    command
}

/// What runs `doctor` after this script has changed a machine of its own (as unshare(1) makes it).
fn after(unshare: &[&str], script: &str) -> Command {
    let mut command = Command::new("unshare");
    let script = format!("{script}; exec {WORKSHOP} doctor --json --no-lab");
    command.args(unshare).args(["sh", "-ec", &script]);
    command
}

/// What one side found out about one trial.
fn outcome<'a>(report: &'a Value, trial: &str, side: &str) -> &'a str {
    let rows = report["trials"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == trial).unwrap();
    row["outcomes"][side]["outcome"].as_str().unwrap_or("none")
}

/// The fault of one side that is about this trial.
fn fault<'a>(report: &'a Value, trial: &str, side: &str) -> Option<&'a Value> {
    let about = |fault: &&Value| {
        let trials = fault["trials"].as_array().unwrap();
        fault["side"] == side && trials.iter().any(|one| one == trial)
    };
    report["faults"].as_array().unwrap().iter().find(about)
}

fn no_root() -> bool {
    let none = !geteuid().is_root();
    if none {
        println!("skipped: doctor on worse machines: it needs root to make them");
    }
    none
}

#[test]
fn as_whoever_we_are() {
    let report = report(&mut doctor());
    let side = if geteuid().is_root() { "root" } else { "user" };
    assert_eq!(outcome(&report, "seccomp", side), "works");
    let needed = report["trials"].as_array().unwrap().iter().filter(|row| row["needed"] == true);
    for row in needed {
        let name = row["name"].as_str().unwrap();
        let fails = outcome(&report, name, side) == "fails" && !name.starts_with("program-");
        assert_eq!(fails, fault(&report, name, side).is_some(), "{name}");
    }
}

#[test]
fn nothing_is_left_behind() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let look = || {
        let ours =
            "find /sys/fs/cgroup /sys/class/net /tmp -name '*doctor-[0-9]*' 2>/dev/null | sort";
        let ours = Command::new("sh").args(["-c", ours]).output().unwrap().stdout;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        (mounts, String::from_utf8(ours).unwrap())
    };
    let before = look();
    report_of_one(&mut doctor());
    assert_eq!(look(), before);
}

/// Doctor as somebody who is nobody, with the toolchain in reach: root's is in root's home.
fn ordinary(arguments: &str) -> Option<Command> {
    let open = |dir: &Path| {
        std::fs::metadata(dir).is_ok_and(|status| status.permissions().mode() & 0o1 == 1)
    };
    if no_root() {
        return None;
    }
    if let Some(closed) = Path::new(WORKSHOP).ancestors().find(|path| !open(path)) {
        println!("skipped: doctor as an ordinary user: closed to others: {}", closed.display());
        return None;
    }
    // Mounted over a directory that every machine has, in a mount namespace of the test's own.
    let script = format!(
        "mount --bind \"$(rustc --print sysroot)\" /mnt
        export PATH=/mnt/bin:/usr/bin:/bin HOME=/
        exec setpriv --reuid 54321 --regid 54321 --clear-groups {WORKSHOP} doctor --json {arguments}"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec", &script]);
    command.env_remove("CARGO");
    Some(command)
}

#[test]
fn an_ordinary_user_is_told_where_root_is_missing() {
    let Some(mut command) = ordinary("--no-lab") else { return };
    let report = report(&mut command);
    assert_eq!(outcome(&report, "static-program", "user"), "works");
    assert_eq!(outcome(&report, "veth", "root"), "untried");
    assert_eq!(outcome(&report, "seccomp", "user"), "works");
    if report["rights"] == "none" {
        for one in &report["plan"].as_array().unwrap()[..5] {
            assert!(one["place"] == "nowhere" && one["why"].is_string(), "{one}");
        }
    }
}

#[test]
fn without_root_the_plan_is_the_lab_and_it_is_proved() {
    let Some(mut command) = ordinary("") else { return };
    let fetched = Command::new(WORKSHOP).args(["lab", "true"]).stdin(Stdio::null()).output();
    if !fetched.is_ok_and(|output| output.status.success()) {
        println!("skipped: doctor and the lab: it does not boot here");
        return;
    }
    let report = report(&mut command);
    assert_eq!(report["ok"], true, "{}", report["plan"]);
    if report["rights"] == "none" {
        assert_eq!(outcome(&report, "veth", "lab"), "works");
        assert!(report["plan"].as_array().unwrap()[..5].iter().all(|one| one["place"] == "lab"));
    }
}

#[test]
fn missing_tools_are_named_with_their_packages() {
    let report = report(doctor().env("PATH", "/nonexistent").env_remove("CARGO"));
    let side = if geteuid().is_root() { "root" } else { "user" };
    for tool in ["cargo", "static-program", "git", "pager"] {
        assert_eq!(outcome(&report, tool, side), "fails", "{tool}");
        assert!(fault(&report, tool, side).is_some(), "{tool}");
    }
    assert_eq!(report["ok"], false);
}

#[test]
fn what_masks_proc_is_named() {
    if no_root() {
        return;
    }
    let script = "mount --bind /dev/null /proc/uptime";
    let report = report(&mut after(&["--mount", "--propagation", "private"], script));
    assert_eq!(outcome(&report, "proc", "root"), "works", "the owner of /proc may");
    assert_eq!(outcome(&report, "owned-mounts", "root"), "fails");
    let fault = fault(&report, "owned-mounts", "root").unwrap();
    assert!(fault["reason"].as_str().unwrap().contains("/proc/uptime"), "{fault}");
    assert!(fault["fix"].as_str().unwrap().contains("/proc/uptime"), "{fault}");
}

#[test]
fn a_limit_of_no_user_namespaces_is_named() {
    if no_root() {
        return;
    }
    let script = "echo 0 >/proc/sys/user/max_user_namespaces";
    let report = report(&mut after(&["--user", "--map-root-user"], script));
    let fault = fault(&report, "user-namespace", "root").unwrap();
    assert_eq!(fault["fix"], "sudo sysctl user.max_user_namespaces=10000");
    assert_eq!(report["plan"][8]["place"], "nowhere");
}

#[test]
fn a_plain_text_page_fits_and_is_ascii() {
    let mut command = Command::new(WORKSHOP);
    command.args(["doctor", "--no-lab"]).env("COLUMNS", "60").env("LC_ALL", "C");
    let page = String::from_utf8(command.stdin(Stdio::null()).output().unwrap().stdout).unwrap();
    assert!(page.is_ascii() && page.contains("Steps"), "{page}");
    // One long word, such as a path, has a line of its own.
    let long = page.lines().find(|line| line.len() > 60 && line.trim().contains(' '));
    assert_eq!(long.filter(|line| !line.contains("found: ")), None);
}
