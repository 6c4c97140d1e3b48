//! What is unpacked is what the archive says, and what others make of it: owners, modes, times,
//! links, attributes, holes; whiteouts of every kind, in overlay's form and when all layers are one
//! tree.

mod kit;

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use evidence::oci::archive::Header;
use evidence::oci::{Layer, Layout, Tar};
use kit::packed::Packed;
use kit::tree::{self, Tree};
use kit::{Place, Skipped, Test, finish, need, tool};
use serde_json::json;

const TESTS: &[Test] = &[
    ("every kind of file", every_kind),
    ("names in GNU's and PAX's way", long_names),
    ("sparse files in each of four ways", sparse),
    ("whiteouts of every kind", whiteouts),
    ("whiteouts as overlay has them", marks),
    ("parents that only the layers below describe", implied),
    ("overlay's own marks in an archive", foreign_marks),
    ("what cannot be made is told", notes),
    ("gzip, zstd and plain are the same", packings),
    ("archives with bytes changed", mutations),
    ("a tree a thousand directories deep", deep),
    ("the same tree as umoci's", umoci),
    ("the same tree as umoci's, with whiteouts", umoci_whiteouts),
    ("the same tree as podman's", podman),
    ("the same tree as podman's, with whiteouts", podman_whiteouts),
    ("the same tree as tar's", tar),
];

fn main() -> ExitCode {
    kit::main(TESTS)
}

/// Imports an image of these layers and puts its files into one directory.
fn unpack(place: &Place, layers: &[Layer]) -> Result<PathBuf> {
    let layout = Layout::new(&place.path("layout"))?;
    layout.image(layers, json!({}))?;
    place.ok(&["import", &place.path("layout").to_string_lossy(), "a"])?;
    place.ok(&["unpack", "a", "files"])?;
    Ok(place.path("home/files"))
}

fn one(place: &Place, tar: &Tar) -> Result<PathBuf> {
    unpack(place, &[Layer::gzip(&tar.clone().end())?])
}

/// The directory of the one layer in the store that holds `name`.
fn layer_with(place: &Place, name: &str) -> Result<PathBuf> {
    let layers = fs::read_dir(place.store().join("layers"))?.flatten().map(|it| it.path());
    let mut found = layers.filter(|it| it.join(name).symlink_metadata().is_ok());
    found.next().with_context(|| format!("no layer has {name}"))
}

fn file(name: &str, mode: u64, uid: u64, gid: u64) -> Tar {
    Tar::new().header(Header::new(name, b'0', 0).mode(mode).owner(uid, gid))
}

fn all_kinds() -> Tar {
    let mut tar = Tar::new().header(Header::new("./", b'5', 0).mode(0o711));
    for (name, mode, uid, gid) in [
        ("setuid", 0o4755, 0, 0),
        ("setgid", 0o2755, 0, 8),
        ("sticky", 0o1644, 33, 33),
        ("nothing", 0, 65534, 65534),
        ("plain", 0o640, 1, 2),
    ] {
        tar.0.extend(file(name, mode, uid, gid).0);
    }
    tar.header(Header::new("shared/", b'5', 0).mode(0o2775).owner(0, 50))
        .file("shared/file", b"of root's group all the same")
        .header(Header::new("closed/", b'5', 0).mode(0o500).owner(7, 7))
        .file("closed/file", b"in a directory that nobody may write to")
        .symlink("link", "plain")
        .symlink("dangling", "/nowhere/at/all")
        // As it is in archives that programs write: podman would make it the file's.
        .header(Header::new("hard", b'1', 0).link("plain").mode(0o640).owner(1, 2))
        .hardlink("hard link to a link", "dangling")
        .header(&Header::new("fifo", b'6', 0))
        .pax(&[("SCHILY.xattr.user.one", b"1\n2"), ("mtime", b"1234567890.987654321")])
        .file("attributed", b"x")
        .pax(&[("mtime", b"-86400.5")])
        .file("older than 1970", b"x")
        .file("a name é with \x01 bytes", b"x")
}

