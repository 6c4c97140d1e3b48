//! A directory as a list: every path with all that is to be known of it. Two of them are equal or
//! the first difference is told.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use image::digest::Digest;

pub type Tree = BTreeMap<PathBuf, String>;

/// What `root` holds; of `skipped` directories in it, nothing.
pub fn of(root: &Path, skipped: &[&str]) -> Result<Tree> {
    let mut tree = Tree::new();
    let mut links = HashMap::new();
    walk(root, Path::new(""), skipped, &mut links, &mut tree)?;
    Ok(tree)
}

fn walk(
    root: &Path,
    path: &Path,
    skipped: &[&str],
    links: &mut HashMap<u64, PathBuf>,
    tree: &mut Tree,
) -> Result<()> {
    let full = root.join(path);
    let status = fs::symlink_metadata(&full).with_context(|| format!("{}", full.display()))?;
    let kind = status.file_type();
    let mut line = format!("{:o} {}:{}", status.mode(), status.uid(), status.gid());
    // A directory's time is that of its last change, which a test may not care about.
    line += &format!(" {}.{:09}", status.mtime(), status.mtime_nsec());
    if kind.is_file() {
        // One that belongs to another of our ids may be closed to us.
        let digest = fs::read(&full).map(|it| Digest::of(&it).to_string());
        let digest = digest.unwrap_or("closed".into());
        line += &format!(" {} {digest}", status.size());
    } else if kind.is_symlink() {
        line += &format!(" -> {}", fs::read_link(&full)?.display());
    } else if kind.is_char_device() || kind.is_block_device() {
        line += &format!(" device {}", status.rdev());
    }
    if !kind.is_dir() && status.nlink() > 1 {
        let first = links.entry(status.ino()).or_insert_with(|| path.into());
        line += &format!(" = {}", first.display());
    }
    line += &xattrs(&full, kind.is_symlink());
    tree.insert(path.into(), line);
    if kind.is_dir() && !skipped.iter().any(|it| path == Path::new(it)) {
        let Ok(entries) = fs::read_dir(&full) else { return Ok(()) };
        let mut names: Vec<OsString> = entries.flatten().map(|it| it.file_name()).collect();
        names.sort();
        for name in names {
            walk(root, &path.join(name), skipped, links, tree)?;
        }
    }
    Ok(())
}

fn xattrs(path: &Path, is_link: bool) -> String {
    let mut names = vec![0; 65536];
    if is_link {
        return String::new();
    }
    let length = rustix::fs::listxattr(path, &mut names[..]).unwrap_or(0);
    let mut lines: Vec<String> = names[..length]
        .split(|&it| it == 0)
        .filter(|it| !it.is_empty())
        .map(|name| {
            let mut value = vec![0; 65536];
            let length = rustix::fs::getxattr(path, name, &mut value[..]).unwrap_or(0);
            let name = std::ffi::OsStr::from_bytes(name).display().to_string();
            format!(" {name}={}", value[..length].escape_ascii())
        })
        .collect();
    lines.sort();
    lines.concat()
}

/// Tells the first difference.
pub fn same(one: &Tree, other: &Tree) -> Result<()> {
    for path in one.keys().chain(other.keys()) {
        let (left, right) = (one.get(path), other.get(path));
        if left != right {
            bail!("{}: {left:?} and {right:?}", path.display());
        }
    }
    Ok(())
}
