//! Pulls from Debian's registry on loopback: http and https, with and without a login, indexes,
//! Docker's schema 2, zstd, many layers; two at once, one that is killed; and what is done with
//! images then.

mod kit;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use evidence::oci::archive::Header;
use evidence::oci::{Layer, Layout, Tar};
use kit::packed::Packed;
use kit::server::Registry;
use kit::tree;
use kit::{Place, Test, finish, need, tool};
use serde_json::{Value, json};

const TESTS: &[Test] = &[
    ("pull, list, run, remove", whole_life),
    ("what an image says of itself", config),
    ("schema 2", schema_2),
    ("zstd", zstd),
    ("an index of several machines", index),
    ("sixty layers", sixty_layers),
    ("by digest", by_digest),
    ("a newer image takes the name", renamed),
    ("layers are shared", shared),
    ("a password", password),
    ("https with a private authority", https),
    ("http by a name that is not this machine's", plain),
    ("two pulls at once", two_at_once),
    ("killed at any moment", killed),
    ("layers in use are not pruned", in_use),
    ("all images removed", prune_all),
    ("export and import", export),
    ("docker's archive", docker_archive),
    ("nobody reads what is said", nobody_reads),
    ("an image that is damaged", damaged),
    ("bad arguments", bad_arguments),
];

fn main() -> ExitCode {
    kit::main(TESTS)
}

/// A shell and what it needs.
fn busybox() -> Result<Tar> {
    need(&[("busybox", "busybox-static"), ("skopeo", "skopeo")])?;
    let program = fs::read("/usr/bin/busybox").or_else(|_| fs::read("/bin/busybox"))?;
    let mut header = Header::new("bin/busybox", b'0', program.len());
    header.mode(0o755);
    let tar = Tar::new().dir("bin/").header(&header).data(&program);
    Ok(["sh", "cat", "ls", "id", "sleep", "pwd", "env"]
        .iter()
        .fold(tar, |tar, name| tar.symlink(&format!("bin/{name}"), "busybox")))
}

fn base() -> Result<Layer> {
    Layer::gzip(
        &busybox()?.file("etc/passwd", b"root:x:0:0::/root:/bin/sh\nann:x:7:8::/home/ann:\n").end(),
    )
}

fn small(name: &str) -> Result<Layer> {
    Layer::gzip(&Tar::new().file(name, name.as_bytes()).end())
}

/// Puts a layout's image into a registry.
fn push(layout: &Layout, registry: &Registry, name: &str, flags: &[&str]) -> Result<()> {
    let from = format!("oci:{}", layout.path.display());
    let to = format!("docker://{}/{name}", registry.host);
    let arguments =
        [&["copy", "--dest-tls-verify=false", "--quiet"], flags, &[&from, &to]].concat();
    tool("skopeo", &arguments).map(drop)
}

/// A registry with an image of these layers.
fn registry_with(place: &Place, layers: &[Layer], run: Value, flags: &[&str]) -> Result<Registry> {
    let registry = Registry::start(&place.path("registry"), "", "")?;
    let layout = Layout::new(&place.path("layout"))?;
    layout.image(layers, run)?;
    push(&layout, &registry, "a/b:1", flags)?;
    Ok(registry)
}

fn image(registry: &Registry) -> String {
    format!("{}/a/b:1", registry.host)
}

/// Runs a shell in a container of the image.
fn shell(place: &Place, image: &str, script: &str) -> Result<String> {
    place.ok(&["run", "--network", "none", image, "sh", "-c", script])
}

