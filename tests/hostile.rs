//! Root directories that mean harm, or are merely strange: links that lead out, fifos that block,
//! devices and files in the way. The container runs as it should, or there is one line of error; and
//! nothing outside of the root is made or changed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use evidence::run::{Outcome, run};
use evidence::stage::{self, ROOT_STEPS, Stage, Test, skip};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{geteuid, mkfifo};

const TESTS: &[Test] = &[
    ("links in the place of directories", links),
    ("links in the place of files", links_of_files),
    ("links within the root lead where they say", inner_links),
    ("files in the place of directories", files),
    ("directories in the place of files", directories),
    ("fifos and sockets", fifos),
    ("device nodes", devices),
    ("volumes through hostile links", volumes),
    ("roots with strange names", strange_names),
    ("a root that is a link", linked_root),
    ("a root without anything", empty_root),
    ("a root that others may not search", locked),
];

fn main() -> ExitCode {
    stage::main(TESTS)
}

/// What the steps from the fourth on mount over or write to.
const DIRECTORIES: [&str; 6] = ["proc", "sys", "dev", "tmp", "etc", "mnt"];
const FILES: [&str; 3] = ["etc/hosts", "etc/hostname", "etc/resolv.conf"];

/// The steps that put a file tree together, each in its own way: the seventh does it as the sixth.
fn steps(stage: &Stage) -> impl Iterator<Item = &'static str> {
    let others = ["chroot", "uts", "pid", "cgroups"];
    stage.steps().iter().copied().filter(move |step| !others.contains(step))
}

/// A root directory with a canary beside it: a tree that nobody may touch.
struct Case<'a> {
    stage: &'a Stage,
    root: PathBuf,
    outside: PathBuf,
}

impl Case<'_> {
    fn new(stage: &Stage) -> Result<Case<'_>> {
        let outside = stage.work().join("outside");
        let _ = fs::remove_dir_all(&outside);
        for dir in ["directory/etc", "directory/proc"] {
            fs::create_dir_all(outside.join(dir))?;
        }
        for file in ["file", "directory/etc/hosts", "directory/etc/hostname"] {
            fs::write(outside.join(file), "of the host\n")?;
        }
        let root = stage.work().join("root");
        remove(&root)?;
        Ok(Case { stage, root: stage.own_root("root")?, outside })
    }

    /// Takes away what is at `path` in the root.
    fn clear(&self, path: &str) -> Result<PathBuf> {
        let path = self.root.join(path);
        remove(&path)?;
        Ok(path)
    }

    /// The last step, and by turns another one, must run rightly or refuse, and touch nothing
    /// outside. `what` is for a reader.
    fn judge(&self, what: &str) -> Result<()> {
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let others: Vec<&str> = steps(self.stage).filter(|step| *step != "seccomp").collect();
        let mut mistakes = Vec::new();
        for step in [others[turn % others.len()], "seccomp"] {
            if let Err(error) = self.try_step(step, &[]) {
                mistakes.push(format!("{step}: {what}: {error:#}"));
            }
        }
        ensure!(mistakes.is_empty(), "{}", mistakes.join("\n"));
        Ok(())
    }

    fn try_step(&self, step: &str, flags: &[&str]) -> Result<()> {
        let before = self.stage.snapshot()?;
        let canary = look(&self.outside)?;
        let script = "stat -f -c 'type-of-%n %T' /proc /sys /dev /tmp; grep ' /proc ' /proc/mounts;
            echo x >/tmp/inside && echo x >/dev/null && $LOOK && echo all-there";
        // The fourth step leaves /etc as it is.
        let files = if step == "mount" { "LOOK=true" } else { "LOOK=cat /etc/hosts /etc/hostname" };
        let flags = [flags, &["-e", files]].concat();
        let mut command = self.stage.step(step)?;
        let outcome = run(command.args(flags).arg(&self.root).args(["sh", "-c", script]))?;
        before.check()?;
        let now = look(&self.outside)?;
        ensure!(canary == now, "outside was {canary:?} and is {now:?}; {outcome}");
        ensure!(!outcome.stdout.contains("of the host"), "it reads the host: {outcome}");
        runs_rightly(step, outcome)
    }
}

