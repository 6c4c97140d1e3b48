//! After any run, ended any way, the host is what it was: at once where the parent returned, which
//! has waited for all that it had to clear away.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use evidence::run::{Outcome, Running, run};
use evidence::stage::{self, Stage, Test, skip};
use nix::mount::{MsFlags, mount, umount};
use nix::unistd::geteuid;

const TESTS: &[Test] = &[
    ("every ending of every step", endings),
    ("every flag of every step", flags),
    ("a container without a name", without_a_name),
    ("200 runs in a row", in_a_row),
    ("32 at once", at_once),
    ("a full disk", full_disk),
    ("missing tools", missing_tools),
];

fn main() -> ExitCode {
    stage::main(TESTS)
}

/// A command and the exit code that it must lead to.
const ENDINGS: [(&[&str], i32); 7] = [
    (&["true"], 0),
    (&["false"], 1),
    (&["sh", "-c", "exit 42"], 42),
    (&["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137),
    (&["sh", "-c", "sleep 100 & exit 3"], 3),
    (&["no-such-command"], 127),
    (&["/etc/hostname"], 126),
];

fn endings(stage: &Stage) -> Result<()> {
    for step in stage.steps() {
        for (command, code) in ENDINGS {
            // Without a pid namespace nobody ends what a command leaves behind.
            if code != 3 || !["chroot", "uts"].contains(step) {
                clean(stage, step, &[], command, code)?;
            }
        }
        let before = stage.snapshot()?;
        stage.run(step, &["/no/such/root", "true"])?.expect_error(&[125])?;
        before.check().with_context(|| format!("{step} without a root"))?;
    }
    Ok(())
}

/// Runs a container with a name of its own, which must end with `code` and leave nothing behind.
fn clean(
    stage: &Stage,
    step: &str,
    flags: &[&str],
    command: &[&str],
    code: i32,
) -> Result<Outcome> {
    let what = format!("{step} {} ROOT {}", flags.join(" "), command.join(" "));
    let before = stage.snapshot()?;
    let name = format!("t{}", std::process::id());
    let named = [&["--name", &name][..], flags].concat();
    let flags = if step == "chroot" { flags } else { &named };
    let outcome = run(&mut stage.container(step, flags, command)?)?.expect(code);
    let outcome = outcome.with_context(|| what.clone())?;
    before.check().with_context(|| what)?;
    Ok(outcome)
}

fn flags(stage: &Stage) -> Result<()> {
    let volume = stage.work().join("volume");
    fs::create_dir(&volume)?;
    fs::write(volume.join("file"), "")?;
    let volume = format!("{}:/mnt", volume.display());
    let read_only = format!("{volume}:ro");
    let upper = stage.work().join("kept");
    let upper = upper.to_str().context("a path in UTF-8")?;
    let layers = ["one", "two"].map(|name| stage.work().join(name));
    layers.iter().try_for_each(fs::create_dir)?;
    let [one, two] = layers.map(|layer| layer.display().to_string());
    // Every step has the flags of those before it.
    let table: [(&str, &[&str]); 22] = [
        ("chroot", &["-e", "A=b", "-w", "/tmp"]),
        ("uts", &["--hostname", "inside", "--domainname", "example"]),
        ("pid", &["--init"]),
        ("mount", &["-v", &volume]),
        ("mount", &["-v", &read_only]),
        ("mount", &["--tmpfs", "/mnt/tmp", "--read-only"]),
        ("net", &["--network", "none"]),
        ("net", &["--network", "host"]),
        ("user", &["--user", "0:0"]),
        ("user", &["--network", "none", "--init", "--read-only", "-v", &volume]),
        ("cgroups", &["--memory", "64m"]),
        ("cgroups", &["--memory", "64m", "--memory-swap", "-1"]),
        ("cgroups", &["--pids-limit", "50"]),
        ("cgroups", &["--cpus", "0.5"]),
        ("cgroups", &["--cpu-weight", "50"]),
        ("cgroups", &["--cpuset-cpus", "0"]),
        ("overlay", &["--diff"]),
        ("overlay", &["--upper", upper]),
        ("overlay", &["--upper", upper, "--diff", "--read-only"]),
        ("overlay", &["--layer", &one, "--layer", &two]),
        ("seccomp", &["--security-opt", "seccomp=unconfined"]),
        ("seccomp", &["--security-opt", "no-new-privileges", "--init", "--diff"]),
    ];
    for (at, step) in stage.steps().iter().enumerate() {
        let reached = |first: &str| {
            stage.steps()[..=at].contains(&first)
                || stage::ROOT_STEPS[..5].contains(&first) && at > 4
        };
        for (first, flags) in table.iter().filter(|(first, _)| reached(first)) {
            let limited = *first == "cgroups" && !geteuid().is_root();
            if limited {
                // What an ordinary user may do here depends on the host: it works, or it says why.
                refused_or_done(stage, step, flags)?;
                continue;
            }
            if flags.contains(&"--cpuset-cpus") && !has_controller("cpuset") {
                refused_or_done(stage, step, flags)?;
                continue;
            }
            clean(stage, step, flags, &["true"], 0)?;
            clean(stage, step, flags, &["no-such-command"], 127)?;
        }
    }
    Ok(())
}

fn refused_or_done(stage: &Stage, step: &str, flags: &[&str]) -> Result<()> {
    let before = stage.snapshot()?;
    let outcome = run(&mut stage.container(step, flags, &["true"])?)?;
    if outcome.code() != 0 {
        outcome.expect_error(&[125])?;
    }
    before.check().with_context(|| format!("{step} {}", flags.join(" ")))
}

fn has_controller(name: &str) -> bool {
    let list = fs::read_to_string("/proc/cgroups").unwrap_or_default();
    list.lines().any(|line| line.starts_with(name) && line.ends_with('1'))
}

fn without_a_name(stage: &Stage) -> Result<()> {
    for step in stage.steps() {
        let before = stage.snapshot()?;
        run(&mut stage.container(step, &[], &["true"])?)?.expect(0)?;
        before.check().with_context(|| format!("{step} without --name"))?;
    }
    Ok(())
}

fn in_a_row(stage: &Stage) -> Result<()> {
    for turn in 0..200 {
        clean(stage, "seccomp", &[], &["true"], 0).with_context(|| format!("run {turn}"))?;
    }
    Ok(())
}

/// All of them wait for each other, so that they really are there at the same time.
fn at_once(stage: &Stage) -> Result<()> {
    let before = stage.snapshot()?;
    let gate = stage.work().join("gate");
    fs::create_dir(&gate)?;
    let volume = format!("{}:/gate", gate.display());
    let script = "tail -1 /etc/hosts; while [ ! -e /gate/open ]; do sleep 0.05; done";
    let start = |number: u32| {
        let name = format!("t{}-{number}", std::process::id());
        let flags = ["--name", &name, "-v", &volume, "--hostname", &name];
        Running::start(&mut stage.container("seccomp", &flags, &["sh", "-c", script])?)
    };
    let mut running = (0..32).map(start).collect::<Result<Vec<Running>>>()?;
    for container in &mut running {
        container.says("\n")?;
    }
    File::create(gate.join("open"))?;
    let mut addresses = Vec::new();
    for container in running {
        let outcome = container.end()?.expect(0)?;
        addresses.extend(outcome.stdout.split_whitespace().next().map(String::from));
    }
    before.check()?;
    let all = addresses.len();
    addresses.sort();
    addresses.dedup();
    let different = if geteuid().is_root() { 32 } else { 1 };
    ensure!((all, addresses.len()) == (32, different), "{all} addresses: {addresses:?}");
    Ok(())
}

fn full_disk(stage: &Stage) -> Result<()> {
    if !geteuid().is_root() {
        return skip("to mount a small disk needs root");
    }
    let disk = stage.work().join("disk");
    fs::create_dir(&disk)?;
    for options in ["size=64k,mode=755", "nr_inodes=9,mode=755"] {
        mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), Some(options))?;
        let outcome = on_a_full_disk(stage, &disk).with_context(|| format!("tmpfs with {options}"));
        umount(&disk)?;
        outcome?;
    }
    Ok(())
}

