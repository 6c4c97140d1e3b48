//! `workshop compare` with the programs that are installed here: what is known to differ must be found,
//! as root and as an ordinary user, and nothing be left behind. What is not installed is said in a line.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Mutex, PoisonError},
};

use nix::unistd::geteuid;
use serde_json::Value;

const WORKSHOP: &str = env!("CARGO_BIN_EXE_workshop");

/// One at a time, so that what one has left behind is not what another is making.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs it with a place for temporary files of its own, which must be empty afterwards.
fn run(program: &[&str], arguments: &[&str]) -> Output {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let temporary = tempfile::tempdir().unwrap();
    fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg("compare").args(arguments).env("TMPDIR", temporary.path());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let left: Vec<_> = fs::read_dir(temporary.path()).unwrap().flatten().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    assert_eq!(cgroups(), Vec::<String>::new());
    output
}

/// Those that we, or who ran the probe for us, did not remove.
fn cgroups() -> Vec<String> {
    let find = ["/sys/fs/cgroup", "-maxdepth", "3", "-name", "compare-*"];
    let output = Command::new("find").args(find).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_string).collect()
}

fn json(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn missing(peer: &str) -> bool {
    let missing = Command::new(peer).arg("--version").output().is_err();
    if missing {
        println!("skipped: compare {peer}: it is not installed");
    }
    missing
}

/// What holds of any comparison with step 9 of a program that installs no filter by itself.
fn seccomp_is_only_ours(report: &Value) {
    assert_eq!(report["version"], 1);
    assert_eq!(
        (&report["ours"]["probe"]["seccomp"], &report["theirs"]["probe"]["seccomp"]),
        (&2.into(), &0.into())
    );
    let different = &report["differences"];
    assert!(different["walls"].as_array().unwrap().contains(&"system calls".into()));
    assert_eq!(different["calls"]["keyctl"]["ours"], "EPERM", "{}", different["calls"]);
    for side in ["ours", "theirs"] {
        assert_eq!(report[side]["xray"]["walls"].as_array().unwrap().len(), 13);
    }
}

#[test]
fn bwrap_has_no_filter_and_an_ipc_namespace() {
    if missing("bwrap") {
        return;
    }
    let report = json(&run(&[WORKSHOP], &["bwrap", "--json"]));
    seccomp_is_only_ours(&report);
    let different = &report["differences"];
    assert!(different["walls"].as_array().unwrap().contains(&"IPC".into()));
    let ours = different["mounts"]["ours"].as_array().unwrap();
    assert!(ours.contains(&"/sys sysfs".into()), "{ours:?}");
}

#[test]
fn runtimes_keep_three_capabilities_and_no_user_namespace() {
    for peer in ["crun", "runc"] {
        if !geteuid().is_root() || missing(peer) {
            println!("skipped: compare {peer}: it needs root and {peer}");
            continue;
        }
        let report = json(&run(&[WORKSHOP], &[peer, "--json"]));
        seccomp_is_only_ours(&report);
        let different = &report["differences"];
        assert!(different["walls"].as_array().unwrap().contains(&"users".into()));
        let bounding = different["capabilities"]["bounding"]["ours"].as_array().unwrap();
        assert!(bounding.contains(&"CAP_SYS_ADMIN".into()), "{bounding:?}");
        assert!(!bounding.contains(&"CAP_KILL".into()), "{bounding:?}");
    }
}

#[test]
fn people_get_a_row_a_wall() {
    if missing("bwrap") {
        return;
    }
    let output = run(&[WORKSHOP], &["bwrap"]);
    let page = String::from_utf8_lossy(&output.stdout);
    let row = page.lines().find(|line| line.starts_with("  system calls ")).unwrap_or_default();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>()[2..], ["━━━━", "own", "╌╌╌╌", "host's"]);
    assert!(page.contains("system calls refused only in ours"), "{page}");
}

#[test]
fn an_ordinary_user_compares_with_bwrap() {
    let closed = |path: &&Path| fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 1 == 0);
    if !geteuid().is_root()
        || missing("bwrap")
        || Path::new(WORKSHOP).ancestors().any(|it| closed(&it))
    {
        println!("skipped: compare as an ordinary user: it needs root, bwrap, an open checkout");
        return;
    }
    // Root builds what the other then runs.
    json(&run(&[WORKSHOP], &["bwrap", "--json"]));
    let ordinary = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", WORKSHOP];
    let report = json(&run(&ordinary, &["bwrap", "--json", "--here"]));
    seccomp_is_only_ours(&report);
    let map = report["differences"]["uid_map"].as_object().unwrap();
    assert!(map.values().all(|it| it.as_str().unwrap().contains("54321 1")), "{map:?}");
}

#[test]
fn what_is_missing_is_a_line_and_a_hint() {
    let empty = tempfile::tempdir().unwrap();
    let output = Command::new(WORKSHOP)
        .args(["compare", "podman"])
        .env("PATH", empty.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "error: cannot run podman: No such file or directory (ENOENT)");
    assert!(lines.len() == 2 && lines[1].starts_with("hint: ") && lines[1].contains("podman"));
}
