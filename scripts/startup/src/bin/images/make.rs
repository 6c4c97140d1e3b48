//! Images to measure with, as OCI layouts: of the files of this machine, or of bytes.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use image::digest::{Digest, Hashing};
use image::media;
use serde_json::{Value, json};

/// How large an image becomes at most.
#[derive(Clone, Copy)]
pub struct Size {
    pub bytes: u64,
    pub files: usize,
}

/// A layer on its way: an archive that nobody has packed.
pub type Archive = tar::Builder<BufWriter<File>>;

/// An image whose layers are what `fill` makes of each number.
pub fn image(
    layout: &Path,
    layers: usize,
    mut fill: impl FnMut(usize, &mut Archive) -> Result<()>,
) -> Result<()> {
    fs::create_dir_all(layout.join("blobs/sha256")).context("cannot make a layout")?;
    let (mut descriptors, mut diff_ids) = (Vec::new(), Vec::new());
    for number in 0..layers {
        let plain = layout.join("layer.tar");
        let mut archive = tar::Builder::new(BufWriter::new(File::create(&plain)?));
        archive.follow_symlinks(false);
        fill(number, &mut archive)?;
        archive.into_inner()?.flush()?;
        let (diff_id, descriptor) = pack(layout, &plain)?;
        fs::remove_file(plain)?;
        descriptors.push(descriptor);
        diff_ids.push(diff_id);
    }
    let architecture = image::platform::Platform::host().architecture;
    let config = json!({"os": "linux", "architecture": architecture, "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = document(layout, media::OCI_CONFIG, &config)?;
    let manifest = json!({"schemaVersion": 2, "mediaType": media::OCI_MANIFEST, "config": config,
        "layers": descriptors});
    let mut manifest = document(layout, media::OCI_MANIFEST, &manifest)?;
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "bench"});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(fs::write(layout.join("index.json"), index.to_string())?)
}

/// Packs a layer as most tools do, gzip's level 6; gives what it is called unpacked and packed.
fn pack(layout: &Path, plain: &Path) -> Result<(Digest, Value)> {
    let packed = layout.join("layer.tar.gz");
    let mut input = Hashing::new(File::open(plain)?);
    let mut encoder = GzEncoder::new(File::create(&packed)?, Compression::new(6));
    std::io::copy(&mut input, &mut encoder).context("cannot pack a layer")?;
    encoder.finish()?;
    let mut blob = Hashing::new(File::open(&packed)?);
    let size = std::io::copy(&mut blob, &mut std::io::sink())?;
    let digest = blob.digest();
    fs::rename(&packed, layout.join("blobs/sha256").join(digest.hex()))?;
    let media_type = format!("{}+gzip", media::OCI_LAYER);
    Ok((input.digest(), json!({"mediaType": media_type, "digest": digest, "size": size})))
}

fn document(layout: &Path, media_type: &str, value: &Value) -> Result<Value> {
    let bytes = value.to_string().into_bytes();
    let digest = Digest::of(&bytes);
    fs::write(layout.join("blobs/sha256").join(digest.hex()), &bytes)?;
    Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
}

/// Files, links and directories below `from`, in the order of their names, until there are enough. A file that is
/// larger than those before it leave room for is left out: the image is to have so many files, too.
pub fn files(from: &Path, size: Size) -> Result<Vec<PathBuf>> {
    let (mut found, mut waiting, mut bytes) = (Vec::new(), vec![from.to_path_buf()], 0);
    while let Some(path) = waiting.pop() {
        let status = fs::symlink_metadata(&path)?;
        let kind = status.file_type();
        if kind.is_dir() {
            let mut names: Vec<_> = fs::read_dir(&path)?.flatten().map(|it| it.path()).collect();
            names.sort();
            names.reverse();
            waiting.extend(names);
        } else if kind.is_file() && bytes + status.len() > room(found.len(), size) {
            continue;
        } else if kind.is_file() {
            bytes += status.len();
        } else if !kind.is_symlink() {
            continue;
        }
        found.push(path);
        if found.len() == size.files {
            break;
        }
    }
    eprintln!("the image: {} MB in {} files", bytes / 1_000_000, found.len());
    Ok(found)
}

/// How many bytes `count` files and one more may have.
fn room(count: usize, size: Size) -> u64 {
    let ahead = size.files / 50;
    size.bytes * ((count + ahead).min(size.files) as u64) / size.files as u64
}

/// Adds a file of the machine under its own name.
pub fn add(archive: &mut Archive, path: &Path) -> Result<()> {
    let name = path.strip_prefix("/").unwrap_or(path);
    archive.append_path_with_name(path, name).with_context(|| format!("cannot add {path:?}"))
}

/// Adds a file of so many megabytes.
pub fn add_bytes(archive: &mut Archive, name: &str, megabytes: usize) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size((megabytes as u64) << 20);
    let bytes = std::io::Read::take(std::io::repeat(b'x'), (megabytes as u64) << 20);
    Ok(archive.append_data(&mut header, name, bytes)?)
}
