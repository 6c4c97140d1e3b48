//! Step 14: the files of a container come as layers, and from whoever sends them.

mod own;
mod registry;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use rustix::fs::getxattr;
use serde_json::{Value, json};

use super::run::parse_probe;
use super::{Check, Context, Ended, Need, expect};
use crate::mountinfo;
use crate::oci::archive::Header;
use crate::oci::{Layer, Layout, Tar, digest};
use crate::wait::wait_for;
use own::{Own, architecture, layer};

const STEP: Check = Check { step: 14, ..Check::DEFAULT };

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "token",
        asks: "Is a registry's token asked for where it says, with its service and scope, and once?",
        look_at: "registry/auth.rs: token; token.md: Requesting a Token",
        exercise: "14.1",
        run: registry::token,
        ..STEP
    },
    Check {
        name: "token-for-an-identity",
        asks: "Is an identity token traded for a token, and not shown as a password?",
        look_at: "registry/auth.rs: token: trade; distribution, docs/content/spec/auth/oauth.md",
        exercise: "14.1",
        run: registry::token_for_an_identity,
        ..STEP
    },
    Check {
        name: "token-for-a-login",
        asks: "Is a login shown where the token is, and never without TLS to another address?",
        look_at: "registry/auth.rs: token, check; token.md: Requesting a Token",
        exercise: "14.1",
        run: registry::token_for_a_login,
        ..STEP
    },
    Check {
        name: "token-stays-with-its-registry",
        asks: "Does somebody else, to whom the registry redirects us, not see the token?",
        look_at: "registry/auth.rs: token; registry/http.rs: redirect_auth_headers; RFC 9110 section 15.4",
        exercise: "14.1",
        run: registry::token_stays,
        ..STEP
    },
    Check {
        name: "large-content-in-pieces",
        asks: "Is a large layer whole that came in many pieces, by two pulls of which the first broke off?",
        look_at: "digest.rs: Verifier::pass; read(2)",
        exercise: "14.2",
        run: registry::large_content_in_pieces,
        ..STEP
    },
    Check {
        name: "other-content-is-refused",
        asks: "Is a layer, or a config, of the right size with other content refused, and nothing of it kept?",
        look_at: "digest.rs: Verifier::pass, finish; image-spec, descriptor.md: Digests",
        exercise: "14.2",
        run: registry::other_content_is_refused,
        ..STEP
    },
    Check {
        name: "endless-content-is-refused",
        asks: "Is a layer that does not end given up as soon as it is longer than it should be?",
        look_at: "digest.rs: Verifier::pass; image-spec, descriptor.md: size",
        exercise: "14.2",
        run: registry::endless_content_is_refused,
        ..STEP
    },
    Check {
        name: "other-files-are-refused",
        asks: "Is a layer refused that unpacks to something else than the config's diff id says?",
        look_at: "unpack.rs: layer; image-spec, config.md: Layer DiffID",
        exercise: "14.2",
        run: other_files_are_refused,
        ..STEP
    },
    Check {
        name: "nothing-leaves-the-layer",
        asks: "Does no archive write outside: by `..`, an absolute name, a link, a link in the place of a directory, a hard link?",
        look_at: "unpack/place.rs: find: RESOLVE_BENEATH; openat2(2)",
        exercise: "14.3",
        run: nothing_leaves_the_layer,
        ..STEP
    },
    Check {
        name: "links-outside-are-refused",
        asks: "Is a layer refused that names a file by a link that leads out, instead of another file being written?",
        look_at: "unpack/place.rs: find: RESOLVE_BENEATH; openat2(2)",
        exercise: "14.3",
        run: links_outside_are_refused,
        ..STEP
    },
    Check {
        name: "parents-are-found",
        asks: "Is a file put in its place that is in no directory, or in one that the archive does not describe?",
        look_at: "unpack/place.rs: find: the path \"\", ENOENT; openat2(2)",
        exercise: "14.3",
        run: parents_are_found,
        ..STEP
    },
    Check {
        name: "renames-elsewhere",
        asks: "Is an archive with links unpacked while others on this machine rename files?",
        look_at: "unpack/place.rs: find: EAGAIN; openat2(2)",
        exercise: "14.3",
        run: renames_elsewhere,
        ..STEP
    },
    Check {
        name: "links-inside-are-followed",
        asks: "Is a file below a link that stays in the layer put where the link leads?",
        look_at: "unpack/place.rs: find; openat2(2)",
        exercise: "14.3",
        run: links_inside_are_followed,
        ..STEP
    },
    Check {
        name: "deleted-files-are-hidden",
        asks: "Is a file that an upper layer has deleted not there in the container, and its mark neither?",
        look_at: "unpack.rs: hide; image-spec, layer.md: Whiteouts",
        exercise: "14.4",
        run: deleted_files_are_hidden,
        ..STEP
    },
    Check {
        name: "opaque-directories",
        asks: "Does a directory with an opaque whiteout, or one that was deleted and made again, show its own files alone?",
        look_at: "unpack.rs: hide: hide_below; image-spec, layer.md: Opaque Whiteout",
        exercise: "14.4",
        needs: &[Need::UserAttributes],
        run: opaque_directories,
        ..STEP
    },
    Check {
        name: "own-files-stay",
        asks: "Does what a layer has itself stay, if it has a whiteout of that name too?",
        look_at: "unpack.rs: hide: statat, SYMLINK_NOFOLLOW; image-spec, layer.md: Whiteouts",
        exercise: "14.4",
        run: own_files_stay,
        ..STEP
    },
    Check {
        name: "whiteouts-on-disk",
        asks: "Has the unpacked layer a character device 0:0 in the place of each deleted file, but in the lowest none?",
        look_at: "unpack.rs: hide: mknodat; overlayfs.rst: whiteouts and opaque directories",
        exercise: "14.4",
        run: whiteouts_on_disk,
        ..STEP
    },
    Check {
        name: "layers-are-lowers",
        asks: "Is / an overlay with one lower layer for each layer of the image?",
        look_at: "container.rs: stack; proc_pid_mountinfo(5)",
        exercise: "14.5",
        run: layers_are_lowers,
        ..STEP
    },
    Check {
        name: "uppermost-layer-wins",
        asks: "Does a file of the last layer hide those below, and one of --layer hide them all?",
        look_at: "container.rs: stack: the order; overlayfs.rst: Multiple lower layers",
        exercise: "14.5",
        run: uppermost_layer_wins,
        ..STEP
    },
    Check {
        name: "nothing-is-copied",
        asks: "Is nothing copied: has the disk, while a container runs, what it had before?",
        look_at: "container.rs: stack: layers are used where they are",
        exercise: "14.5",
        run: nothing_is_copied,
        ..STEP
    },
    Check {
        name: "layers-in-use-stay",
        asks: "Does prune leave the layers of a container alone that still runs, and take them afterwards?",
        look_at: "container.rs: stack: use_directory, main.rs: what prepare gives is kept; flock(2)",
        exercise: "14.5",
        run: layers_in_use_stay,
        ..STEP
    },
    Check {
        name: "pulled-when-missing",
        asks: "Does run fetch an image that is not in the store, and ask for nothing the next time?",
        look_at: "main.rs: container::prepare; distribution-spec, spec.md: Pull",
        exercise: "14",
        run: registry::pulled_when_missing,
        ..STEP
    },
    Check {
        name: "command-of-the-image",
        asks: "Do Entrypoint, Cmd and Env of the image hold, unless the command line says otherwise?",
        look_at: "main.rs: container::prepare; image-spec, config.md",
        exercise: "14",
        run: command_of_the_image,
        ..STEP
    },
    Check {
        name: "working-directory-is-made",
        asks: "Is the image's WorkingDir the command's, also if no layer has it, unless there is -w?",
        look_at: "main.rs: container::make_workdir; image-spec, config.md: WorkingDir",
        exercise: "14",
        run: working_directory_is_made,
        ..STEP
    },
    Check {
        name: "user-of-the-image",
        asks: "Is the command the user that the image names, with the ids of the image's own passwd?",
        look_at: "main.rs: container::prepare, user::switch; image-spec, config.md: User",
        exercise: "14",
        needs: &[Need::Range],
        run: user_of_the_image,
        ..STEP
    },
    Check {
        name: "signal-of-the-image",
        asks: "Does a SIGTERM reach the command as the signal by which the image wants to be stopped?",
        look_at: "main.rs: child.stop_with; image-spec, config.md: StopSignal",
        exercise: "14",
        run: signal_of_the_image,
        ..STEP
    },
    Check {
        name: "platform-of-this-machine",
        asks: "Of an index for several machines, is it the image for this one?",
        look_at: "main.rs: commands::run, platform.rs: choose; image-spec, image-index.md: platform",
        exercise: "14",
        run: platform_of_this_machine,
        ..STEP
    },
    Check {
        name: "layers-are-shared",
        asks: "Is a layer of two images unpacked once?",
        look_at: "main.rs: commands::run, config.rs: chain_ids; image-spec, config.md: Layer ChainID",
        exercise: "14",
        run: layers_are_shared,
        ..STEP
    },
    Check {
        name: "store-is-named",
        asks: "Is --store, before the subcommand or after it, the store that counts?",
        look_at: "main.rs: Cli: global, env",
        exercise: "14",
        run: store_is_named,
        ..STEP
    },
    Check {
        name: "nothing-is-left",
        asks: "When images are removed, does prune leave what others need, and nothing else?",
        look_at: "main.rs: commands::run, store/prune.rs",
        exercise: "14",
        run: nothing_is_left,
        ..STEP
    },
];

