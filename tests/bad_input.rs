//! Whatever a person types: one line that says what could not be done, to what, and why; at most one
//! hint; the right exit code; and nothing is left behind. Never a panic, never a wait without end.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use evidence::run::{Outcome, run};
use evidence::stage::{self, ROOT_STEPS, Stage, Test, skip};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::geteuid;

const TESTS: &[Test] = &[
    ("flags", flags),
    ("root directories", roots),
    ("commands", commands),
    ("working directories", working_directories),
    ("environments", environments),
    ("names", names),
    ("layers", layers),
    ("profiles", profiles),
    ("arguments that are not UTF-8", not_utf8),
    ("an ordinary user at the first five steps", without_root),
    ("a host that hides parts of /proc and /sys", masked_host),
    ("a caller that ignores SIGCHLD", sigchld_ignored),
    ("no arguments, --help", no_arguments),
];

fn main() -> ExitCode {
    stage::main(TESTS)
}

/// The step that brings the flags, and the flags. Every later step has them too.
const BAD_FLAGS: &[(&str, &[&str])] = &[
    ("chroot", &["--no-such-flag"]),
    ("chroot", &["-e"]),
    ("chroot", &["-w"]),
    ("chroot", &["--workdir", ""]),
    ("uts", &["--hostname"]),
    ("pid", &["--init=maybe"]),
    ("mount", &["-v", ""]),
    ("mount", &["-v", "/tmp"]),
    ("mount", &["-v", ":/tmp"]),
    ("mount", &["-v", "/tmp:"]),
    ("mount", &["-v", "/tmp:relative"]),
    ("mount", &["-v", "/tmp:/"]),
    ("mount", &["-v", "/tmp:/mnt:rx"]),
    ("mount", &["-v", "/no/such/directory:/mnt"]),
    ("mount", &["-v", "/tmp:/proc/1/root/mnt"]),
    ("mount", &["-v", "/tmp:/etc/hostname/below-a-file"]),
    ("mount", &["--tmpfs", "relative"]),
    ("mount", &["--tmpfs", "/"]),
    ("mount", &["--tmpfs", ""]),
    ("mount", &["--read-only=7"]),
    ("net", &["--network", "bridge"]),
    ("net", &["--network", ""]),
    ("net", &["--ip", "300.1.1.1"]),
    ("net", &["--ip", "127.0.0.1"]),
    ("net", &["--ip", ""]),
    ("net", &["--network", "none", "--ip", "10.9.8.7"]),
    ("user", &["--user", "root"]),
    ("user", &["--user", ""]),
    ("user", &["--user", "1:"]),
    ("user", &["--user", "-1"]),
    ("user", &["--user", "4294967295"]),
    ("user", &["--user", "1:4294967295"]),
    ("user", &["--user", "4294967296"]),
    ("user", &["--user", "99999999999999999999"]),
    ("cgroups", &["--memory", "much"]),
    ("cgroups", &["--memory", "0"]),
    ("cgroups", &["--memory", "-5m"]),
    ("cgroups", &["--memory", "99999999999999999999g"]),
    ("cgroups", &["--memory-swap", "1g"]),
    ("cgroups", &["--memory", "64m", "--memory-swap", "1m"]),
    ("cgroups", &["--cpus", "0"]),
    ("cgroups", &["--cpus", "NaN"]),
    ("cgroups", &["--cpus", "-1"]),
    ("cgroups", &["--cpus", "1e300"]),
    ("cgroups", &["--cpu-weight", "0"]),
    ("cgroups", &["--cpu-weight", "10001"]),
    ("cgroups", &["--cpuset-cpus", "all"]),
    ("cgroups", &["--cpuset-cpus", "4000"]),
    ("cgroups", &["--cpuset-cpus", "1-0"]),
    ("cgroups", &["--pids-limit", "0"]),
    ("cgroups", &["--pids-limit", "few"]),
    ("cgroups", &["--pids-limit", "18446744073709551615"]),
    ("cgroups", &["--io-max", "/dev/null:rbps=1m"]),
    ("cgroups", &["--io-max", "/no/such/disk:rbps=1m"]),
    ("cgroups", &["--io-max", "4095:1048575:rbps=1m"]),
    ("cgroups", &["--hugetlb", "3MB=1m"]),
    ("cgroups", &["--hugetlb", "2MB"]),
    ("overlay", &["--layer", "/no/such/layer"]),
    ("overlay", &["--layer", "/etc/passwd"]),
    ("overlay", &["--upper", "/dev/null/below"]),
    ("overlay", &["--upper", "/etc/passwd"]),
    ("overlay", &["--upper", ""]),
    ("seccomp", &["--security-opt", "seccomp"]),
    ("seccomp", &["--security-opt", "seccomp="]),
    ("seccomp", &["--security-opt", "apparmor=none"]),
    ("seccomp", &["--security-opt", "seccomp=/no/such/profile"]),
    ("seccomp", &["--security-opt", "seccomp=/tmp"]),
    ("seccomp", &["--security-opt", "seccomp=/dev/zero"]),
];

