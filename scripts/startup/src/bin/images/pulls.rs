//! One image from one registry on this machine, by each tool: into an empty store, and once more into
//! the full one. What a tool has made is put aside until the end: what it costs to make files on ext4
//! depends on how many were removed before, see `scripts/bench`.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::make::{self, Size};
use crate::usage::{Row, command, done, installed};

const LAYERS: usize = 5;

/// A tool's command, and the directory that it fills.
struct Subject {
    row: Row,
    command: Command,
    /// Put aside after each turn; a full one stays.
    made: Option<PathBuf>,
}

pub fn measure(
    work: &Path,
    binaries: &Path,
    from: &Path,
    size: Size,
    rounds: usize,
) -> Result<Vec<Row>> {
    for program in ["docker-registry", "skopeo"] {
        ensure!(installed(program), "{program} is missing: it is a package of that name");
    }
    let layout = work.join("layout");
    let files = make::files(from, size)?;
    let each = files.len().div_ceil(LAYERS);
    make::image(&layout, LAYERS, |number, archive| {
        let files = files.iter().skip(number * each).take(each);
        files.into_iter().try_for_each(|path| make::add(archive, path))
    })?;
    let registry = Registry::start(work)?;
    let image = format!("127.0.0.1:{}/bench:latest", registry.port);
    let from = format!("oci:{}:bench", layout.display());
    let to = format!("docker://{image}");
    done(command("skopeo", work).args(["copy", "-q", "--dest-tls-verify=false", &from, &to]))?;
    let mut subjects = subjects(work, binaries, &layout, registry.port)?;
    for round in 0..rounds {
        for turn in 0..subjects.len() {
            let count = subjects.len();
            let Subject { row, command, made } = &mut subjects[(round + turn) % count];
            row.once(command, &work.join("log"))?;
            eprintln!("round {}: {}", round + 1, row.name);
            if let Some(made) = made {
                put_aside(made, &work.join(format!("aside-{round}-{turn}")))?;
            }
        }
    }
    Ok(subjects.into_iter().map(|it| it.row).collect())
}

/// In the order in which the table has them.
fn subjects(work: &Path, binaries: &Path, layout: &Path, port: u16) -> Result<Vec<Subject>> {
    let image = format!("127.0.0.1:{port}/bench:latest");
    let blobs = blobs(layout)?;
    let mut subjects = Vec::new();
    let mut add = |name: &str, made: Option<&str>, words: &str| {
        let mut shell = command("sh", work);
        shell.args(["-ec", words]).current_dir(work);
        let made = made.map(|it| work.join(it));
        subjects.push(Subject { row: Row::new(name), command: shell, made });
    };
    let ours = binaries.join("image");
    let pull = |store: &str| format!("exec {} --store {store} pull {image}", ours.display());
    add("image pull", Some("ours"), &pull("ours"));
    done(command("sh", work).args(["-ec", &pull("full")]).current_dir(work))?;
    add("image pull, again", None, &pull("full"));
    let podman = |root: &str| {
        format!(
            "exec podman --root $PWD/{root} --runroot $PWD/{root}.run --tmpdir $PWD/{root}.tmp \
            --storage-driver overlay pull -q --tls-verify=false {image}"
        )
    };
    if installed("podman") {
        add("podman pull", Some("podman"), &podman("podman"));
    }
    if installed("umoci") {
        let copy = format!("skopeo copy -q --src-tls-verify=false docker://{image} oci:umoci/l:a");
        let unpack = "umoci raw unpack --image umoci/l:a umoci/files";
        add("skopeo copy + umoci", Some("umoci"), &format!("mkdir umoci; {copy}; {unpack}"));
    }
    if installed("curl") {
        let url = format!("http://127.0.0.1:{port}/v2/bench/blobs/sha256:");
        let each = |blob: &String| format!("curl -sS {url}{blob} | tar xz -C tar;");
        let words: String = blobs.iter().map(each).collect();
        add("curl | tar", Some("tar"), &format!("mkdir tar; {words}"));
    }
    floors(work, binaries, layout, &blobs, &mut add)?;
    Ok(subjects)
}

/// The same files made from memory, and the layers decompressed to nothing.
fn floors(
    work: &Path,
    binaries: &Path,
    layout: &Path,
    blobs: &[String],
    add: &mut impl FnMut(&str, Option<&str>, &str),
) -> Result<()> {
    let floor = binaries.join("files").display().to_string();
    let (mut packed, mut plain) = (String::new(), String::new());
    for blob in blobs {
        let path = layout.join("blobs/sha256").join(blob).display().to_string();
        done(
            command("sh", work)
                .args(["-c", &format!("gzip -dc {path} >{blob}.tar")])
                .current_dir(work),
        )?;
        packed += &format!(" {path}");
        plain += &format!(" {blob}.tar");
    }
    add("floor: files", Some("floor"), &format!("mkdir floor; exec {floor} make floor{plain}"));
    add("floor: decompression", None, &format!("exec {floor} decode{packed}"));
    Ok(())
}

/// The names of the layers, from the bottom up.
fn blobs(layout: &Path) -> Result<Vec<String>> {
    let read = |path: PathBuf| -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    };
    let hex = |value: &serde_json::Value| {
        let digest = value["digest"].as_str().and_then(|it| it.strip_prefix("sha256:"));
        digest.map(str::to_string).context("no digest")
    };
    let index = read(layout.join("index.json"))?;
    let manifest = read(layout.join("blobs/sha256").join(hex(&index["manifests"][0])?))?;
    manifest["layers"].as_array().context("no layers")?.iter().map(hex).collect()
}

/// podman leaves mounts of its own over its directory. All is on the disk before the next one starts.
fn put_aside(made: &Path, aside: &Path) -> Result<()> {
    let (name, aside) = (made.display(), aside.display());
    let words =
        format!("umount -q {name}/overlay; mv {name} {aside}; rm -rf {name}.run {name}.tmp; sync");
    done(Command::new("sh").args(["-c", &words]))
}

/// docker-registry on loopback, gone with its value.
struct Registry {
    child: Child,
    port: u16,
}

impl Registry {
    fn start(work: &Path) -> Result<Registry> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (config, data) = (work.join("registry.yml"), work.join("registry"));
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"}}\n",
            data.display()
        );
        fs::write(&config, text)?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Registry { child: command.spawn().context("no docker-registry")?, port };
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(registry);
            }
            sleep(Duration::from_millis(10));
        }
        bail!("docker-registry does not answer")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