fn every_kind(place: &Place) -> Result<()> {
    let files = one(place, &all_kinds())?;
    let status = |name: &str| fs::symlink_metadata(files.join(name)).context(name.to_string());
    for (name, mode, uid) in [
        ("", 0o40711, 0),
        ("setuid", 0o104755, 0),
        ("sticky", 0o101644, 33),
        ("nothing", 0o100000, 65534),
        ("closed", 0o40500, 7),
        ("shared", 0o42775, 0),
        ("fifo", 0o10644, 0),
    ] {
        let found = status(name)?;
        ensure!(found.mode() == mode, "{name}: mode {:o}", found.mode());
        ensure!(found.uid() == place.owner(uid), "{name}: owner {}", found.uid());
        ensure!(
            name == "fifo"
                || name == "nothing"
                || name == "sticky"
                || found.mtime() == 1_000_000_000,
            "{name}: {}",
            found.mtime()
        );
    }
    if place.is_root() {
        ensure!(status("shared/file")?.gid() == 0, "a group was inherited");
        ensure!(status("setgid")?.gid() == 8, "a group is another");
    }
    ensure!(status("hard")?.ino() == status("plain")?.ino(), "a hard link is a copy");
    ensure!(status("hard link to a link")?.is_symlink(), "a hard link was followed");
    ensure!(
        (status("attributed")?.mtime(), status("attributed")?.mtime_nsec())
            == (1_234_567_890, 987_654_321),
        "a time is another"
    );
    ensure!(status("older than 1970")?.mtime() == -86401, "{}", status("older than 1970")?.mtime());
    let mut value = [0; 8];
    let length = rustix::fs::getxattr(files.join("attributed"), "user.one", &mut value[..])?;
    ensure!(&value[..length] == b"1\n2", "an attribute is another: {value:?}");
    Ok(())
}

fn long_names(place: &Place) -> Result<()> {
    let long = |letter: &str| format!("{}/{}", letter.repeat(200), letter.repeat(250));
    let (gnu, pax) = (long("g"), long("p"));
    let mut prefixed = Header::new("name", b'0', 0);
    prefixed.put(345, b"a/prefix");
    let tar = Tar::new()
        .extension(b'L', format!("{gnu}\0").as_bytes())
        .file("short", b"")
        .extension(b'K', format!("{gnu}\0").as_bytes())
        .symlink("gnu", "short")
        .pax(&[("path", pax.as_bytes()), ("comment", b"nothing")])
        .file("short", b"")
        .pax(&[("linkpath", pax.as_bytes())])
        .symlink("pax", "short")
        .extension(b'g', b"20 comment=something")
        .header(&prefixed);
    let files = one(place, &tar)?;
    for name in [gnu.as_str(), &pax, "a/prefix/name"] {
        ensure!(files.join(name).exists(), "{name} is missing");
    }
    for (link, target) in [("gnu", &gnu), ("pax", &pax)] {
        ensure!(fs::read_link(files.join(link))? == Path::new(target), "{link} is another");
    }
    Ok(())
}

/// `..data..data` of five megabytes and more.
fn sparse(place: &Place) -> Result<()> {
    let size = (5 << 20) + 7;
    let data = [&[1; 1000][..], &[2; 7]].concat();
    let map = [4096, 1000, 5 << 20, 7];
    let digits = |it: &[u64]| it.iter().map(u64::to_string).collect::<Vec<_>>();
    let mut old = Header::new("old", b'S', data.len());
    old.gnu().octal(483, 12, size);
    for (at, part) in map.chunks(2).enumerate() {
        old.octal(386 + 24 * at, 12, part[0]).octal(398 + 24 * at, 12, part[1]);
    }
    let size_text = size.to_string();
    let numbers = digits(&map);
    let mut zero: Vec<(&str, &[u8])> =
        vec![("GNU.sparse.size", size_text.as_bytes()), ("GNU.sparse.numblocks", b"2")];
    for pair in numbers.chunks(2) {
        zero.push(("GNU.sparse.offset", pair[0].as_bytes()));
        zero.push(("GNU.sparse.numbytes", pair[1].as_bytes()));
    }
    let list = numbers.join(",");
    let mut block = format!("2\n{}\n", numbers.join("\n")).into_bytes();
    block.resize(512, 0);
    let tar = Tar::new()
        .header(&old)
        .data(&data)
        .pax(&zero)
        .file("zero", &data)
        .pax(&[
            ("GNU.sparse.size", size_text.as_bytes()),
            ("GNU.sparse.map", list.as_bytes()),
            ("GNU.sparse.name", b"one"),
        ])
        .file("GNUSparseFile.0/one", &data)
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.realsize", size_text.as_bytes()),
            ("GNU.sparse.name", b"two"),
        ])
        .file("GNUSparseFile.0/two", &[&block[..], &data].concat());
    let files = one(place, &tar)?;
    for name in ["old", "zero", "one", "two"] {
        let file = fs::File::open(files.join(name)).context(name)?;
        let status = file.metadata()?;
        let mut bytes = vec![0; size as usize];
        file.read_exact_at(&mut bytes, 0).with_context(|| format!("{name}: {}", status.len()))?;
        let ones = bytes[4096..5096].iter().all(|&it| it == 1);
        let twos = bytes[5 << 20..].iter().all(|&it| it == 2);
        let holes = bytes[..4096].iter().chain(&bytes[5096..5 << 20]).all(|&it| it == 0);
        ensure!(status.len() == size && ones && twos && holes, "{name} holds something else");
        ensure!(status.blocks() < 200, "{name} has no holes: {} blocks", status.blocks());
    }
    Ok(())
}

