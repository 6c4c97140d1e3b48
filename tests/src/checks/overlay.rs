//! Step 8: the root directory is a layer that nobody changes.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::{Check, Context, Ended, Need, OwnRoot, expect};
use crate::mountinfo;
use crate::steps::LAST_WITH_ROOT;

const STEP: Check = Check { step: 8, ..Check::DEFAULT };

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "root-is-an-overlay",
        asks: "Is the mount on / an overlay whose one lower layer is ROOT?",
        look_at: "lib.rs: Opened::mount; overlayfs.rst, proc_pid_mountinfo(5)",
        exercise: "8.1",
        run: root_is_an_overlay,
        ..STEP
    },
    Check {
        name: "root-directory-untouched",
        asks: "Is ROOT as it was, after the command has written, changed and deleted in it?",
        look_at: "lib.rs: Opened::mount: the upper directory; overlayfs.rst",
        exercise: "8.1",
        until: LAST_WITH_ROOT, // then it is an image, which changes-thrown-away uses twice
        run: root_directory_untouched,
        ..STEP
    },
    Check {
        name: "changes-thrown-away",
        asks: "Does the next container see nothing of what this one did?",
        look_at: "lib.rs: Opened::mount: scratch; overlayfs.rst",
        exercise: "8.1",
        run: changes_thrown_away,
        ..STEP
    },
    Check {
        name: "upper-kept",
        asks: "With --upper, are the changes in DIR/upper, and does the next container go on from there?",
        look_at: "lib.rs: Opened::mount: what is kept; overlayfs.rst",
        exercise: "8.1",
        run: upper_kept,
        ..STEP
    },
    Check {
        name: "diff-letters",
        asks: "Does --diff list with A, C and D what was added, changed and deleted?",
        look_at: "diff.rs: entry; overlayfs.rst: whiteouts",
        exercise: "8.3",
        run: diff_letters,
        ..STEP
    },
    Check {
        name: "directory-made-anew",
        asks: "Does a directory that was deleted and made again show nothing of the old one, and does --diff tell?",
        look_at: "diff.rs: hidden, lib.rs: create: userxattr; overlayfs.rst: opaque directories",
        exercise: "8.4",
        needs: &[Need::UserAttributes],
        run: directory_made_anew,
        ..STEP
    },
    Check {
        name: "upper-layer-wins",
        asks: "Does a file of the last --layer hide those of the layers below, and is each other one seen?",
        look_at: "main.rs: overlay::Layers::prepare, layers.mount; overlayfs.rst",
        exercise: "8",
        run: upper_layer_wins,
        ..STEP
    },
    Check {
        name: "sixty-layers",
        asks: "Can there be 60 layers?",
        look_at: "lib.rs: create; overlayfs.rst",
        exercise: "8.2",
        run: |context| many_layers(context, 60),
        ..STEP
    },
    Check {
        name: "many-layers",
        asks: "Can there be 200 layers, more than fit into the options of mount(2)?",
        look_at: "lib.rs: create: lowerdir+; fsconfig(2)",
        exercise: "8.2",
        needs: &[Need::ManyLayers],
        run: |context| many_layers(context, 200),
        ..STEP
    },
    Check {
        name: "any-name",
        asks: "Can directories have names with colon, comma, backslash and space?",
        look_at: "lib.rs: create, name: layers are named by descriptors; overlayfs.rst",
        exercise: "8.2",
        run: any_name,
        ..STEP
    },
    Check {
        name: "host-paths-not-told",
        asks: "Does mountinfo inside not tell where on the host the layers are?",
        look_at: "lib.rs: create, name; proc_pid_mountinfo(5)",
        exercise: "8.2",
        run: host_paths_not_told,
        ..STEP
    },
];

fn root_is_an_overlay(context: &Context) -> Result<()> {
    let container = context.start(&[])?;
    let process = container.process()?;
    let mounts = process.mounts.get().context("/proc/PID/mountinfo cannot be read")?;
    let root = mountinfo::root(mounts).context("nothing is mounted on /")?;
    expect("the number of lower layers of /", &root.layers(), &Some(1))
}