fn runs_rightly(step: &str, outcome: Outcome) -> Result<()> {
    if outcome.code() == 125 || outcome.code() == 127 {
        return outcome.expect_error(&[125, 127]).map(drop);
    }
    let has = |text: &str| outcome.stdout.contains(text);
    let filesystems = has("/proc proc rw") || has("type-of-/proc proc");
    ensure!(filesystems, "{step}: /proc is no proc: {outcome}");
    ensure!(has("all-there"), "{step}: something is missing: {outcome}");
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(it) if it.is_dir() => fs::remove_dir_all(path)?,
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    Ok(())
}

/// Every path below `dir` with its kind, its owner and its contents.
fn look(dir: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir)?.flatten() {
        let (path, meta) = (entry.path(), entry.path().symlink_metadata()?);
        let contents = if meta.is_file() { fs::read_to_string(&path)? } else { String::new() };
        if meta.is_dir() {
            found.extend(look(&path)?);
        }
        let owner = (meta.uid(), meta.gid(), meta.mode());
        found.insert(path, format!("{owner:?} {contents}"));
    }
    Ok(found)
}

/// Where a hostile link may point: out by an absolute path, out by `..`, nowhere, in a circle, to what
/// is outside and to be mounted on.
fn targets(case: &Case, name: &str) -> Vec<PathBuf> {
    let outside = &case.outside;
    let climb = PathBuf::from("../".repeat(40)).join(outside.strip_prefix("/").unwrap_or(outside));
    vec![
        outside.join("directory"),
        climb.join("directory"),
        outside.join("directory/made-by-the-container"),
        climb.join("made-by-the-container"),
        outside.join("file"),
        PathBuf::from("nowhere/at/all"),
        PathBuf::from(name.rsplit('/').next().unwrap_or(name)),
        PathBuf::from("/"),
        PathBuf::from(".."),
        PathBuf::from("/proc/self/root"),
        PathBuf::from("/proc/self/cwd"),
        PathBuf::from("/proc/1/root").join(outside.strip_prefix("/").unwrap_or(outside)),
        PathBuf::from("/proc/self/fd/3"),
    ]
}

fn links(stage: &Stage) -> Result<()> {
    let case = Case::new(stage)?;
    for directory in DIRECTORIES {
        for target in targets(&case, directory) {
            let case = Case::new(stage)?;
            symlink(&target, case.clear(directory)?)?;
            case.judge(&format!("{directory} -> {}", target.display()))?;
        }
    }
    Ok(())
}

fn links_of_files(stage: &Stage) -> Result<()> {
    let case = Case::new(stage)?;
    for file in FILES {
        for target in targets(&case, file) {
            let case = Case::new(stage)?;
            symlink(&target, case.clear(file)?)?;
            case.judge(&format!("{file} -> {}", target.display()))?;
        }
        let case = Case::new(stage)?;
        symlink(case.outside.join("file"), case.clear(file)?)?;
        case.judge(&format!("{file} -> a file of the host"))?;
    }
    Ok(())
}

/// /var/run -> /run and the like are in every image: such links are followed, inside.
fn inner_links(stage: &Stage) -> Result<()> {
    let case = Case::new(stage)?;
    fs::create_dir_all(case.root.join("real/etc"))?;
    for file in FILES {
        fs::copy(case.root.join(file), case.root.join("real").join(file))?;
    }
    fs::copy(case.root.join("etc/passwd"), case.root.join("real/etc/passwd"))?;
    symlink("/real/etc", case.clear("etc")?)?;
    for step in steps(stage) {
        let outcome = run(stage.step(step)?.arg(&case.root).args(["cat", "/etc/hosts"]))?;
        outcome.expect(0).with_context(|| format!("{step}: etc -> /real/etc"))?;
        let volume = format!("{}:/etc/inner/volume", case.outside.display());
        let list = ["ls", "/real/etc/inner/volume/file"];
        let mut command = stage.step(step)?;
        command.args(["-v", &volume]).arg(&case.root).args(list);
        run(&mut command)?.expect(0).with_context(|| format!("{step}: a volume below a link"))?;
    }
    Ok(())
}

