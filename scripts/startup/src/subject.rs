//! What is measured: each step with everything on, and its peers with the same isolation.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;

use crate::peers::Peers;

/// One command line. `{}` in an argument stands for a name that no two runs share.
pub struct Subject {
    pub name: String,
    pub words: Vec<OsString>,
    /// A filter that it reads from descriptor 9, as bwrap does.
    pub filter: Option<PathBuf>,
    /// Whether it runs where the v2 hierarchy is hidden: crun 1.8 refuses hybrid hosts.
    pub without_unified: bool,
    /// Whether containers per second are asked of it.
    pub throughput: bool,
}

const STEPS: [&str; 9] =
    ["chroot", "uts", "pid", "mount", "net", "user", "cgroups", "overlay", "seccomp"];

/// How many layers the last step is given besides the root directory.
const LAYERS: [usize; 2] = [15, 127];

/// The subjects that this host and this user can run; `work` is for what they need.
pub fn all(binaries: &Path, root: &Path, peers: &Peers, work: &Path) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    let mut add = |name: &str, words: Vec<OsString>| {
        let throughput = matches!(name, "seccomp" | "crun" | "runc" | "bwrap" | "floor");
        let without_unified = name == "crun";
        let filter = (name == "bwrap").then(|| peers.filter.clone());
        subjects.push(Subject { name: name.into(), words, filter, without_unified, throughput });
    };
    let is_root = geteuid().is_root();
    add("fork + exec", vec![root.join("bin/true").into()]);
    if is_root {
        add("chroot(8)", words(&["chroot"], root, &["/bin/true"]));
        add("unshare --uts", words(&["unshare", "--uts", "--root"], root, &["/bin/true"]));
        let floor = binaries.join("floor").into_os_string();
        add("floor", words(&[floor, peers.filter.clone().into()], root, &["/bin/true"]));
    }
    for (number, step) in STEPS.iter().enumerate().filter(|(number, _)| is_root || *number >= 5) {
        let binary = binaries.join(step);
        ensure!(binary.exists(), "{} is missing: build it first", binary.display());
        let network: &[&str] = if number >= 4 { &["--network", "none"] } else { &[] };
        let mut flags = vec![binary.into_os_string()];
        flags.extend(network.iter().map(OsString::from));
        add(step, words(&flags, root, &["/bin/true"]));
    }
    for count in LAYERS {
        let mut flags: Vec<OsString> =
            vec![binaries.join("seccomp").into(), "--network".into(), "none".into()];
        flags.extend(layers(work, count)?);
        add(&format!("{} layers", count + 1), words(&flags, root, &["/bin/true"]));
    }
    for (name, command) in peers.commands(root) {
        add(name, command);
    }
    Ok(subjects)
}

/// The flags for so many layers of one file each.
fn layers(work: &Path, count: usize) -> Result<Vec<OsString>> {
    let mut flags = Vec::new();
    for number in 0..count {
        let layer = work.join(format!("layers-{count}/{number}"));
        fs::create_dir_all(&layer)
            .and_then(|()| fs::write(layer.join(format!("file-{number}")), "x"))
            .with_context(|| format!("cannot make the layer {}", layer.display()))?;
        flags.extend(["--layer".into(), layer.into_os_string()]);
    }
    Ok(flags)
}

fn words<W: Into<OsString> + Clone>(before: &[W], root: &Path, after: &[&str]) -> Vec<OsString> {
    let mut words: Vec<OsString> = before.iter().cloned().map(Into::into).collect();
    words.push(root.into());
    words.extend(after.iter().map(OsString::from));
    words
}