fn file(name: &str, text: &str) -> Tar {
    Tar::new().file(name, text.as_bytes())
}

fn other_files_are_refused(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    let right = layer(file("x", "x"));
    own.import("right", std::slice::from_ref(&right), json!({}))?;
    let wrong = Layer { diff_id: digest(b"something else"), ..right };
    let own = Own::new(context)?;
    own.layout("wrong", &[wrong], json!({}))?;
    own.refuses(&["import", &own.path("wrong"), "wrong"])
}

/// Archives that want to write a file `evil` to `outside`, or over one that is there.
fn escapes(outside: &str) -> Vec<(&'static str, Tar)> {
    let up = "../".repeat(12);
    let hard = |name: &str, target: &str| Tar::new().hardlink(name, target);
    vec![
        ("a name with ..", file("../evil", "x")),
        ("a long name with ..", file(&format!("{up}{}/evil", &outside[1..]), "x")),
        ("an absolute name", file(&format!("{outside}/evil"), "x")),
        ("a link to outside", Tar::new().symlink("l", outside).file("l/evil", b"x")),
        (
            "a link through a link",
            Tar::new().symlink("a", "/").symlink("b", &format!("a{outside}")).file("b/evil", b"x"),
        ),
        ("a link up", Tar::new().symlink("l", &up).file(&format!("l{outside}/evil"), b"x")),
        (
            "a directory that becomes a link",
            Tar::new().dir("d").file("d/good", b"x").symlink("d", outside).file("d/evil", b"x"),
        ),
        (
            "a hard link to outside",
            hard("h", &format!("{outside}/secret")).file("h", b"overwritten"),
        ),
        (
            "a hard link through a link",
            Tar::new().symlink("l", outside).hardlink("h", "l/secret").file("h", b"overwritten"),
        ),
        (
            "a directory through a link, with its mode",
            Tar::new().symlink("l", outside).header(Header::new("l/evil", b'5', 0).mode(0o777)),
        ),
    ]
}

