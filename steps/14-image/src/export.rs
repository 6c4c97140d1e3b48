//! An image as files for others: an OCI image layout in a directory, or in an archive that is one
//! and has Docker's manifest.json too, so that docker, podman and skopeo load it.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::manifest::Descriptor;
use crate::media;
use crate::store::{Image, Store};

/// Where the files go.
enum Target {
    Directory,
    Archive(tar::Builder<File>),
}

/// Writes `image` to `path`: an archive if it ends in `.tar`. Beside its place first, then renamed.
pub fn export(store: &Store, image: &Image, path: &Path) -> Result<()> {
    let act = || format!("cannot export to {}", path.display());
    ensure!(fs::symlink_metadata(path).is_err(), "{}: there is something already", act());
    let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
    let compressed = ["gz", "tgz", "zst", "xz", "bz2"].contains(&extension);
    ensure!(!compressed && path != Path::new("-"), "{}: name a file that ends in .tar", act());
    let name = path.file_name().with_context(act)?;
    let beside = path.with_file_name(format!(".{}-{}", name.display(), std::process::id()));
    let written = write(store, image, &beside, extension == "tar");
    let written = written.and_then(|()| Ok(fs::rename(&beside, path)?));
    written.with_context(act).inspect_err(|_| {
        let _ = fs::remove_dir_all(&beside).or_else(|_| fs::remove_file(&beside));
    })
}

fn write(store: &Store, image: &Image, path: &Path, archive: bool) -> Result<()> {
    let mut target = match archive {
        true => Target::Archive(archive_of_directories(File::create(path)?)?),
        false => {
            fs::create_dir_all(path.join("blobs/sha256"))?;
            Target::Directory
        }
    };
    let manifest = &image.named.descriptor;
    target.put(path, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    for descriptor in [manifest, &image.manifest.config].into_iter().chain(&image.manifest.layers) {
        let blob = store.blob(descriptor)?;
        let blob = blob.with_context(|| format!("blob {} is missing", descriptor.digest))?;
        target.copy(path, &blob_name(descriptor), blob, descriptor.size)?;
    }
    if archive {
        target.put(path, "manifest.json", docker(image).to_string().as_bytes())?;
    }
    target.put(path, "index.json", index(image)?.to_string().as_bytes())?;
    match target {
        Target::Archive(builder) => builder.into_inner()?.sync_all()?,
        Target::Directory => {}
    }
    Ok(())
}

/// Directories come before what is in them: an ordinary user's skopeo cannot unpack it otherwise.
fn archive_of_directories(file: File) -> Result<tar::Builder<File>> {
    let mut builder = tar::Builder::new(file);
    for name in ["blobs/", "blobs/sha256/"] {
        let mut header = header(0);
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        builder.append_data(&mut header, name, std::io::empty())?;
    }
    Ok(builder)
}

fn blob_name(descriptor: &Descriptor) -> String {
    format!("blobs/sha256/{}", descriptor.digest.hex())
}

fn index(image: &Image) -> Result<serde_json::Value> {
    let mut manifest = serde_json::to_value(&image.named.descriptor)?;
    if let Some(name) = &image.named.name {
        manifest["annotations"] = json!({
            "org.opencontainers.image.ref.name": name,
            "io.containerd.image.name": name,
        });
    }
    Ok(json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": [manifest]}))
}

/// What `docker load` looks for.
fn docker(image: &Image) -> serde_json::Value {
    let layers: Vec<String> = image.manifest.layers.iter().map(blob_name).collect();
    // A name by digest is no tag.
    let tags: Vec<&String> = image.named.name.iter().filter(|it| !it.contains('@')).collect();
    json!([{"Config": blob_name(&image.manifest.config), "RepoTags": tags, "Layers": layers}])
}

impl Target {
    fn put(&mut self, path: &Path, name: &str, bytes: &[u8]) -> Result<()> {
        match self {
            Target::Directory => fs::write(path.join(name), bytes)?,
            Target::Archive(builder) => {
                builder.append_data(&mut header(bytes.len() as u64), name, bytes)?;
            }
        }
        Ok(())
    }

    fn copy(&mut self, path: &Path, name: &str, mut from: impl Read, size: u64) -> Result<()> {
        match self {
            Target::Directory => {
                std::io::copy(&mut from, &mut File::create(path.join(name))?)?;
            }
            Target::Archive(builder) => builder.append_data(&mut header(size), name, from)?,
        }
        Ok(())
    }
}

fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(0o644);
    header
}