/// Every flag in the step that brings it and in the last one.
fn flags(stage: &Stage) -> Result<()> {
    let mut all = Mistakes::default();
    for (first, flags) in BAD_FLAGS {
        for step in [first, "seccomp"] {
            if stage.steps().contains(&step) {
                let root = stage.root()?.as_os_str();
                let args = flags.iter().map(OsStr::new).chain([root, OsStr::new("true")]);
                let args: Vec<OsString> = args.map(OsStr::to_owned).collect();
                all.note(stage, step, &args, &[125]);
            }
        }
    }
    all.none()
}

/// What went wrong, so that one run shows it all.
#[derive(Default)]
struct Mistakes(Vec<String>);

impl Mistakes {
    /// `step` with `args` must end with one of `codes` and one line of error.
    fn note<A: AsRef<OsStr>>(&mut self, stage: &Stage, step: &str, args: &[A], codes: &[i32]) {
        let outcome = stage.snapshot().and_then(|before| {
            let outcome = stage.run(step, args)?.expect_error(codes)?;
            speaks_plainly(&outcome)?;
            before.check()
        });
        if let Err(error) = outcome {
            let words: Vec<_> = args.iter().map(|arg| arg.as_ref().display().to_string()).collect();
            self.0.push(format!("{step} {}: {error:#}", words.join(" ")));
        }
    }

    fn none(self) -> Result<()> {
        let mut mistakes = self.0;
        mistakes.dedup();
        ensure!(mistakes.is_empty(), "{}", mistakes.join("\n"));
        Ok(())
    }
}

/// An error of the kernel has its name too, (EINVAL), and is said once. Words of programmers do not
/// reach a person.
fn speaks_plainly(outcome: &Outcome) -> Result<()> {
    let line = outcome.stderr.lines().next().unwrap_or_default();
    for word in ["os error", "Os {", "unwrap", "RUST_BACKTRACE", "Errno"] {
        ensure!(!line.contains(word), "{word:?} is nothing to tell a person: {outcome}");
    }
    ensure!(line.len() > "error: ".len() + 10, "that says nothing: {outcome}");
    Ok(())
}

fn roots(stage: &Stage) -> Result<()> {
    let work = stage.work();
    fs::write(work.join("file"), "")?;
    fs::create_dir(work.join("empty"))?;
    fs::create_dir(work.join("locked"))?;
    fs::set_permissions(work.join("locked"), Permissions::from_mode(0o000))?;
    symlink("nowhere", work.join("dangling"))?;
    symlink("loop", work.join("loop"))?;
    let long = "x/".repeat(3000);
    let mut all = Mistakes::default();
    for step in stage.steps() {
        for root in ["/no/such/root", "file", "dangling", "loop", "", "file/below", "/dev/null"] {
            all.note(stage, step, &[root, "true"], &[125]);
        }
        let said = stage.run(step, &["file", "true"])?.stderr;
        ensure!(said.contains("file: Not a directory (ENOTDIR)"), "{step} says {said:?}");
        all.note(stage, step, &[&long, "true"], &[125]);
        all.note(stage, step, &["empty", "true"], &[125, 127]);
        if !geteuid().is_root() {
            all.note(stage, step, &["locked", "true"], &[125, 127]);
        }
    }
    all.none()
}