fn nothing_leaves_the_layer(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    own.import("good", &[layer(file("good", "x"))], json!({}))?;
    let outside = own.directory("outside")?;
    fs::write(outside.join("secret"), "secret")?;
    let before = files(&outside)?;
    for (what, tar) in escapes(&outside.to_string_lossy()) {
        own.layout(what, &[layer(tar)], json!({}))?;
        // It may be refused, or stay inside.
        own.image(&["import", &own.path(what), "it"])?;
        ensure!(files(&outside)? == before, "{what}: there is a change outside");
        let stray = own.stray("evil")?;
        ensure!(stray.is_none(), "{what}: there is {stray:?}");
    }
    Ok(())
}

/// Files on whose way two links are.
const RENAMED: usize = 1000;

type Files = BTreeMap<PathBuf, (Vec<u8>, u32, u64)>;

/// What a directory holds, with what is in each file.
fn files(directory: &Path) -> Result<Files> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let status = path.symlink_metadata()?;
        let content = fs::read(&path).unwrap_or_default();
        found.insert(path, (content, status.mode(), status.nlink()));
    }
    Ok(found)
}

/// Out of the layer the links lead to names that no host has: who has it wrong may write there.
fn links_outside_are_refused(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    // The layer has a directory of that name, and a file in there is not what the archive means.
    let tar = || Tar::new().dir("d").dir("of-the-layer");
    own.import("good", &[layer(tar().file("of-the-layer/x", b"x"))], json!({}))?;
    for link in ["/of-the-layer", "../../of-the-layer"] {
        let own = Own::new(context)?;
        let tar = tar().symlink("d/link", link).file("d/link/x", b"x");
        own.layout("out", &[layer(tar)], json!({}))?;
        let refused = own.refuses(&["import", &own.path("out"), "out"]);
        refused.with_context(|| format!("a link to {link}"))?;
    }
    Ok(())
}