fn whole_life(place: &Place) -> Result<()> {
    let registry = registry_with(place, &[base()?, small("top")?], json!({}), &[])?;
    let image = image(&registry);
    let pulled = place.run(&["pull", &image])?;
    ensure!(pulled.code == 0, "{}", pulled.stderr);
    ensure!(
        pulled.stderr.lines().filter(|it| it.starts_with("layer ")).count() == 2,
        "{}",
        pulled.stderr
    );
    ensure!(place.ok(&["list"])?.contains(&image), "it is not listed");
    ensure!(shell(place, &image, "cat /top; echo x >/top; cat /top")? == "topx\n", "another file");
    ensure!(shell(place, &image, "cat /top")? == "top", "the image was changed");
    ensure!(place.run(&["run", &image, "sh", "-c", "exit 7"])?.code == 7, "another code");
    ensure!(place.run(&["run", &image, "nothing"])?.code == 127, "another code");
    ensure!(place.run(&["run", &image, "/etc/passwd"])?.code == 126, "another code");
    ensure!(place.run(&["run", &image, ""])?.code == 127, "another code");
    place.fails(&["rm", &image, "nothing"], "cannot find an image called \"nothing\"")?;
    ensure!(place.ok(&["list"])?.contains(&image), "one was removed, the other not");
    place.ok(&["rm", &image])?;
    place.fails(&["inspect", &image], "cannot find an image")?;
    let left = |name: &str| fs::read_dir(place.store().join(name)).map_or(0, Iterator::count);
    for directory in ["blobs/sha256", "layers", "partial"] {
        ensure!(left(directory) == 0, "something is left in {directory}");
    }
    ensure!(shell(place, &image, "echo back")? == "back\n", "run does not pull");
    Ok(())
}

fn config(place: &Place) -> Result<()> {
    let run = json!({"Entrypoint": ["sh", "-c", "\"$@\"; echo $A $B $C $HOME $(pwd); id -u; id -g", "sh"],
        "Cmd": ["echo", "default"], "Env": ["A=image", "B=image", "C"], "User": "ann",
        "WorkingDir": "/not/there", "Labels": null});
    let registry = registry_with(place, &[base()?], run, &[])?;
    let image = image(&registry);
    let mut command = place.image(&["run", "--network", "none", "-e", "B=ours", &image])?;
    command.env("C", "the host's");
    let outcome = finish(command)?;
    let expected = "default\nimage ours /home/ann /not/there\n7\n8\n";
    ensure!(outcome.stdout == expected, "{:?} {}", outcome.stdout, outcome.stderr);
    let said = place.ok(&[
        "run",
        "--network",
        "none",
        "-w",
        "/etc",
        "--user",
        "9",
        &image,
        "echo",
        "other",
    ])?;
    ensure!(said == "other\nimage image / /etc\n9\n9\n", "{said:?}");
    let said = place.ok(&[
        "run",
        "--network",
        "none",
        "--entrypoint",
        "busybox",
        &image,
        "echo",
        "this",
    ])?;
    ensure!(said == "this\n", "{said:?}");
    let value: Value = serde_json::from_str(&place.ok(&["inspect", &image])?)?;
    ensure!(value["Config"]["User"] == "ann", "{value}");
    Ok(())
}

fn schema_2(place: &Place) -> Result<()> {
    let registry = registry_with(place, &[base()?], json!({}), &["--format", "v2s2"])?;
    let image = image(&registry);
    place.ok(&["pull", &image])?;
    let value: Value = serde_json::from_str(&place.ok(&["inspect", &image])?)?;
    let kind = &value["Layers"][0]["mediaType"];
    ensure!(kind == "application/vnd.docker.image.rootfs.diff.tar.gzip", "{kind}");
    ensure!(shell(place, &image, "echo here")? == "here\n", "it does not run");
    Ok(())
}

fn zstd(place: &Place) -> Result<()> {
    let layers = [base()?, Layer::zstd(&Tar::new().file("top", b"zstd").end())?];
    let registry = registry_with(place, &layers, json!({}), &[])?;
    ensure!(shell(place, &image(&registry), "cat /top")? == "zstd", "another file");
    Ok(())
}

