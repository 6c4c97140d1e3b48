//! Images from a directory or an archive: an OCI image layout, image-spec image-layout.md, or what
//! `docker save` writes (moby, image/spec/spec.md, "Combined Image JSON + Filesystem Changeset").

use std::io::{self, Read};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::config;
use crate::digest::{Digest, Hashing};
use crate::files::Files;
use crate::manifest::{self, Descriptor, Manifest};
use crate::media;
use crate::source::Source;

/// image-spec, annotations.md; and containerd's, for the whole name.
const NAME: &str = "org.opencontainers.image.ref.name";
const WHOLE_NAME: &str = "io.containerd.image.name";
const LARGEST_LIST: u64 = manifest::LARGEST;
const MOST_IMAGES: usize = 1000;

/// One image in there.
pub struct Found<'a> {
    pub name: Option<String>,
    pub source: Box<dyn Source + 'a>,
}

/// All images in `files`, in their order.
pub fn images(files: &Files) -> Result<Vec<Found<'_>>> {
    let list = |name| files.small(name, LARGEST_LIST);
    let found = match (list("index.json")?, list("manifest.json")?) {
        (Some(index), _) => of_layout(files, &index)?,
        (None, Some(list)) => of_docker(files, &list)?,
        (None, None) => bail!("it holds neither index.json nor manifest.json"),
    };
    ensure!(!found.is_empty(), "it holds no image");
    ensure!(found.len() <= MOST_IMAGES, "it holds more than {MOST_IMAGES} images");
    Ok(found)
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

fn of_layout<'a>(files: &'a Files, index: &[u8]) -> Result<Vec<Found<'a>>> {
    let index: Index =
        serde_json::from_slice(index).context("index.json is not as it should be")?;
    let found = index.manifests.into_iter().map(|root| {
        let annotation = |key| root.annotations.as_ref()?.get(key).cloned();
        let name = annotation(WHOLE_NAME).or_else(|| annotation(NAME));
        Found { name, source: Box::new(Layout { files, root }) }
    });
    Ok(found.collect())
}

/// An image of a layout: blobs under their digests.
struct Layout<'a> {
    files: &'a Files,
    root: Descriptor,
}

impl Source for Layout<'_> {
    fn root(&self) -> Result<(Vec<u8>, Option<String>)> {
        let input = self.document(&self.root)?;
        let bytes = crate::source::read(input, &self.root, manifest::LARGEST)?;
        Ok((bytes, Some(self.root.media_type.clone())))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        self.blob(descriptor, 0)
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let name = format!("blobs/sha256/{}", descriptor.digest.hex());
        from(self.files, &name, descriptor.size, offset)
    }
}

/// A file that should have `size` bytes, from byte `offset` on.
fn from<'a>(
    files: &'a Files,
    name: &str,
    size: u64,
    offset: u64,
) -> Result<Box<dyn Read + Send + 'a>> {
    let (mut file, found) = files.get(name)?;
    ensure!(found == size, "{name} has {found} bytes and should have {size}");
    io::copy(&mut file.by_ref().take(offset), &mut io::sink()).context("cannot read it")?;
    Ok(file)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

fn of_docker<'a>(files: &'a Files, list: &[u8]) -> Result<Vec<Found<'a>>> {
    let list: Vec<Saved> =
        serde_json::from_slice(list).context("manifest.json is not as it should be")?;
    ensure!(list.len() <= MOST_IMAGES, "there are more than {MOST_IMAGES} images");
    let mut found = Vec::new();
    for saved in list {
        let mut names =
            saved.repo_tags.clone().unwrap_or_default().into_iter().map(Some).collect::<Vec<_>>();
        names.extend(names.is_empty().then_some(None));
        for name in names {
            found.push(Found { name, source: Box::new(DockerSave::new(files, &saved)?) });
        }
    }
    Ok(found)
}

/// An image that `docker save` wrote has no manifest, so one is made: of the digests of its files.
struct DockerSave<'a> {
    files: &'a Files,
    manifest: Vec<u8>,
    names: Vec<(Digest, String)>,
}

impl<'a> DockerSave<'a> {
    fn new(files: &'a Files, saved: &Saved) -> Result<DockerSave<'a>> {
        let config = files.small(&saved.config, config::LARGEST)?;
        let config = config.with_context(|| format!("{} is missing", saved.config))?;
        let config = Descriptor::of(media::OCI_CONFIG, &config);
        let mut names = vec![(config.digest.clone(), saved.config.clone())];
        let mut layers = Vec::new();
        for name in &saved.layers {
            let (file, size) = files.get(name)?;
            let mut file = Hashing::new(file);
            io::copy(&mut file, &mut io::sink()).with_context(|| format!("cannot read {name}"))?;
            let digest = file.digest();
            names.push((digest.clone(), name.clone()));
            layers.push(Descriptor::new(media::OCI_LAYER, digest, size));
        }
        let manifest = serde_json::to_vec(&Manifest::new(config, layers))
            .context("cannot write a manifest")?;
        Ok(DockerSave { files, manifest, names })
    }
}

impl Source for DockerSave<'_> {
    fn root(&self) -> Result<(Vec<u8>, Option<String>)> {
        Ok((self.manifest.clone(), Some(media::OCI_MANIFEST.into())))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        self.blob(descriptor, 0)
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let named = self.names.iter().find(|(digest, _)| *digest == descriptor.digest);
        let (_, name) = named.context("it is not in the archive")?;
        from(self.files, name, descriptor.size, offset)
    }
}