/// Three layers: the second deletes in every way, the third brings things back. What is deleted and
/// made anew comes in both orders, or only in the one that podman takes.
fn deleting(in_order: bool) -> Result<Vec<Layer>> {
    let bottom = [
        "a/one",
        "a/two",
        "b/one",
        "b/sub/two",
        "c/one",
        "d/one",
        "e",
        "f",
        "g/one",
        "h/one",
        "i/one",
    ]
    .iter()
    .fold(Tar::new(), |tar, name| tar.file(name, b"bottom"));
    let middle = Tar::new()
        .file("a/.wh.one", b"")
        .file("b/.wh..wh..opq", b"")
        .file("b/new", b"middle")
        .file(".wh.c", b"")
        // Deleted and made anew.
        .file(".wh.d", b"")
        .dir("d/")
        .file("d/new", b"middle")
        .file(".wh.f", b"")
        .dir("f/")
        .file("f/new", b"middle")
        // A directory becomes a file.
        .file("h", b"middle")
        .file(".wh.never-there", b"")
        .file(".wh..wh.plnk", b"")
        // In directories that nothing below is merged with.
        .file("b/.wh.one", b"")
        .file("j/new", b"middle")
        .file("j/.wh.one", b"");
    let middle = match in_order {
        true => middle
            .file(".wh.e", b"")
            .file("e", b"middle")
            .file(".wh.g", b"")
            .dir("g/")
            .file("g/new", b"middle")
            .file("i/.wh..wh..opq", b"")
            .file("i/new", b"middle"),
        false => middle
            .file("e", b"middle")
            .file(".wh.e", b"")
            .dir("g/")
            .file("g/new", b"middle")
            .file(".wh.g", b"")
            .file("i/new", b"middle")
            .file("i/.wh..wh..opq", b""),
    };
    let top = Tar::new().file("c/back", b"top").file("a/.wh.two", b"").file("a/three", b"top");
    [bottom, middle, top].iter().map(|tar| Layer::gzip(&tar.clone().end())).collect()
}

const LEFT: [&str; 10] =
    ["a/three", "b/new", "c/back", "d/new", "e", "f/new", "g/new", "h", "i/new", "j/new"];

fn listed(tree: &Tree) -> Vec<String> {
    let files = tree.iter().filter(|(_, line)| line.starts_with("100"));
    files.map(|(path, _)| path.display().to_string()).collect()
}

fn whiteouts(place: &Place) -> Result<()> {
    let files = unpack(place, &deleting(false)?)?;
    let found = listed(&tree::of(&files, &[])?);
    ensure!(found == LEFT, "{found:?} are left");
    Ok(())
}

/// The kernel makes the same of the marks: a shell in a container lists the files.
fn marks(place: &Place) -> Result<()> {
    need(&[("busybox", "busybox-static")])?;
    let mut layers = deleting(false)?;
    let busybox = fs::read("/usr/bin/busybox").or_else(|_| fs::read("/bin/busybox"))?;
    let mut header = Header::new("bin/busybox", b'0', busybox.len());
    header.mode(0o755);
    layers.push(Layer::gzip(&Tar::new().header(&header).data(&busybox).end())?);
    let layout = Layout::new(&place.path("layout"))?;
    layout.image(&layers, json!({}))?;
    place.ok(&["import", &place.path("layout").to_string_lossy(), "a"])?;
    let script = "cd /; find ? -type f >/tmp/list && sort /tmp/list";
    let words = ["run", "--network", "none", "a", "/bin/busybox", "sh", "-c", script];
    let found = place.ok(&words)?;
    let found: Vec<&str> = found.lines().collect();
    ensure!(found == LEFT, "{found:?} are left");
    let middle = layer_with(place, "h")?;
    ensure!(fs::symlink_metadata(middle.join("c"))?.rdev() == 0, "the mark is no device 0:0");
    Ok(())
}