fn index(place: &Place) -> Result<()> {
    let registry = Registry::start(&place.path("registry"), "", "")?;
    let layout = Layout::new(&place.path("layout"))?;
    let mut manifests = Vec::new();
    for architecture in ["arm64", "amd64", "riscv64"] {
        let layers = [base()?, small(architecture)?];
        let mut manifest = layout.manifest(&layers, json!({}), architecture)?;
        manifest["platform"] = json!({"os": "linux", "architecture": architecture});
        manifests.push(manifest);
    }
    let mut attestation = manifests[0].clone();
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    manifests.insert(0, attestation);
    let value =
        json!({"schemaVersion": 2, "mediaType": image::media::OCI_INDEX, "manifests": manifests});
    layout.write_index(&[layout.json(image::media::OCI_INDEX, &value)?])?;
    push(&layout, &registry, "a/b:1", &["--all"])?;
    let image = image(&registry);
    let ours = image::platform::Platform::host().architecture;
    ensure!(shell(place, &image, &format!("cat /{ours}"))? == ours, "another image");
    let other = if ours == "riscv64" { "arm64" } else { "riscv64" };
    place.ok(&["pull", "--platform", &format!("linux/{other}"), &image])?;
    place.ok(&["unpack", &image, "files"])?;
    ensure!(place.path("home/files").join(other).exists(), "another image");
    let outcome = place.run(&["run", "--network", "none", &image, "nothing"])?;
    let note = format!("note: the image is for linux/{other}, this machine is linux/{ours}");
    ensure!(outcome.stderr.contains(&note), "{}", outcome.stderr);
    let value: Value = serde_json::from_str(&place.ok(&["inspect", &image])?)?;
    let id = value["Id"].as_str().context("no id")?;
    place.fails(&["run", "--platform", "linux/mips", id, "cat"], "and for nothing else")?;
    let platform = format!("linux/{ours}");
    let run = ["run", "--network", "none", "--platform", &platform, &image, "cat"];
    let said = place.ok(&[&run[..], &[&format!("/{ours}")]].concat())?;
    ensure!(said == ours, "another image: {said}");
    place
        .fails(&["pull", "--platform", "linux/mips", &image], "there is no image for linux/mips")?;
    Ok(())
}

fn sixty_layers(place: &Place) -> Result<()> {
    let mut layers = vec![base()?];
    for number in 1..60 {
        let tar = Tar::new().file("last", format!("{number}").as_bytes());
        layers.push(Layer::gzip(&tar.file(&format!("layer{number}"), b"").end())?);
    }
    let registry = registry_with(place, &layers, json!({}), &[])?;
    let said = shell(place, &image(&registry), "cat /last; ls -d /layer* | busybox wc -l")?;
    ensure!(said == "5959\n", "{said:?}");
    Ok(())
}

fn by_digest(place: &Place) -> Result<()> {
    let registry = registry_with(place, &[base()?], json!({}), &[])?;
    let image = image(&registry);
    place.ok(&["pull", &image])?;
    let value: Value = serde_json::from_str(&place.ok(&["inspect", &image])?)?;
    let digest = value["Digest"].as_str().context("no digest")?;
    let name = format!("{}/a/b@{digest}", registry.host);
    place.ok(&["pull", &name])?;
    ensure!(shell(place, &name, "echo here")? == "here\n", "it does not run");
    let id = &value["Id"].as_str().context("no id")?["sha256:".len()..][..8];
    ensure!(shell(place, id, "echo id")? == "id\n", "not found by its id");
    place.fails(&["rm", id], "it has several names: ")?;
    place.ok(&["rm", &name])?;
    place.ok(&["rm", id])?;
    ensure!(!place.ok(&["list"])?.contains("/a/b"), "it is still there");
    let wrong = format!("{}/a/b@sha256:{}", registry.host, "0".repeat(64));
    place.fails(&["pull", &wrong], "there is no such image")?;
    Ok(())
}

fn renamed(place: &Place) -> Result<()> {
    let registry = registry_with(place, &[base()?, small("old")?], json!({}), &[])?;
    let image = image(&registry);
    place.ok(&["pull", &image])?;
    let layout = Layout::new(&place.path("newer"))?;
    layout.image(&[base()?, small("new")?], json!({}))?;
    push(&layout, &registry, "a/b:1", &[])?;
    place.ok(&["pull", &image])?;
    ensure!(shell(place, &image, "cat /new; ls /old 2>/dev/null; true")? == "new", "the old image");
    ensure!(place.ok(&["list"])?.contains("<none>"), "the old image is gone");
    let said = place.ok(&["prune"])?;
    ensure!(said.starts_with("removed: 1 image, 1 unpacked layer,"), "{said}");
    Ok(())
}