/// What a root directory holds: paths with their contents. A long one, which takes a lab its time, is known by
/// its inode, its length and when it was last written to: inode(7).
fn contents(dir: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let status = path.symlink_metadata()?;
        let held = match status.len() {
            _ if status.is_dir() => {
                all.extend(contents(&path)?);
                Vec::new()
            }
            ..LONG => fs::read(&path).unwrap_or_default(),
            _ => format!("{} {} {:?}", status.ino(), status.len(), status.modified()?).into(),
        };
        all.push((path, held));
    }
    all.sort();
    Ok(all)
}

const LONG: u64 = 1 << 20;

const CHANGES: [&str; 4] =
    ["write /etc/new x", "write /etc/marker changed", "rm /etc/b", "rm /d/x"];
/// The mark of a directory that hides those below it is an extended attribute.
const ANEW: [&str; 4] = ["rmtree /d", "mkdir /d", "write /d/z z", "ls /d"];

fn ready_to_change(context: &Context) -> Result<OwnRoot> {
    let own = context.scene.own_root()?;
    fs::create_dir(own.path.join("d"))?;
    for name in ["etc/b", "d/x", "d/y"] {
        fs::write(own.path.join(name), name)?;
    }
    own.give_to_container()?;
    Ok(own)
}

fn all_done(ended: &Ended) -> Result<()> {
    for (deed, change) in CHANGES.iter().enumerate() {
        expect(change, ended.answer(deed)?, "ok")?;
    }
    Ok(())
}

fn root_directory_untouched(context: &Context) -> Result<()> {
    let own = ready_to_change(context)?;
    let before = contents(&own.path)?;
    all_done(&context.container().root(&own.path).run(&CHANGES)?)?;
    ensure!(contents(&own.path)? == before, "the root directory has changed");
    Ok(())
}