fn commands(stage: &Stage) -> Result<()> {
    let root = stage.own_root("commands")?;
    let script = |name: &str, text: &str| -> Result<()> {
        let path = root.join("root").join(name);
        fs::write(&path, text)?;
        Ok(fs::set_permissions(&path, Permissions::from_mode(0o755))?)
    };
    fs::set_permissions(root.join("root"), Permissions::from_mode(0o755))?;
    script("no-interpreter", "#!/no/such/interpreter\n")?;
    script("no-shebang", "echo this is not a program\n")?;
    script("empty", "")?;
    fs::write(root.join("root/not-executable"), "#!/bin/sh\n")?;
    let long = "x".repeat(300);
    let longer = "x/".repeat(3000);
    let table: [(&str, i32); 10] = [
        ("no-such-command", 127),
        ("/no/such/command", 127),
        ("/etc/hostname/command", 127),
        ("/", 126),
        ("/etc", 126),
        ("/root/not-executable", 126),
        ("/root/no-interpreter", 127),
        ("/root/no-shebang", 126),
        ("/root/empty", 126),
        ("./no-such-command", 127),
    ];
    let mut all = Mistakes::default();
    for step in stage.steps() {
        for (command, code) in table {
            all.note(stage, step, &[root.as_os_str(), OsStr::new(command)], &[code]);
        }
        for command in [&long, &longer, ""] {
            all.note(stage, step, &[root.as_os_str(), OsStr::new(command)], &[126, 127]);
        }
        // As one of several arguments an empty string is as good as any.
        let echo = ["echo", "", "--help", "-e", "a b"].map(OsStr::new);
        let outcome = stage.run(step, &[&[root.as_os_str()], &echo[..]].concat())?.expect(0)?;
        ensure!(outcome.stdout.trim_end().ends_with("a b"), "{step}: {outcome}");
    }
    all.none()
}

fn working_directories(stage: &Stage) -> Result<()> {
    let mut all = Mistakes::default();
    for step in stage.steps() {
        for dir in ["/no/such/directory", "/etc/hostname", "", "/proc/self/fd/no"] {
            let args = [OsStr::new("-w"), OsStr::new(dir), stage.root()?.as_os_str()];
            let args = [&args[..], &[OsStr::new("true")]].concat();
            all.note(stage, step, &args, &[125]);
        }
    }
    all.none()
}

/// `-e KEY` without a value passes on what is there; the rest are strange, but not wrong.
fn environments(stage: &Stage) -> Result<()> {
    let (equals, long) = ("A=b=c", format!("LONG={}", "x".repeat(100_000)));
    for step in stage.steps() {
        let flags = ["-e", "NOT_SET_ANYWHERE", "-e", equals, "-e", &long, "-e", "EMPTY="];
        let outcome = run(&mut stage.container(step, &flags, &["env"])?)?.expect(0)?;
        let has = |line: &str| outcome.stdout.lines().any(|it| it == line);
        ensure!(has(equals) && has(&long) && has("EMPTY="), "{step}: {outcome}");
        ensure!(!outcome.stdout.contains("NOT_SET_ANYWHERE"), "{step}: {outcome}");
        let leaked = run(stage.container(step, &[], &["env"])?.env("SECRET", "of the host"))?;
        ensure!(!leaked.expect(0)?.stdout.contains("SECRET"), "{step} passes everything on");
    }
    let mut all = Mistakes::default();
    let huge = format!("HUGE={}", "x".repeat(140_000));
    for step in stage.steps() {
        // One string of 128 KiB is the most that execve(2) takes: this one does not even reach us.
        let started = run(&mut stage.container(step, &["-e", &huge], &["true"])?);
        ensure!(started.is_err(), "the kernel takes longer strings than it says");
        let root = stage.root()?.as_os_str();
        let args = ["-e", "=x"].map(OsStr::new);
        let strange = run(stage.step(step)?.args(args).arg(root).arg("true"))?;
        if strange.code() != 0 {
            all.note(stage, step, &[args[0], args[1], root, OsStr::new("true")], &[125]);
        }
    }
    all.none()
}