fn shared(place: &Place) -> Result<()> {
    let registry = registry_with(place, &[base()?, small("one")?], json!({}), &[])?;
    let layout = Layout::new(&place.path("other"))?;
    layout.image(&[base()?, small("two")?], json!({}))?;
    push(&layout, &registry, "a/c:1", &[])?;
    let other = format!("{}/a/c:1", registry.host);
    place.ok(&["pull", &image(&registry), &other])?;
    let count = fs::read_dir(place.store().join("layers"))?.count();
    ensure!(count == 3, "{count} layers are unpacked");
    place.ok(&["rm", &other])?;
    ensure!(shell(place, &image(&registry), "cat /one")? == "one", "a shared layer is gone");
    Ok(())
}

fn password(place: &Place) -> Result<()> {
    let hashed = place.path("htpasswd");
    // bcrypt of "secret", by htpasswd -B.
    fs::write(&hashed, "ann:$2y$05$Qm0Vyy1Pok1vMyQs0KN3g.4FszsR1gJfDGb1nWUoLaVJ3Vr3mWp3K\n")?;
    if need(&[("htpasswd", "apache2-utils")]).is_ok() {
        fs::write(&hashed, tool("htpasswd", &["-nbB", "ann", "secret"])?)?;
    }
    let settings = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", hashed.display());
    let registry = Registry::start(&place.path("registry"), &settings, "")?;
    let layout = Layout::new(&place.path("layout"))?;
    layout.image(&[base()?], json!({}))?;
    push(&layout, &registry, "a/b:1", &["--dest-creds", "ann:secret"])?;
    let image = image(&registry);
    place.fails(&["pull", &image], "there is no login")?;
    let login = |file: &str, user: &str| {
        use base64::Engine;
        let path = place.path("home").join(file);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        let auth = base64::prelude::BASE64_STANDARD.encode(user);
        let text = json!({"auths": {&registry.host: {"auth": auth}}}).to_string();
        Ok::<_, anyhow::Error>(fs::write(path, text)?)
    };
    login(".docker/config.json", "ann:wrong")?;
    place.fails(&["pull", &image], "401")?;
    login(".docker/config.json", "ann:secret")?;
    place.ok(&["pull", &image])?;
    place.ok(&["rm", &image])?;
    // podman's file comes first.
    login("run/containers/auth.json", "ann:wrong")?;
    let mut command = place.image(&["pull", &image])?;
    command.env("XDG_RUNTIME_DIR", place.path("home/run"));
    finish(command)?.is_one_error("401")
}

fn https(place: &Place) -> Result<()> {
    need(&[("openssl", "openssl")])?;
    let (key, certificate) = (place.path("key.pem"), place.path("ca.pem"));
    let (key, certificate) = (key.to_string_lossy(), certificate.to_string_lossy());
    tool(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &certificate,
            "-days",
            "2",
            "-subj",
            "/CN=test",
            "-addext",
            "subjectAltName=IP:127.0.0.1,DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ],
    )?;
    let tls = format!("  tls: {{certificate: {certificate}, key: {key}}}\n");
    let registry = Registry::start(&place.path("registry"), "", &tls)?;
    let layout = Layout::new(&place.path("layout"))?;
    layout.image(&[base()?], json!({}))?;
    push(&layout, &registry, "a/b:1", &[])?;
    let image = image(&registry);
    place.fails(&["pull", &image], "certificate")?;
    place.ok(&["pull", "--ca-file", &certificate, &image])?;
    place.ok(&["rm", &image])?;
    place.ok(&["pull", "--insecure", &image])?;
    place.fails(&["pull", "--ca-file", &key, "x.invalid/a"], "cannot use the certificates")?;
    place.fails(&["pull", "--ca-file", "/nowhere", "x.invalid/a"], "ENOENT")?;
    Ok(())
}