fn on_a_full_disk(stage: &Stage, disk: &Path) -> Result<()> {
    let (root, kept) = (disk.join("root"), disk.join("kept"));
    fs::create_dir(&root)?;
    fs::create_dir(&kept)?;
    fs::set_permissions(&kept, Permissions::from_mode(0o700))?;
    fill(disk);
    let before = stage.snapshot()?;
    for step in ["mount", "net", "user", "cgroups"] {
        let outcome = run(stage.step(step)?.arg(&root).arg("true"))?;
        outcome.expect_error(&[125, 127]).with_context(|| step)?;
        before.check().with_context(|| step)?;
    }
    let flags = ["--upper", kept.to_str().context("a path in UTF-8")?];
    for step in ["overlay", "seccomp"] {
        let write = ["sh", "-c", "echo much >/file 2>/dev/null || exit 9"];
        let outcome = run(&mut stage.container(step, &flags, &write)?)?;
        if outcome.code() != 9 {
            outcome.expect_error(&[125]).with_context(|| step)?;
        }
        before.check().with_context(|| step)?;
    }
    Ok(())
}

/// Files until there is no room for another, then bytes until there is none for one more.
fn fill(disk: &Path) {
    for number in 0..100 {
        let Ok(mut file) = File::create(disk.join(format!("fill{number}"))) else { return };
        while file.write_all(&[1; 4096]).is_ok() {
            if file.metadata().is_ok_and(|it| it.len() > 1 << 20) {
                break;
            }
        }
    }
}

/// Without newuidmap, an ordinary user still gets one id; without pasta, there is an error.
fn missing_tools(stage: &Stage) -> Result<()> {
    for step in stage.steps() {
        let before = stage.snapshot()?;
        let mut container = stage.container(step, &[], &["true"])?;
        run(container.env("PATH", "/nonexistent"))?.expect(0).with_context(|| *step)?;
        before.check().with_context(|| *step)?;
        if stage::ROOT_STEPS[4..].contains(step) {
            let mut container = stage.container(step, &["--network", "pasta"], &["true"])?;
            let outcome = run(container.env("PATH", "/nonexistent"))?.expect_error(&[125])?;
            ensure!(outcome.stderr.contains("hint: install the package passt"), "{outcome}");
            before.check().with_context(|| format!("{step} without pasta"))?;
        }
    }
    Ok(())
}