fn names(stage: &Stage) -> Result<()> {
    let mut all = Mistakes::default();
    let root = stage.root()?.to_str().context("a path in UTF-8")?;
    let (just, long, very_long) = ("h".repeat(64), "h".repeat(65), "n".repeat(5000));
    for step in stage.steps().iter().filter(|step| **step != "chroot") {
        run(&mut stage.container(step, &["--hostname", &just], &["true"])?)?.expect(0)?;
        all.note(stage, step, &["--hostname", &long, root, "true"], &[125]);
        all.note(stage, step, &["--domainname", &long, root, "true"], &[125]);
        // A name with which nothing can be made is refused, or is of no consequence.
        for name in ["", ".", "..", "a/b", "../../up", "two words", "new\nline", &very_long] {
            let before = stage.snapshot()?;
            let outcome = stage.run(step, &["--name", name, root, "true"])?;
            if outcome.code() != 0 {
                all.note(stage, step, &["--name", name, root, "true"], &[125]);
            }
            before.check().with_context(|| format!("{step} --name {name:?}"))?;
        }
    }
    all.none()
}

fn layers(stage: &Stage) -> Result<()> {
    let mut all = Mistakes::default();
    let root = stage.root()?.to_str().context("a path in UTF-8")?;
    let layer = |number: usize| -> Result<String> {
        let layer = stage.work().join(format!("layer{number}"));
        fs::create_dir(&layer)?;
        Ok(layer.display().to_string())
    };
    let layers = (0..501).map(layer).collect::<Result<Vec<String>>>()?;
    let mut args: Vec<&str> = layers.iter().flat_map(|layer| ["--layer", layer]).collect();
    args.extend([root, "true"]);
    for step in ["overlay", "seccomp"] {
        all.note(stage, step, &args, &[125]);
        let twice = ["--layer", &layers[0], "--layer", &layers[0], root, "true"];
        all.note(stage, step, &twice, &[125]);
        all.note(stage, step, &["--upper", root, root, "true"], &[125]);
    }
    all.none()
}

fn profiles(stage: &Stage) -> Result<()> {
    let mut all = Mistakes::default();
    let root = stage.root()?.to_str().context("a path in UTF-8")?;
    let call =
        |call: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{call}]}}"#);
    let profiles = [
        String::new(),
        "{".into(),
        "[]".into(),
        "{}".into(),
        "\u{0}\u{1}".into(),
        r#"{"defaultAction": "SCMP_ACT_NONSENSE"}"#.into(),
        r#"{"defaultAction": 7}"#.into(),
        call(r#"{"names": ["read"], "action": "SCMP_ACT_MAYBE"}"#),
        call(r#"{"names": "read", "action": "SCMP_ACT_ERRNO"}"#),
        call(
            r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 9, "value": 0, "op": "SCMP_CMP_EQ"}]}"#,
        ),
        call(
            r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]}"#,
        ),
        call(
            r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_LIKE"}]}"#,
        ),
        "[".repeat(100_000),
    ];
    let file = stage.work().join("profile.json");
    let option = format!("seccomp={}", file.display());
    for profile in profiles {
        fs::write(&file, &profile)?;
        let known = all.0.len();
        all.note(stage, "seccomp", &["--security-opt", &option, root, "true"], &[125]);
        if all.0.len() > known {
            let start: String = profile.chars().take(120).collect();
            all.0.push(format!("  with the profile {start:?}"));
        }
    }
    all.none()
}