/// 0.0.0.0 is this machine, but not by its looks.
fn plain(place: &Place) -> Result<()> {
    let registry = registry_with(place, &[base()?], json!({}), &[])?;
    let image = image(&registry).replace("127.0.0.1", "0.0.0.0");
    let outcome = place.fails(&["pull", &image], "it does not speak TLS")?;
    ensure!(outcome.stderr.contains("hint: --insecure"), "{}", outcome.stderr);
    place.ok(&["pull", "--insecure", &image]).map(drop)
}

fn two_at_once(place: &Place) -> Result<()> {
    let mut layers = vec![base()?];
    layers.extend((0..8).map(|it| small(&format!("f{it}"))).collect::<Result<Vec<_>>>()?);
    let registry = registry_with(place, &layers, json!({}), &[])?;
    let image = image(&registry);
    let pulls = (0..4).map(|_| place.image(&["pull", &image]));
    let children = pulls.map(|it| Ok(it?.stderr(std::process::Stdio::piped()).spawn()?));
    let children = children.collect::<Result<Vec<_>>>()?;
    let mut unpacked = 0;
    for child in children {
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{said}");
        unpacked += said.matches("fetched and unpacked").count();
    }
    ensure!(unpacked == 9, "9 layers were unpacked {unpacked} times");
    ensure!(shell(place, &image, "cat /f7")? == "f7", "another file");
    ensure!(fs::read_dir(place.store().join("partial"))?.count() == 0, "something is left");
    Ok(())
}

/// SIGKILL after ever longer times: what is there is whole, and the next pull ends well.
fn killed(place: &Place) -> Result<()> {
    let mut layers = vec![base()?];
    for it in 0..6 {
        let files =
            (0..200).fold(Tar::new(), |tar, at| tar.file(&format!("{it}/{at}"), &[at as u8; 3000]));
        layers.push(Layer::gzip(&files.end())?);
    }
    let registry = registry_with(place, &layers, json!({}), &[])?;
    let image = image(&registry);
    let mut interrupted = 0;
    for step in 0..25 {
        let mut child =
            place.image(&["pull", &image])?.stderr(std::process::Stdio::null()).spawn()?;
        std::thread::sleep(Duration::from_millis(4 * step));
        interrupted += u32::from(child.try_wait()?.is_none());
        child.kill()?;
        child.wait()?;
        whole(place)?;
        if step % 5 == 4 {
            let _ = fs::remove_file(place.store().join("index.json"));
            place.ok(&["prune"])?;
        }
    }
    ensure!(interrupted > 3, "only {interrupted} pulls were interrupted");
    place.ok(&["pull", &image])?;
    ensure!(shell(place, &image, "ls /0 /5 | busybox wc -l")? == "403\n", "files are missing");
    whole(place)?;
    place.ok(&["prune"])?;
    ensure!(fs::read_dir(place.store().join("partial"))?.count() == 0, "something is left");
    Ok(())
}

/// Each blob is what its name says.
fn whole(place: &Place) -> Result<()> {
    let Ok(blobs) = fs::read_dir(place.store().join("blobs/sha256")) else { return Ok(()) };
    for blob in blobs.flatten() {
        let digest = image::digest::Digest::of(&fs::read(blob.path())?);
        ensure!(
            blob.file_name().to_string_lossy() == digest.hex(),
            "{} is broken",
            blob.path().display()
        );
    }
    Ok(())
}

fn in_use(place: &Place) -> Result<()> {
    let registry = registry_with(place, &[base()?], json!({}), &[])?;
    let image = image(&registry);
    place.ok(&["pull", &image])?;
    let script = "read line; cat /etc/passwd";
    let mut container = place
        .image(&["run", "--network", "none", &image, "sh", "-c", script])?
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    std::thread::sleep(Duration::from_millis(500));
    place.ok(&["rm", &image])?;
    let said = place.ok(&["prune"])?;
    ensure!(said.contains("kept: 1 layer,"), "{said}");
    drop(container.stdin.take());
    let output = container.wait_with_output()?;
    ensure!(String::from_utf8_lossy(&output.stdout).contains("ann"), "the files are gone");
    let said = place.ok(&["prune"])?;
    ensure!(said.contains("1 unpacked layer,"), "{said}");
    Ok(())
}