fn files(stage: &Stage) -> Result<()> {
    for directory in DIRECTORIES {
        let case = Case::new(stage)?;
        fs::write(case.clear(directory)?, "a file\n")?;
        case.judge(&format!("{directory} is a file"))?;
    }
    Ok(())
}

fn directories(stage: &Stage) -> Result<()> {
    for file in FILES {
        let case = Case::new(stage)?;
        fs::create_dir(case.clear(file)?)?;
        case.judge(&format!("{file} is a directory"))?;
    }
    for device in ["null", "zero", "tty", "ptmx", "fd", "stdin", "pts", "shm", "mqueue"] {
        let case = Case::new(stage)?;
        fs::create_dir_all(case.root.join("dev").join(device).join("below"))?;
        case.judge(&format!("dev/{device} is a directory"))?;
    }
    Ok(())
}

/// Whoever opens a fifo waits for the other end: nobody must.
fn fifos(stage: &Stage) -> Result<()> {
    for path in DIRECTORIES.iter().chain(&FILES).chain(&["dev/null", "etc/passwd"]) {
        let case = Case::new(stage)?;
        mkfifo(&case.clear(path)?, Mode::from_bits_truncate(0o666))?;
        case.judge(&format!("{path} is a fifo"))?;
        let socket = case.clear(path)?;
        let _listener = UnixListener::bind(&socket)?;
        ensure!(fs::symlink_metadata(&socket)?.file_type().is_socket());
        case.judge(&format!("{path} is a socket"))?;
    }
    Ok(())
}

fn devices(stage: &Stage) -> Result<()> {
    if !geteuid().is_root() {
        return skip("to make device nodes needs root");
    }
    for (name, device) in [("zero", makedev(1, 5)), ("no such device", makedev(240, 77))] {
        for path in DIRECTORIES.iter().chain(&FILES).chain(&["dev/null", "dev/tty"]) {
            let case = Case::new(stage)?;
            let node = case.clear(path)?;
            mknod(&node, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), device)?;
            case.judge(&format!("{path} is a device: {name}"))?;
        }
    }
    Ok(())
}

fn volumes(stage: &Stage) -> Result<()> {
    let source = stage.work().join("volume");
    fs::create_dir(&source)?;
    let case = Case::new(stage)?;
    let outside = case.outside.display().to_string();
    let climb = format!("{}{outside}", "../".repeat(40));
    for target in [&outside, &climb, "/proc/self/root", "/proc/1/cwd", "loop", "nowhere", "/", ".."]
    {
        for inside in ["/link", "/link/new/volume", "/link/directory", "/mnt/../link/x"] {
            let case = Case::new(stage)?;
            symlink(target, case.root.join("link"))?;
            symlink("loop", case.root.join("loop"))?;
            for step in steps(stage).filter(|step| ["mount", "user", "seccomp"].contains(step)) {
                for flag in ["-v", "--tmpfs"] {
                    let volume = format!("{}:{inside}", source.display());
                    let value = if flag == "-v" { &volume } else { inside };
                    let outcome = case.try_step(step, &[flag, value]);
                    outcome.with_context(|| format!("{step} {flag} {inside}, link -> {target}"))?;
                }
            }
            ensure!(fs::read_dir(&source)?.next().is_none(), "the volume was written to");
        }
    }
    Ok(())
}