fn parents_are_found(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    let tar = file("x", "x").hardlink("y", "x").file("a/b/c", b"c");
    own.import("parents", &[layer(tar)], json!({}))?;
    let root = own.layer()?;
    for name in ["x", "y", "a/b/c"] {
        ensure!(root.join(name).is_file(), "the layer has no {name}");
    }
    Ok(())
}

/// What the kernel has looked up may have become another place meanwhile: it counts renames, and
/// answers EAGAIN to a path with `..` if there was one.
fn renames_elsewhere(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    let mut tar = Tar::new().dir("d").dir("e").symlink("d/l", "../e").symlink("e/l", "../d");
    for number in 0..RENAMED {
        tar = tar.file(&format!("d/l/{number}"), b"").file(&format!("e/l/{number}"), b"");
    }
    own.layout("links", &[layer(tar)], json!({}))?;
    let (one, two) = (own.path("one"), own.path("two"));
    fs::write(&one, "")?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = fs::rename(&one, &two).and_then(|()| fs::rename(&two, &one));
            }
        });
        let imported = own.ok(&["import", &own.path("links"), "links"]);
        over.store(true, Ordering::Relaxed);
        imported
    })
}

fn links_inside_are_followed(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    let tar = Tar::new().dir("usr").dir("usr/lib").symlink("lib", "usr/lib").file("lib/x", b"x");
    let tar = tar.dir("d").symlink("d/up", "../usr").file("d/up/lib/y", b"y");
    own.import("links", &[layer(tar)], json!({}))?;
    let root = own.layer()?;
    for name in ["usr/lib/x", "usr/lib/y"] {
        ensure!(root.join(name).is_file(), "the layer has no {name}");
    }
    ensure!(root.join("lib").is_symlink(), "lib is no link any more");
    Ok(())
}

/// Two layers, of which the upper one has whiteouts.
fn with_whiteouts(own: &Own) -> Result<()> {
    let below = file("f", "f").dir("d").file("d/x", b"x").file("d/y", b"y").dir("k");
    let below = below.file(".wh.nothing", b"");
    let above = file(".wh.f", "").file("d/.wh.x", b"").file(".wh.k", b"").file("new", b"new");
    let above = above.dir("n").file("n/.wh.x", b"").file("n/y", b"y");
    own.import("whiteouts", &[layer(below), layer(above)], json!({}))
}

fn deleted_files_are_hidden(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    with_whiteouts(&own)?;
    let ended = own.container("whiteouts").run(&["read /f", "ls /d", "ls /k", "ls /", "ls /n"])?;
    expect("a file that was deleted", ended.answer(0)?, "ENOENT")?;
    expect("a directory of which one was deleted", ended.answer(1)?, "ok y")?;
    expect("a directory that was deleted", ended.answer(2)?, "ENOENT")?;
    ensure!(!ended.answer(3)?.contains(".wh."), "the marks are seen: {}", ended.answer(3)?);
    expect("a new directory with a whiteout of nothing", ended.answer(4)?, "ok y")
}

