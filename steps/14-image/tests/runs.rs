//! What an image says of its containers: who the command is, what stops it. Images of as many layers
//! as there can be, and one of a whole distribution.

mod kit;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use evidence::oci::archive::Header;
use evidence::oci::{Layer, Layout, Tar};
use kit::packed::Packed;
use kit::server::Registry;
use kit::{Place, Skipped, Test, need, tool, tree};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const TESTS: &[Test] = &[
    ("users and groups by name", users),
    ("the signal that stops a command", stop_signal),
    ("as many layers as overlayfs takes", many_layers),
    ("a distribution", debian),
];

fn main() -> ExitCode {
    kit::main(TESTS)
}

const PASSWD: &[u8] = b"root:x:0:0::/root:/bin/sh\nann:x:7:8::/home/ann:\nbob:x:9:9::/:\n";

/// A shell and what it needs.
fn shell() -> Result<Layer> {
    need(&[("busybox", "busybox-static")])?;
    let program = fs::read("/usr/bin/busybox").or_else(|_| fs::read("/bin/busybox"))?;
    let mut header = Header::new("bin/busybox", b'0', program.len());
    header.mode(0o755);
    let tar = Tar::new().dir("bin/").header(&header).data(&program);
    let tar = ["sh", "id", "sleep"]
        .iter()
        .fold(tar, |tar, name| tar.symlink(&format!("bin/{name}"), "busybox"));
    Ok(Layer::plain(&tar.file("etc/passwd", PASSWD).file("etc/group", b"old:x:1:ann\n").end()))
}

/// Imports an image of these layers as `a`.
fn import(place: &Place, layers: &[Layer], run: Value) -> Result<()> {
    let layout = Layout::new(&place.path("layout"))?;
    layout.image(layers, run)?;
    place.ok(&["import", &place.path("layout").to_string_lossy(), "a"]).map(drop)
}

fn users(place: &Place) -> Result<()> {
    // The uppermost /etc/group counts.
    let group = b"root:x:0:\nann:x:8:\nadm:x:4:bob,ann\ndisk:x:6:ann\nbobs:x:9:\n";
    let top = Layer::plain(&Tar::new().file("etc/group", group).end());
    import(place, &[shell()?, top], json!({"User": "ann"}))?;
    // With one id there is nothing but that, user_namespaces(7).
    let one_id = place.owner(1) == place.owner(0);
    let is = |flags: &[&str], ids: &str| {
        let script = "echo $(id -u) $(id -G) $HOME";
        let arguments = [&["run", "--network", "none"], flags, &["a", "sh", "-c", script]].concat();
        let said = place.ok(&arguments)?;
        let words: Vec<&str> = said.split_whitespace().collect();
        let expected: Vec<&str> = ids.split_whitespace().collect();
        let same = match one_id {
            // The host's own groups are all there, as nobody's.
            true => words[..2] == expected[..2] && words.last() == expected.last(),
            false => words == expected,
        };
        ensure!(same, "{flags:?}: {said:?} is not {ids:?}");
        Ok(())
    };
    is(&[], "7 8 4 6 /home/ann")?;
    is(&["--user", "bob"], "9 9 4 /")?;
    is(&["--user", "bob:disk"], "9 6 /")?;
    is(&["--user", "ann:4"], "7 4 /home/ann")?;
    is(&["--user", "root"], "0 0 /root")?;
    // Numbers are taken as they are.
    is(&["--user", "7"], "7 7 /")?;
    is(&["--user", "7:33"], "7 33 /")?;
    for (user, words) in [
        ("cat", "the image has no user \"cat\""),
        ("ann:cats", "the image has no group \"cats\""),
        ("", "the image has no user \"\""),
        ("-1", "the image has no user \"-1\""),
        ("4294967295", "the image has no user"),
        ("7:4294967295", "the image has no group"),
    ] {
        let flag = format!("--user={user}");
        place.fails(&["run", &flag, "a", "id"], words)?;
    }
    // To setresuid(2) this is -1, and means that nothing is to be changed.
    fs::remove_dir_all(place.path("layout"))?;
    import(place, &[shell()?], json!({"User": "4294967295"}))?;
    place.fails(&["run", "a", "id"], "the image has no user").map(drop)
}