fn strange_names(stage: &Stage) -> Result<()> {
    let root = stage.own_root("root")?;
    let names: [&[u8]; 9] = [
        b"with space",
        b"with\nnewline",
        b"with:colon",
        b"with,comma",
        b"with\\backslash",
        b"lowerdir=x,upperdir=y:z",
        b"\xff\xfe",
        b"-dash",
        "größe".as_bytes(),
    ];
    for name in names {
        let renamed = stage.work().join(OsStr::from_bytes(name));
        fs::rename(&root, &renamed)?;
        for step in stage.steps() {
            let what = || format!("{step} {}", renamed.display());
            let before = stage.snapshot()?;
            run(stage.step(step)?.arg(&renamed).arg("true"))?.expect(0).with_context(what)?;
            if ROOT_STEPS[7..].contains(step) {
                let flags = ["--diff", "--layer"].map(OsStr::new);
                let mut command = stage.step(step)?;
                let kept = renamed.with_file_name([name, b" kept"].concat().into_os());
                command.args(flags).arg(&renamed).arg("--upper").arg(&kept).arg(stage.root()?);
                let script = "echo x >/added";
                let outcome = run(command.args(["sh", "-c", script]))?.expect(0);
                let outcome = outcome.with_context(what)?;
                ensure!(outcome.stdout.contains("A /added\n"), "{}: {outcome}", what());
            }
            before.check().with_context(what)?;
        }
        fs::rename(&renamed, &root)?;
    }
    for relative in ["root", "./root", "root/", "root/../root", "../work/root"] {
        for step in stage.steps() {
            let outcome = stage.run(step, &[relative, "true"])?;
            outcome.expect(0).with_context(|| format!("{step} {relative}"))?;
        }
        for step in steps(stage) {
            let outcome =
                stage.run(step, &["-v", "root:/mnt", relative, "ls", "/mnt/etc/hosts"])?;
            outcome.expect(0).with_context(|| format!("{step} -v root:/mnt {relative}"))?;
        }
    }
    Ok(())
}

trait IntoOs {
    fn into_os(self) -> std::ffi::OsString;
}

impl IntoOs for Vec<u8> {
    fn into_os(self) -> std::ffi::OsString {
        std::os::unix::ffi::OsStringExt::from_vec(self)
    }
}

/// A link to a root directory is as good as the directory. The host's own / is a root like any other.
fn linked_root(stage: &Stage) -> Result<()> {
    let link = stage.work().join("link");
    symlink(stage.root()?, &link)?;
    symlink("link", stage.work().join("second"))?;
    for step in stage.steps() {
        let before = stage.snapshot()?;
        for root in ["link", "second", "link/", "link/."] {
            let outcome = stage.run(step, &[root, "true"])?;
            outcome.expect(0).with_context(|| format!("{step} {root}"))?;
        }
        before.check().with_context(|| *step)?;
    }
    for step in ROOT_STEPS[7..].iter() {
        let before = stage.snapshot()?;
        let outcome = stage.run(step, &["/", "true"])?;
        if outcome.code() != 0 {
            outcome.expect_error(&[125]).with_context(|| format!("{step} /"))?;
        }
        before.check().with_context(|| format!("{step} /"))?;
    }
    Ok(())
}

/// All that is missing is made; only the command cannot be. Where the kernel cannot map the owners of
/// this file system, it is not the container's to write to.
fn empty_root(stage: &Stage) -> Result<()> {
    for step in stage.steps() {
        let root = stage.work().join("empty");
        remove(&root)?;
        fs::create_dir(&root)?;
        let before = stage.snapshot()?;
        let outcome = run(stage.step(step)?.arg(&root).args(["sh", "-c", "true"]))?;
        let codes = if ROOT_STEPS[5..7].contains(step) { &[127, 125][..] } else { &[127] };
        outcome.expect_error(codes).with_context(|| *step)?;
        before.check().with_context(|| *step)?;
        if ROOT_STEPS[7..].contains(step) && fs::read_dir(&root)?.next().is_some() {
            bail!("{step} writes to the lower layer");
        }
    }
    Ok(())
}

/// A checkout in /root, or in a home directory that is its owner's alone.
fn locked(stage: &Stage) -> Result<()> {
    let home = stage.work().join("home");
    fs::create_dir(&home)?;
    let root = stage.own_root("home/root")?;
    fs::set_permissions(&home, Permissions::from_mode(0o700))?;
    let mut mistakes = Vec::new();
    for step in stage.steps() {
        let outcome = run(stage.step(step)?.arg(&root).arg("true"))?;
        let judged = outcome.expect(0);
        mistakes.extend(judged.err().map(|error| format!("{step}: {error:#}")));
    }
    ensure!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    Ok(())
}