fn changes_thrown_away(context: &Context) -> Result<()> {
    let own = ready_to_change(context)?;
    all_done(&context.container().root(&own.path).run(&CHANGES)?)?;
    let ended =
        context.container().root(&own.path).run(&["read /etc/marker", "read /etc/new", "ls /d"])?;
    expect("the file that was changed", ended.answer(0)?, r#"ok "of the root directory\n""#)?;
    expect("the file that was made", ended.answer(1)?, "ENOENT")?;
    expect("the directory of which one was deleted", ended.answer(2)?, "ok x y")
}

fn upper_kept(context: &Context) -> Result<()> {
    let own = ready_to_change(context)?;
    let before = contents(&own.path)?;
    let kept = own.beside("kept");
    let run = || context.container().root(&own.path).option("--upper", kept.display());
    all_done(&run().run(&CHANGES)?)?;
    ensure!(contents(&own.path)? == before, "the root directory has changed");
    expect("DIR/upper/etc/new", &*fs::read_to_string(kept.join("upper/etc/new"))?, "x")?;
    let ended = run().run(&["read /etc/marker", "read /etc/b", "ls /d"])?;
    expect("the file that was changed", ended.answer(0)?, r#"ok "changed""#)?;
    expect("the file that was deleted", ended.answer(1)?, "ENOENT")?;
    expect("the directory of which one was deleted", ended.answer(2)?, "ok y")
}

/// What --diff prints after the answers to the deeds.
fn diff(
    context: &Context,
    root: &Path,
    upper: Option<&Path>,
    deeds: &[&str],
) -> Result<Vec<String>> {
    let run = context.container().root(root).flag("--diff");
    let run = match upper {
        Some(upper) => run.option("--upper", upper.display()),
        None => run,
    };
    let ended = run.run(deeds)?;
    for (number, deed) in deeds.iter().enumerate() {
        ensure!(ended.answer(number)?.starts_with("ok"), "{deed}: {}", ended.answer(number)?);
    }
    Ok(ended.lines[deeds.len()..].to_vec())
}

fn diff_letters(context: &Context) -> Result<()> {
    let own = ready_to_change(context)?;
    let wanted = ["C /d", "D /d/x", "C /etc", "D /etc/b", "C /etc/marker", "A /etc/new"];
    let wanted = wanted.map(String::from).to_vec();
    expect("the changes", &diff(context, &own.path, None, &CHANGES)?, &wanted)?;
    let kept = own.beside("kept");
    let found = diff(context, &own.path, Some(&kept), &CHANGES)?;
    expect("the changes in a directory that is kept", &found, &wanted)
}

fn directory_made_anew(context: &Context) -> Result<()> {
    let own = ready_to_change(context)?;
    let ended = context.container().root(&own.path).run(&ANEW)?;
    expect("the names in it", ended.answer(3)?, "ok z")?;
    let wanted = ["C /d", "D /d/x", "D /d/y", "A /d/z"].map(String::from).to_vec();
    expect("the changes", &diff(context, &own.path, None, &ANEW)?, &wanted)
}

/// A directory with one file, that all may read.
fn layer(own: &OwnRoot, name: &str, file: &str) -> Result<PathBuf> {
    let dir = own.directory(name)?;
    fs::set_permissions(&dir, Permissions::from_mode(0o755))?;
    fs::write(dir.join(file), name)?;
    Ok(dir)
}

fn upper_layer_wins(context: &Context) -> Result<()> {
    let own = context.scene.own_root()?;
    let one = layer(&own, "one", "both")?;
    fs::write(one.join("only"), "here")?;
    let two = layer(&own, "two", "both")?;
    let run = context.container().root(&own.path);
    let run = run.option("--layer", one.display()).option("--layer", two.display());
    let ended = run.run(&["read /both", "read /only", "read /etc/marker"])?;
    expect("a file of both layers", ended.answer(0)?, r#"ok "two""#)?;
    expect("a file of the lower one", ended.answer(1)?, r#"ok "here""#)?;
    expect("a file of the root", ended.answer(2)?, r#"ok "of the root directory\n""#)
}

fn many_layers(context: &Context, count: usize) -> Result<()> {
    let own = context.scene.own_root()?;
    let mut run = context.container().root(&own.path);
    for number in 1..count {
        let dir = layer(&own, &format!("layer-{number}"), &format!("file-{number}"))?;
        run = run.option("--layer", dir.display());
    }
    let last = format!("read /file-{}", count - 1);
    let ended = run.run(&["read /file-1", &last])?;
    expect("a file of the first layer", ended.answer(0)?, r#"ok "layer-1""#)?;
    expect("a file of the last", ended.answer(1)?, &format!(r#"ok "layer-{}""#, count - 1))
}

fn any_name(context: &Context) -> Result<()> {
    let own = context.scene.own_root()?;
    let root = own.beside(r"root: a,b\c d");
    fs::rename(&own.path, &root)?;
    let one = layer(&own, r"layer:1,lowerdir=x\,", "of-the-layer")?;
    let kept = own.beside("kept: a,b");
    let run = context.container().root(&root);
    let run = run.option("--layer", one.display()).option("--upper", kept.display());
    let ended = run.run(&["read /etc/marker", "read /of-the-layer", "write /x y"])?;
    expect("a file of the root", ended.answer(0)?, r#"ok "of the root directory\n""#)?;
    expect("a file of the layer", ended.answer(1)?, r#"ok "layer:1,lowerdir=x\\,""#)?;
    expect("a write", ended.answer(2)?, "ok")?;
    expect("what was written", &*fs::read_to_string(kept.join("upper/x"))?, "y")
}

fn host_paths_not_told(context: &Context) -> Result<()> {
    let container = context.start(&[])?;
    let process = container.process()?;
    let mounts = process.mounts.get().context("/proc/PID/mountinfo cannot be read")?;
    let root = mountinfo::root(mounts).context("nothing is mounted on /")?;
    let path = context.scene.root().display().to_string();
    let told = format!("{root:?}");
    ensure!(root.root == "/" && !told.contains(&path), "mountinfo tells of {path}: {told}");
    Ok(())
}