/// And the store with them, unless a container stands on a layer.
fn prune_all(place: &Place) -> Result<()> {
    place.ok(&["prune", "--all"])?;
    ensure!(!place.store().exists(), "a store was made to be removed");
    let registry = registry_with(place, &[base()?, small("top")?], json!({}), &[])?;
    let image = image(&registry);
    place.ok(&["pull", &image])?;
    let mut container = place
        .image(&["run", "--network", "none", &image, "sh", "-c", "echo up; read line"])?
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let mut up = [0; 3];
    container.stdout.as_mut().context("no output")?.read_exact(&mut up)?;
    let said = place.ok(&["prune", "--all"])?;
    ensure!(said.contains("removed: 1 image,") && said.contains("kept: 2 layers,"), "{said}");
    drop(container.stdin.take());
    container.wait()?;
    // Where it is by default: its parent goes too.
    let mut ours = place.image(&["prune", "--all"])?;
    let directory = place.directory("home/container-workshop")?;
    fs::rename(place.store(), directory.join("images"))?;
    // Also when nothing can be made of it any more.
    fs::write(directory.join("images/index.json"), "{")?;
    ours.env("IMAGE_STORE", directory.join("images"));
    let outcome = finish(ours)?;
    ensure!(outcome.stdout.contains("2 unpacked layers"), "{}", outcome.stdout);
    ensure!(outcome.stdout.contains("removed: the store"), "{}", outcome.stdout);
    ensure!(!directory.exists(), "a directory is left");
    Ok(())
}

fn export(place: &Place) -> Result<()> {
    let registry = registry_with(place, &[base()?, small("top")?], json!({}), &[])?;
    let image = image(&registry);
    place.ok(&["pull", &image])?;
    for path in ["layout-out", "archive.tar"] {
        place.ok(&["export", &image, path])?;
        place.fails(&["export", &image, path], "something already")?;
        let store = format!("--store={}", place.path(&format!("home/{path}-store")).display());
        place.ok(&[&store, "import", path])?;
        let said = place.ok(&[&store, "run", "--network", "none", &image, "cat", "/top"])?;
        ensure!(said == "top", "{said}");
        place.ok(&[&store, "import", path, "other:name"])?;
        ensure!(place.ok(&[&store, "list"])?.contains("other:name"), "it has no other name");
    }
    place.fails(&["export", &image, "archive.tar.gz"], "name a file that ends in .tar")?;
    tool("gzip", &["--keep", &place.path("home/archive.tar").to_string_lossy()])?;
    let outcome = place.fails(&["import", "archive.tar.gz"], "it is compressed by gzip")?;
    ensure!(outcome.stderr.contains("hint: `gunzip`"), "{}", outcome.stderr);
    // Others understand both.
    let copy = |from: String| tool("skopeo", &["inspect", &from]);
    copy(format!("oci:{}", place.path("home/layout-out").display()))?;
    copy(format!("docker-archive:{}", place.path("home/archive.tar").display()))?;
    copy(format!("oci-archive:{}", place.path("home/archive.tar").display()))?;
    Ok(())
}

fn docker_archive(place: &Place) -> Result<()> {
    let layout = Layout::new(&place.path("layout"))?;
    layout.image(&[base()?, small("top")?], json!({"Cmd": ["cat", "/top"]}))?;
    let archive = place.path("saved.tar");
    let to = format!("docker-archive:{}:some/name:tag", archive.display());
    tool("skopeo", &["copy", "--quiet", &format!("oci:{}", layout.path.display()), &to])?;
    let before = tree::of(&place.path("layout"), &[])?;
    place.ok(&["import", &archive.to_string_lossy()])?;
    let said = place.ok(&["run", "--network", "none", "some/name:tag"])?;
    ensure!(said == "top", "{said}");
    tree::same(&before, &tree::of(&place.path("layout"), &[])?)
}