fn implied(place: &Place) -> Result<()> {
    let below = Tar::new()
        .header(Header::new("d/", b'5', 0).mode(0o1777).owner(3, 4))
        .header(Header::new("d/e/", b'5', 0).mode(0o700));
    let above = Tar::new().file("d/e/file", b"").file("new/file", b"");
    unpack(place, &[Layer::gzip(&below.end())?, Layer::gzip(&above.end())?])?;
    let layer = layer_with(place, "new")?;
    let mode = |name: &str| Ok::<_, anyhow::Error>(fs::metadata(layer.join(name))?.mode() & 0o7777);
    ensure!(mode("d")? == 0o1777, "d has mode {:o}", mode("d")?);
    ensure!(mode("d/e")? == 0o700, "d/e has mode {:o}", mode("d/e")?);
    ensure!(mode("new")? == 0o755, "new has mode {:o}", mode("new")?);
    let status = fs::metadata(layer.join("d"))?;
    ensure!(status.mtime() == 1_000_000_000, "d has another time");
    let owner = (status.uid(), status.gid());
    ensure!(!place.is_root() || owner == (3, 4), "d is {owner:?}'s");
    Ok(())
}

/// They would be commands to overlayfs: hide this, look over there.
fn foreign_marks(place: &Place) -> Result<()> {
    let bottom = Tar::new().file("d/hidden", b"x").file("e", b"x");
    let top = Tar::new()
        .pax(&[("SCHILY.xattr.user.overlay.opaque", b"y"), ("SCHILY.xattr.user.mine", b"y")])
        .dir("d/")
        .pax(&[("SCHILY.xattr.trusted.overlay.redirect", b"/etc")])
        .dir("f/")
        .header(Header::new("e", b'3', 0).device(0, 0));
    let files = unpack(place, &[Layer::gzip(&bottom.end())?, Layer::gzip(&top.end())?])?;
    let layer = layer_with(place, "f")?;
    let attribute = |name: &str| {
        let mut value = [0; 8];
        rustix::fs::getxattr(layer.join("d"), name, &mut value[..]).is_ok()
    };
    ensure!(!attribute("user.overlay.opaque"), "an archive has made a directory opaque");
    ensure!(attribute("user.mine"), "an attribute is missing");
    ensure!(files.join("d/hidden").exists() && files.join("e").exists(), "a file is hidden");
    Ok(())
}

/// Devices and owners that are only for the host's root to make: the image does without them.
fn notes(place: &Place) -> Result<()> {
    let tar = file("theirs", 0o644, 33, 33).header(Header::new("null", b'3', 0).device(1, 3));
    let layout = Layout::new(&place.path("layout"))?;
    layout.image(&[Layer::gzip(&tar.end())?], json!({}))?;
    let said = place.run(&["import", &place.path("layout").to_string_lossy(), "a"])?;
    let has =
        |words: &str| said.stderr.lines().any(|it| it.starts_with("note: ") && it.contains(words));
    let has_range = place.owner(33) != place.owner(0);
    ensure!(said.code == 0, "{}", said.stderr);
    ensure!(has("left out: 1 device node,") != place.is_root(), "{}", said.stderr);
    ensure!(has("root owns 1 file here") != has_range, "{}", said.stderr);
    let layer = layer_with(place, "theirs")?;
    ensure!(layer.join("null").exists() == place.is_root(), "a device is there, or is not");
    Ok(())
}

