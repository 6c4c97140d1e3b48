//! A root directory as an image, for step 14: what `docker save` writes of an image of one layer. All in it
//! is root's, as in most images, and its config says nothing that the command line could not.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, Header, HeaderMode};

/// Writes the image of `root` into the directory `to`, which is made, under this name.
pub fn save(root: &Path, name: &str, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let layer = layer(root, &to.join("layer.tar"));
    let digest = layer.with_context(|| format!("cannot pack {}", root.display()))?;
    let config = json!({
        "os": "linux", "architecture": architecture(), "config": {},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let saved = json!([{
        "Config": "config.json", "RepoTags": [format!("{name}:latest")], "Layers": ["layer.tar"],
    }]);
    for (file, document) in [("config.json", config), ("manifest.json", saved)] {
        let path = to.join(file);
        fs::write(&path, document.to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Has step 14's program import what [`save`] has written.
pub fn import(mut image: Command, saved: &Path, store: &Path) -> Result<()> {
    image.arg("--store").arg(store).arg("import").arg(saved);
    let output = image.output().with_context(|| format!("cannot run {image:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().trim_start_matches("error: ").to_string();
    ensure!(output.status.success(), "{said}");
    Ok(())
}

/// As Go and the OCI specifications call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Writes a tar of all that is in `root`, and returns its digest.
fn layer(root: &Path, file: &Path) -> Result<String> {
    let file = File::create(file).context("cannot make the archive")?;
    let mut tar = Builder::new(Hashing { hash: Sha256::new(), file: BufWriter::new(file) });
    tar.follow_symlinks(false);
    tar.mode(HeaderMode::Complete);
    add(&mut tar, root, Path::new(""))?;
    let mut written = tar.into_inner().context("cannot end the archive")?;
    written.flush().context("cannot write the archive")?;
    Ok(written.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What is in one directory, and below it.
fn add(tar: &mut Builder<impl Write>, root: &Path, below: &Path) -> Result<()> {
    let directory = root.join(below);
    let act = || format!("cannot read {}", directory.display());
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&directory).with_context(act)? {
        names.push(below.join(entry.with_context(act)?.file_name()));
    }
    // The same directory is the same layer.
    names.sort();
    names.iter().try_for_each(|name| add_one(tar, root, name))
}

fn add_one(tar: &mut Builder<impl Write>, root: &Path, name: &Path) -> Result<()> {
    let path = root.join(name);
    let act = || format!("cannot pack {}", path.display());
    let status = path.symlink_metadata().with_context(act)?;
    let kind = status.file_type();
    if kind.is_socket() {
        return Ok(());
    }
    let mut header = Header::new_gnu();
    header.set_metadata(&status);
    header.set_uid(0);
    header.set_gid(0);
    if kind.is_symlink() {
        let target = fs::read_link(&path).with_context(act)?;
        header.set_size(0);
        return tar.append_link(&mut header, name, target).with_context(act);
    }
    if kind.is_file() {
        let content = File::open(&path).with_context(act)?;
        return tar.append_data(&mut header, name, content).with_context(act);
    }
    header.set_size(0);
    tar.append_data(&mut header, name, io::empty()).with_context(act)?;
    match kind.is_dir() {
        true => add(tar, root, name),
        false => Ok(()),
    }
}

/// A file whose digest is known when it is written.
struct Hashing {
    hash: Sha256,
    file: BufWriter<File>,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