/// As with `image pull ... 2>&1 | head -n 1`.
fn nobody_reads(place: &Place) -> Result<()> {
    let registry = registry_with(place, &[base()?], json!({}), &[])?;
    let program = place.image(&[])?.get_program().to_string_lossy().into_owned();
    let pull = format!("{program} pull {}", image(&registry));
    let script = format!("{{ {pull}; echo $? >code; }} 2>&1 | true; cat code");
    let mut command = place.command(Path::new("sh"));
    command.args(["-c", &script]);
    let outcome = finish(command)?;
    ensure!(outcome.stdout == "0\n", "pull ended with code {}", outcome.stdout);
    Ok(())
}

fn damaged(place: &Place) -> Result<()> {
    let registry = registry_with(place, &[base()?], json!({}), &[])?;
    let image = image(&registry);
    place.ok(&["pull", &image])?;
    let value: Value = serde_json::from_str(&place.ok(&["inspect", &image])?)?;
    let id = value["Id"].as_str().and_then(|it| it.strip_prefix("sha256:")).context("no id")?;
    fs::remove_file(place.store().join("blobs/sha256").join(id))?;
    ensure!(place.ok(&["list"])?.contains("it is missing"), "the list says nothing of it");
    let outcome = place.fails(&["prune"], "it is missing")?;
    ensure!(outcome.stderr.contains("hint: pull it again, or remove it"), "{}", outcome.stderr);
    place.ok(&["pull", &image])?;
    place.ok(&["inspect", &image])?;
    fs::remove_file(place.store().join("blobs/sha256").join(id))?;
    place.ok(&["rm", &image])?;
    place.ok(&["prune"]).map(drop)
}

fn bad_arguments(place: &Place) -> Result<()> {
    place.fails(&["pull", "http://localhost/a"], "a name has no `http://`")?;
    let outcome = place.run(&["run", "-it", "a"])?;
    let hinted = outcome.code == 125 && outcome.stderr.contains("hint: leave it out");
    ensure!(hinted, "{}", outcome.stderr);
    let outcome = place.run(&[])?;
    ensure!(outcome.code == 125 && outcome.stderr.contains("pull"), "{}", outcome.stderr);
    place.fails(&["pull", "../x"], "cannot use \"../x\" as the name of an image")?;
    place.fails(&["pull", "A/b:c"], "cannot ask A")?;
    let outcome = place.fails(&["run", "/etc"], "cannot use \"/etc\" as the name of an image")?;
    ensure!(outcome.stderr.contains("\nhint: the steps before"), "{}", outcome.stderr);
    place.fails(&["inspect", "nothing"], "cannot find an image")?;
    place.fails(&["import", "/nowhere"], "ENOENT")?;
    place.fails(&["import", "/dev/null"], "cannot import")?;
    let outcome = place.fails(&["import", "/etc/passwd"], "it is no tar archive")?;
    ensure!(!outcome.stderr.contains("root"), "{}", outcome.stderr);
    place.fails(&["unpack", "nothing", "x"], "cannot find an image")?;
    for arguments in [
        &["pull", "--platform", "x", "a"][..],
        &["pull", "--max-size", "x", "a"],
        &["run"],
        &["nonsense"],
    ] {
        let outcome = place.run(arguments)?;
        ensure!(outcome.code == 125 && outcome.stderr.starts_with("error: "), "{}", outcome.stderr);
    }
    let open = place.directory("home/open")?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&open, mode)?;
    place.fails(&["--store", "open", "list"], "others may enter it")?;
    place.fails(&["--store", "/proc/x", "list"], "cannot make the store's directory")?;
    if !place.is_root() {
        place.fails(&["--store", "/usr", "list"], "belongs to somebody else")?;
    }
    Ok(())
}