fn own_files_stay(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    let outside = own.directory("outside")?;
    let below = file("first", "old").file("last", b"old").file("link", b"old");
    let above = file(".wh.first", "").file("first", b"new").file("last", b"new");
    let above = above.file(".wh.last", b"").symlink("link", &outside.to_string_lossy());
    let above = above.file(".wh.link", b"");
    own.import("own", &[layer(below), layer(above)], json!({}))?;
    let upper = own.layers()?.into_iter().find(|it| it.join("link").is_symlink());
    let upper = upper.context("no layer has the link")?;
    expect("a file after its whiteout", &*fs::read_to_string(upper.join("first"))?, "new")?;
    expect("a file before its whiteout", &*fs::read_to_string(upper.join("last"))?, "new")
}

fn opaque_directories(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    let below = Tar::new().dir("o").file("o/old", b"").dir("a").file("a/old", b"");
    let below = below.dir("b").file("b/old", b"");
    let above = Tar::new().dir("o").file("o/.wh..wh..opq", b"").file("o/new", b"");
    // Deleted and made again: the mark comes first, or last, or it is all that says so.
    let above = above.file(".wh.a", b"").dir("a").file("a/new", b"");
    let above = above.dir("b").file("b/new", b"").file(".wh.b", b"");
    let (below, above) = (below.dir("c").file("c/old", b""), above.file(".wh.c", b""));
    let above = above.file("c/new", b"");
    own.import("opaque", &[layer(below), layer(above)], json!({}))?;
    let ended = own.container("opaque").run(&["ls /o", "ls /a", "ls /b", "ls /c"])?;
    expect("a directory with an opaque whiteout", ended.answer(0)?, "ok new")?;
    expect("one that was deleted, then made", ended.answer(1)?, "ok new")?;
    expect("one that was made, then deleted", ended.answer(2)?, "ok new")?;
    expect("one that was deleted, then needed for a file", ended.answer(3)?, "ok new")?;
    let mut mark = [0; 8];
    let mut layers = own.layers()?;
    layers.retain(|layer| {
        let path = layer.join("o");
        getxattr(&path, "user.overlay.opaque", &mut mark[..]).is_ok_and(|it| &mark[..it] == b"y")
    });
    expect("the number of layers where o has user.overlay.opaque", &layers.len(), &1)
}

fn whiteouts_on_disk(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    with_whiteouts(&own)?;
    let layers = own.layers()?;
    let upper = layers.iter().find(|layer| layer.join("new").exists());
    let upper = upper.context("the upper layer is not in the store")?;
    for name in ["f", "d/x", "k"] {
        let status = upper.join(name).symlink_metadata();
        let status = status.with_context(|| format!("{name} of the upper layer"))?;
        let found = format!("{:o} {}", status.mode() & libc::S_IFMT, status.rdev());
        expect(&format!("type and device of {name}"), &*found, &*format!("{:o} 0", libc::S_IFCHR))?;
    }
    let marks = layers.iter().filter(|it| it.join("nothing").symlink_metadata().is_ok()).count();
    expect("whiteouts in the lowest layer", &marks, &0)
}

fn three_layers(own: &Own) -> Result<()> {
    let layers = ["one", "two", "three"].map(|name| layer(file("both", name).file(name, b"here")));
    own.import("three", &layers, json!({}))
}