fn stop_signal(place: &Place) -> Result<()> {
    let script = "trap 'echo quit; exit 3' QUIT; trap 'echo int; exit 4' INT
        trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.02; done";
    import(place, &[shell()?], json!({"StopSignal": "SIGQUIT", "Cmd": ["sh", "-c", script]}))?;
    let ends = |flags: &[&str], signal: Signal, word: &str, code: i32| {
        let arguments = [&["run", "--network", "none"], flags, &["a"]].concat();
        let mut child = place.image(&arguments)?.stdout(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(child.stdout.take().context("no output")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        kill(Pid::from_raw(child.id() as i32), signal)?;
        let mut rest = String::new();
        said.read_to_string(&mut rest)?;
        let status = child.wait()?;
        let ended = (line.trim(), rest.trim(), status.code()) == ("ready", word, Some(code));
        ensure!(ended, "{flags:?} {signal}: {line:?} {rest:?} {status}");
        Ok(())
    };
    for init in [&[][..], &["--init"]] {
        let with = |flag| [init, &["--stop-signal", flag]].concat();
        ends(init, Signal::SIGTERM, "quit", 3)?;
        ends(init, Signal::SIGINT, "int", 4)?;
        ends(&with("INT"), Signal::SIGTERM, "int", 4)?;
        ends(&with("SIGTERM"), Signal::SIGTERM, "term", 5)?;
        ends(&with("9"), Signal::SIGTERM, "", 137)?;
    }
    let outcome = place.run(&["run", "--stop-signal", "SIGNOTHING", "a"])?;
    ensure!(outcome.code == 125, "{}", outcome.stderr);
    import(place, &[shell()?], json!({"StopSignal": "SIGRTMIN+3", "Cmd": ["sh", "-c", ":"]}))?;
    let said = place.run(&["run", "--network", "none", "a"])?.stderr;
    ensure!(said.starts_with("note: ") && said.contains("SIGRTMIN+3"), "{said:?}");
    Ok(())
}

fn layers(count: usize) -> Result<Vec<Layer>> {
    let mut layers = vec![shell()?];
    layers
        .extend((1..count).map(|it| Layer::plain(&Tar::new().file(&format!("f{it}"), b"x").end())));
    Ok(layers)
}

/// And with the usual number of descriptors.
fn many_layers(place: &Place) -> Result<()> {
    let layout = Layout::new(&place.path("more"))?;
    layout.image(&layers(501)?, json!({}))?;
    let more = place.path("more");
    place.fails(&["import", &more.to_string_lossy(), "more"], "overlayfs takes 500")?;
    import(place, &layers(500)?, json!({}))?;
    let mut few = place.command("sh");
    let program = place.image(&[])?.get_program().to_string_lossy().into_owned();
    let run =
        format!("ulimit -Sn 1024; exec {program} run --network none a sh -c 'set -- /f*; echo $#'");
    let outcome = kit::finish({
        few.args(["-c", &run]);
        few
    })?;
    if outcome.stderr.contains("Linux before 6.8 takes about 80 layers") {
        return Err(Skipped("this kernel does not take so many layers".into()).into());
    }
    ensure!(outcome.stdout == "499\n", "{} {}", outcome.stdout, outcome.stderr);
    Ok(())
}

/// Debian, made once and kept beside the other files that tests make.
fn distribution() -> Result<Layer> {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian.tar");
    if !path.exists() {
        need(&[("mmdebstrap", "mmdebstrap")])?;
        let beside = path.with_extension("partial.tar");
        fs::create_dir_all(env!("CARGO_TARGET_TMPDIR"))?;
        let flags = ["--variant=apt", "--quiet", "bookworm"];
        let made = tool("mmdebstrap", &[&flags[..], &[&beside.to_string_lossy()]].concat());
        made.map_err(|error| error.context(Skipped("no Debian can be made here".into())))?;
        fs::rename(&beside, &path)?;
    }
    Layer::gzip(&fs::read(&path)?)
}

fn debian(place: &Place) -> Result<()> {
    need(&[("skopeo", "skopeo")])?;
    let registry = Registry::start(&place.path("registry"), "", "")?;
    let layout = Layout::new(&place.path("layout"))?;
    layout.image(&[distribution()?], json!({"Cmd": ["bash"]}))?;
    let image = format!("localhost:{}/debian", registry.host.split(':').nth(1).context("no port")?);
    let from = format!("oci:{}", layout.path.display());
    let to = format!("docker://{image}");
    tool("skopeo", &["copy", "--dest-tls-verify=false", "--quiet", &from, &to])?;
    let said = place.ok(&["run", &image, "bash", "-c", "apt-get --version"])?;
    ensure!(said.starts_with("apt "), "{said:?}");
    place.ok(&["unpack", &image, "files"])?;
    if !place.is_root() || need(&[("umoci", "umoci")]).is_err() {
        return Ok(());
    }
    // All that there is in a distribution is as umoci has it.
    let theirs = place.path("umoci");
    tool("skopeo", &["copy", "--quiet", &from, &format!("oci:{}:a", place.path("b").display())])?;
    let named = format!("{}:a", place.path("b").display());
    tool("umoci", &["raw", "unpack", "--image", &named, &theirs.to_string_lossy()])?;
    tree::same(&tree::of(&place.path("home/files"), &[])?, &tree::of(&theirs, &[])?)
}