/// Bytes that are no text: where a file name may have them they work, else they are refused.
fn not_utf8(stage: &Stage) -> Result<()> {
    let strange = OsStr::from_bytes(b"\xff\xfe strange");
    let root = stage.own_root("copy")?;
    let renamed = stage.work().join(strange);
    fs::rename(&root, &renamed)?;
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<OsString>>();
    let mut all = Mistakes::default();
    for step in stage.steps() {
        let outcome = run(stage.step(step)?.arg(&renamed).arg("echo").arg(strange))?.expect(0)?;
        ensure!(outcome.stdout.contains("strange"), "{step}: {outcome}");
        let named = [&[renamed.clone().into_os_string()][..], &[strange.to_owned()]].concat();
        all.note(stage, step, &named, &[127]);
        for flag in ["-v", "--hostname", "--network", "--memory", "--security-opt", "--user"] {
            let args = [&words(&[flag])[..], &[strange.to_owned()]].concat();
            let args = [&args[..], &[renamed.clone().into_os_string()], &words(&["true"])].concat();
            all.note(stage, step, &args, &[125]);
        }
    }
    all.none()
}

fn without_root(stage: &Stage) -> Result<()> {
    if geteuid().is_root() {
        return skip("it is for an ordinary user");
    }
    let mut all = Mistakes::default();
    let root = stage.root()?.to_str().context("a path in UTF-8")?;
    for step in &ROOT_STEPS[..5] {
        all.note(stage, step, &[root, "true"], &[125]);
        let outcome = stage.run(step, &[root, "true"])?;
        ensure!(outcome.stderr.contains("\nhint: "), "{step} gives no hint: {outcome}");
    }
    for step in &ROOT_STEPS[5..] {
        all.note(stage, step, &["--network", "veth", root, "true"], &[125]);
    }
    all.none()
}

/// As in most containers. Where there is no root, a user namespace of our own has the rights to mount.
fn masked_host(stage: &Stage) -> Result<()> {
    for cover in ["mount -n --bind /dev/null /proc/uptime", "mount -n -t tmpfs none /sys/kernel"] {
        for step in &ROOT_STEPS[5..] {
            let script = format!("{cover} && exec \"$@\"");
            let container = stage.container(step, &["--network", "none"], &["true"])?;
            let unshare = if geteuid().is_root() { "-m" } else { "-mr" };
            let mut command = Command::new("unshare");
            command.args([unshare, "sh", "-c", &script, "sh"]).arg(container.get_program());
            let outcome = run(command.args(container.get_args()))?.expect_error(&[125])?;
            ensure!(
                outcome.stderr.contains("\nhint: something is mounted over"),
                "{step}: {outcome}"
            );
        }
    }
    Ok(())
}

/// As some shells' and supervisors' children are started.
fn sigchld_ignored(stage: &Stage) -> Result<()> {
    for step in stage.steps() {
        let mut command = stage.container(step, &[], &["sh", "-c", "exit 7"])?;
        // SAFETY: between fork and exec, one system call.
        unsafe { command.pre_exec(|| Ok(signal(Signal::SIGCHLD, SigHandler::SigIgn).map(drop)?)) };
        run(&mut command)?.expect(7).with_context(|| *step)?;
    }
    Ok(())
}

fn no_arguments(stage: &Stage) -> Result<()> {
    let mut all = Mistakes::default();
    let root = stage.root()?.to_str().context("a path in UTF-8")?;
    for step in ROOT_STEPS {
        all.note(stage, step, &[""; 0], &[125]);
        all.note(stage, step, &[root], &[125]);
        let help = stage.run(step, &["--help"])?.expect(0)?;
        ensure!(help.stdout.contains("Usage") && help.stderr.is_empty(), "{step}: {help}");
        ensure!(Path::new(root).is_dir(), "the root directory is gone");
    }
    all.none()
}