/// A few thousand archives that are nearly right: none may end in a panic, and none leave its
/// directory. In this process, so that a panic is seen.
fn mutations(place: &Place) -> Result<()> {
    let whole = all_kinds().symlink("out", &place.path("outside").to_string_lossy());
    let whole = whole.file("out/x", b"x").end();
    place.directory("outside")?;
    let mut random = 42u64;
    let mut next = |below: usize| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for round in 0..1500 {
        let mut tar = whole.clone();
        for _ in 0..=next(4) {
            let header = next(tar.len() / 512) * 512;
            let at = header + next(512);
            tar[at] = [0, 1, b'0', b'7', b'/', b'.', 0x80, 0xff][next(8)];
            let sum: u32 = (0..512)
                .map(|it| if (148..156).contains(&it) { 32 } else { u32::from(tar[header + it]) })
                .sum();
            tar[header + 148..header + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let blob = place.path("mutated");
        fs::write(&blob, &tar)?;
        let root = place.path("root");
        fs::create_dir(&root)?;
        let watch = image::unpack::Watch {
            limits: image::unpack::Limits { bytes: 10 << 20, files: 1000 },
            progress: &|_| (),
            stopped: &|| false,
        };
        let digest = image::digest::Digest::of(&tar);
        let open = fs::File::open(&root)?;
        // Most are refused, some are as good as before.
        let _ = image::unpack::layer(
            fs::File::open(&blob)?,
            &digest,
            open.into(),
            round % 2 == 0,
            &watch,
        );
        let parent = fs::File::open(place.path(""))?;
        image::unpack::remove::tree(
            std::os::fd::AsFd::as_fd(&parent),
            std::ffi::OsStr::new("root"),
        )?;
        ensure!(fs::read_dir(place.path("outside"))?.count() == 0, "something is outside");
    }
    Ok(())
}

fn packings(place: &Place) -> Result<()> {
    let tar = all_kinds().end();
    let mut trees = Vec::new();
    for (name, layer) in
        [("gzip", Layer::gzip(&tar)?), ("zstd", Layer::zstd(&tar)?), ("plain", Layer::plain(&tar))]
    {
        let layout = Layout::new(&place.path(name))?;
        layout.image(&[layer], json!({}))?;
        let store = format!("--store={}", place.path(&format!("home/{name}-store")).display());
        place.ok(&[&store, "import", &place.path(name).to_string_lossy(), "a"])?;
        place.ok(&[&store, "unpack", "a", name])?;
        trees.push(tree::of(&place.path("home").join(name), &[])?);
    }
    tree::same(&trees[0], &trees[1]).context("gzip and zstd")?;
    tree::same(&trees[0], &trees[2]).context("gzip and plain")
}

/// Longer than the kernel takes at once: it is made through links, and removed again.
fn deep(place: &Place) -> Result<()> {
    let half = "d/".repeat(600);
    let tar = Tar::new()
        .pax(&[("path", format!("{half}x").as_bytes())])
        .file("x", b"")
        .pax(&[("linkpath", half.trim_end_matches('/').as_bytes())])
        .symlink("l", "x")
        .pax(&[("path", format!("l/{half}x").as_bytes())])
        .file("x", b"");
    let layout = Layout::new(&place.path("layout"))?;
    layout.image(&[Layer::gzip(&tar.end())?], json!({}))?;
    place.ok(&["import", &place.path("layout").to_string_lossy(), "a"])?;
    // Each level takes two descriptors, and there may be too few.
    let mut few = place.command(Path::new("sh"));
    let program = place.image(&[])?.get_program().to_string_lossy().into_owned();
    few.args(["-c", &format!("ulimit -n 200; exec {program} unpack a files")]);
    finish(few)?.is_one_error("EMFILE")?;
    ensure!(fs::read_dir(place.path("home"))?.count() == 1, "something is left");
    place.ok(&["rm", "a"])?;
    let left = fs::read_dir(place.store().join("layers"))?.count();
    ensure!(left == 0, "{left} layers are left");
    Ok(())
}

/// As root: others cannot give files to other users.
fn root_only(place: &Place) -> Result<()> {
    ensure!(place.is_root(), Skipped("umoci, podman and tar need root to set owners".into()));
    Ok(())
}

/// All kinds, and over them a layer with devices.
fn with_devices() -> Result<Vec<Layer>> {
    let devices = Tar::new()
        .header(Header::new("null", b'3', 0).device(1, 3))
        .header(Header::new("disk", b'4', 0).device(259, 70000))
        .file(".wh.sticky", b"")
        .file("later", b"");
    Ok(vec![Layer::gzip(&all_kinds().end())?, Layer::gzip(&devices.end())?])
}

fn umoci(place: &Place) -> Result<()> {
    root_only(place)?;
    let files = unpack(place, &with_devices()?)?;
    compare(&files, &by_umoci(place)?)
}

fn umoci_whiteouts(place: &Place) -> Result<()> {
    root_only(place)?;
    let files = unpack(place, &deleting(false)?)?;
    tree::same(&files_of(&files)?, &files_of(&by_umoci(place)?)?)
}

/// Without the directories: others delete from them after they have set their time.
fn files_of(path: &Path) -> Result<Tree> {
    let mut tree = tree::of(path, &[])?;
    tree.retain(|_, line| !line.starts_with('4'));
    Ok(tree)
}

/// What umoci makes of the image in our layout.
fn by_umoci(place: &Place) -> Result<PathBuf> {
    need(&[("umoci", "umoci")])?;
    let layout = place.path("layout");
    let index = fs::read_to_string(layout.join("index.json"))?;
    let mut index: serde_json::Value = serde_json::from_str(&index)?;
    index["manifests"][0]["annotations"] = json!({"org.opencontainers.image.ref.name": "a"});
    fs::write(layout.join("index.json"), index.to_string())?;
    let theirs = place.path("umoci");
    let image = format!("{}:a", layout.display());
    tool("umoci", &["raw", "unpack", "--image", &image, &theirs.to_string_lossy()])?;
    Ok(theirs)
}

fn podman(place: &Place) -> Result<()> {
    root_only(place)?;
    let files = unpack(place, &with_devices()?)?;
    let trees = [files, by_podman(place)?].map(|path| {
        let mut tree = tree::of(&path, &[])?;
        // podman makes the root directory what the archive says, but for its time.
        let root = tree.get_mut(Path::new("")).context("no root")?;
        *root = root.split(' ').take(2).collect::<Vec<_>>().join(" ") + " today";
        // No time is before 1970.
        tree.remove(Path::new("older than 1970"));
        // And a second name of a symbolic link is a link of its own.
        for link in tree.values_mut().filter(|it| it.starts_with("12")) {
            *link = link.split(" = ").next().unwrap_or_default().into();
        }
        Ok::<_, anyhow::Error>(tree)
    });
    let [ours, theirs] = trees;
    compare_trees(ours?, theirs?)
}

fn podman_whiteouts(place: &Place) -> Result<()> {
    root_only(place)?;
    let files = unpack(place, &deleting(true)?)?;
    tree::same(&files_of(&files)?, &files_of(&by_podman(place)?)?)
}

/// What podman makes of it: plain directories, and its own files in /run are in a mount namespace.
fn by_podman(place: &Place) -> Result<PathBuf> {
    need(&[("podman", "podman")])?;
    let podman = "podman --root $PWD/podman --runroot /run/p --tmpdir /run/t --storage-driver vfs";
    let script = format!(
        "mount -t tmpfs tmpfs /run; cd \"$1\"
         {podman} image mount \"$({podman} pull --quiet oci:layout)\""
    );
    let here = place.path("");
    let words = ["--mount", "sh", "-ec", &script, "sh", &here.to_string_lossy()];
    Ok(PathBuf::from(tool("unshare", &words)?.trim()))
}

fn tar(place: &Place) -> Result<()> {
    root_only(place)?;
    need(&[("tar", "tar")])?;
    let archive = place.path("archive.tar");
    fs::write(&archive, all_kinds().end())?;
    let theirs = place.directory("tar")?;
    let (archive, to) = (archive.to_string_lossy(), theirs.to_string_lossy());
    tool(
        "tar",
        &["xpf", &archive, "-C", &to, "--numeric-owner", "--xattrs", "--xattrs-include=*"],
    )?;
    compare(&one(place, &all_kinds())?, &theirs)
}

/// But for the time of directories that no archive describes: those are of today.
fn compare(ours: &Path, theirs: &Path) -> Result<()> {
    compare_trees(tree::of(ours, &[])?, tree::of(theirs, &[])?)
}

fn compare_trees(mut ours: Tree, mut theirs: Tree) -> Result<()> {
    for (path, line) in ours.iter_mut().chain(theirs.iter_mut()) {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0].starts_with('4') && !words[2].starts_with("1000000000.") {
            ensure!(words.len() == 3, "{path:?} has attributes");
            *line = format!("{} {} today", words[0], words[1]);
        }
    }
    tree::same(&ours, &theirs)
}