fn layers_are_lowers(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    three_layers(&own)?;
    let container = own.container("three").start(&["read /one", "read /three"])?;
    let process = container.process()?;
    let mounts = process.mounts.get().context("/proc/PID/mountinfo cannot be read")?;
    let root = mountinfo::root(mounts).context("nothing is mounted on /")?;
    expect("the number of lower layers of /", &root.layers(), &Some(3))?;
    expect("a file of the first layer", &*container.answer(0)?, r#"ok "here""#)?;
    expect("a file of the last", &*container.answer(1)?, r#"ok "here""#)
}

fn uppermost_layer_wins(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    three_layers(&own)?;
    let ended = own.container("three").run(&["read /both"])?;
    expect("a file of all layers", ended.answer(0)?, r#"ok "three""#)?;
    let mine = own.directory("mine")?;
    fs::write(mine.join("both"), "mine")?;
    let run = own.container("three").option("--layer", mine.display());
    let ended = run.run(&["read /both", "read /two"])?;
    expect("the same with --layer", ended.answer(0)?, r#"ok "mine""#)?;
    expect("a file of the image", ended.answer(1)?, r#"ok "here""#)
}

const LARGE: usize = 4 << 20;

fn nothing_is_copied(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    own.import("large", &[layer(Tar::new().file("large", &vec![7; LARGE]))], json!({}))?;
    let temporary = own.directory("tmp")?;
    let before = own.on_disk()?;
    ensure!(before > 2 * LARGE as u64, "the store has {before} bytes of an image of twice {LARGE}");
    let run = own.container("large").env("TMPDIR", &temporary.to_string_lossy());
    let container = run.start(&["stat /large"])?;
    ensure!(container.answer(0)?.starts_with("ok 100644 "), "{}", container.answer(0)?);
    expect("bytes on the disk while a container runs", &own.on_disk()?, &before)
}

fn layers_in_use_stay(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    own.import("used", &[layer(file("x", "x")), layer(file("y", "y"))], json!({}))?;
    let container = own.container("used").start(&[])?;
    own.ok(&["rm", "used"])?;
    own.ok(&["prune"])?;
    expect("unpacked layers while a container runs", &own.layers()?.len(), &2)?;
    container.end()?.expect_code(0)?;
    own.ok(&["prune"])?;
    own.is_empty()
}

fn command_of_the_image(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    let run = json!({"Entrypoint": ["/bin/act", "ls /"], "Cmd": ["probe"], "Env": ["A=a", "B=b"]});
    own.import("app", &[layer(file("x", "x"))], run)?;
    let asked = |ended: &Ended, deed| anyhow::Ok(parse_probe(ended.answer(deed)?)?.environment);
    let own_words = asked(&own.container("app").command(&[])?, 1)?;
    for variable in ["A=a", "B=b"] {
        ensure!(own_words.iter().any(|it| it == variable), "{variable} is not in {own_words:?}");
    }
    let run = own.container("app").option("-e", "A=mine");
    let ended = run.command(&["read /x", "probe"])?;
    expect("arguments in the place of Cmd", ended.answer(1)?, r#"ok "x""#)?;
    let mine = asked(&ended, 2)?;
    let values: Vec<String> = mine.into_iter().filter(|it| it.starts_with("A=")).collect();
    expect("A with -e A=mine", &values, &vec!["A=mine".to_string()])?;
    let run = own.container("app").option("--entrypoint", "/bin/act");
    expect("--entrypoint", &run.command(&["read /x"])?.lines, &vec![r#"ok "x""#.to_string()])
}

fn working_directory_is_made(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    own.import("app", &[layer(file("d/x", ""))], json!({"WorkingDir": "/srv/app"}))?;
    let place = |ended: Ended| anyhow::Ok(parse_probe(ended.answer(0)?)?.cwd);
    let found = place(own.container("app").run(&["probe"])?)?;
    expect("the working directory", found.get().map_or("", String::as_str), "/srv/app")?;
    let found = place(own.container("app").option("-w", "/d").run(&["probe"])?)?;
    expect("with -w /d", found.get().map_or("", String::as_str), "/d")
}

/// The container's root may not make files in a layer's directory where owners cannot be mapped.
const ETC: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];

fn user_of_the_image(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    let passwd = "root:x:0:0::/root:/bin/sh\napp:x:33:44::/srv:/bin/sh\n";
    let tar = ETC.iter().fold(file("etc/passwd", passwd), |tar, name| tar.file(name, b""));
    let older = file("etc/passwd", "app:x:1:2::/old:/bin/sh\n");
    // Nobody but root could make it in /, which is root's.
    let config = json!({"User": "app", "WorkingDir": "/made"});
    own.import("app", &[layer(older), layer(tar)], config)?;
    let ended = own.container("app").run(&["probe"])?;
    let probe = parse_probe(ended.answer(0)?)?;
    expect("the user", &probe.uids, &[33; 3])?;
    expect("the group", &probe.gids, &[44; 3])?;
    let ended = own.container("app").option("--user", "0").run(&["probe"])?;
    expect("the user with --user 0", &parse_probe(ended.answer(0)?)?.uids, &[0; 3])
}

fn signal_of_the_image(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    own.import("app", &[layer(file("x", "x"))], json!({"StopSignal": "SIGQUIT"}))?;
    let container = own.container("app").spawn(&["/bin/act", "signals 1"])?;
    wait_for("the command to take signals", || {
        container.must_run()?;
        Ok(!container.said()?.is_empty())
    })?;
    container.signal(Signal::SIGTERM)?;
    let ended = container.end()?;
    expect("the signal that came for SIGTERM", ended.answer(1)?, "ok SIGQUIT")?;
    ended.expect_code(0)
}

fn platform_of_this_machine(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    let layout = Layout::new(Path::new(&own.path("layout")))?;
    let of = |architecture: &str| -> Result<Value> {
        let layers = [layer(file("for", architecture))];
        let mut manifest = layout.manifest(&layers, json!({}), architecture)?;
        manifest["platform"] = json!({"os": "linux", "architecture": architecture});
        Ok(manifest)
    };
    let manifests = [of("s390x")?, of(architecture())?, of("unknown")?];
    let index = "application/vnd.oci.image.index.v1+json";
    let all = json!({"schemaVersion": 2, "mediaType": index, "manifests": manifests});
    layout.write_index(&[layout.json(index, &all)?])?;
    own.ok(&["import", &own.path("layout"), "several"])?;
    let layers = own.layers()?;
    expect("the number of layers in the store", &layers.len(), &1)?;
    expect("its machine", &*fs::read_to_string(layers[0].join("for"))?, architecture())
}

fn store_is_named(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    own.layout("layout", &[layer(file("x", "x"))], json!({}))?;
    let (other, layout) = (own.path("other"), own.path("layout"));
    own.ok(&["--store", &other, "import", &layout, "it"])?;
    own.ok(&["inspect", "--store", &other, "it"])?;
    let outcome = own.image(&["inspect", "it"])?;
    ensure!(outcome.code() == 125, "the image is in the store of IMAGE_STORE too: {outcome}");
    Ok(())
}

fn layers_are_shared(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    let base = layer(file("base", "base"));
    own.import("one", &[base.clone(), layer(file("one", ""))], json!({}))?;
    let shared = |own: &Own| -> Result<u64> {
        let mut bases = own.layers()?;
        bases.retain(|layer| layer.join("base").exists());
        expect("how often the shared layer is unpacked", &bases.len(), &1)?;
        Ok(bases[0].metadata()?.ino())
    };
    let before = shared(&own)?;
    own.import("two", &[base, layer(file("two", ""))], json!({}))?;
    expect("the shared layer's inode", &shared(&own)?, &before)?;
    expect("the number of unpacked layers", &own.layers()?.len(), &3)
}

fn nothing_is_left(context: &Context) -> Result<()> {
    let own = Own::new(context)?;
    let base = layer(file("base", "base"));
    own.import("one", &[base.clone(), layer(file("one", ""))], json!({}))?;
    own.import("two", &[base, layer(file("two", ""))], json!({}))?;
    own.ok(&["rm", "one"])?;
    own.ok(&["prune"])?;
    let mut left = own.layers()?;
    left.retain(|layer| ["base", "two"].iter().any(|name| layer.join(name).exists()));
    expect("the layers that the other image needs", &left.len(), &2)?;
    expect("all layers", &own.layers()?.len(), &2)?;
    own.ok(&["rm", "two"])?;
    own.ok(&["prune"])?;
    own.is_empty()
}
