//! index.json: which images there are. Each is the descriptor of a manifest whose annotation says
//! what it is called; one that lost its name to a newer image is still there until it is pruned.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{Image, Store};
use crate::manifest::Descriptor;
use crate::media;
use crate::reference::Reference;

/// image-spec, annotations.md.
pub const NAME: &str = "org.opencontainers.image.ref.name";
/// An id must be at least this long to be taken for one.
const SHORTEST_ID: usize = 4;

/// A manifest in the store and what it is called.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    pub name: Option<String>,
    pub descriptor: Descriptor,
}

impl Named {
    /// For messages.
    pub fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.descriptor.digest.to_string())
    }
}

/// The document.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u64,
    #[serde(default)]
    pub media_type: String,
    pub manifests: Vec<Descriptor>,
}

impl Default for Index {
    fn default() -> Index {
        Index { schema_version: 2, media_type: media::OCI_INDEX.into(), manifests: Vec::new() }
    }
}

impl Store {
    /// All images, as they were added.
    pub fn images(&self) -> Result<Vec<Named>> {
        let named = |mut descriptor: Descriptor| {
            let name = descriptor.annotations.take().and_then(|mut it| it.remove(NAME));
            Named { name, descriptor }
        };
        Ok(self.index()?.manifests.into_iter().map(named).collect())
    }

    fn index(&self) -> Result<Index> {
        let path = self.path.join("index.json");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("cannot make sense of {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Index::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Changes the list of images, nobody else meanwhile. One that stays as it is is not written: a full
    /// disk has no room for it.
    pub fn change(&self, change: impl FnOnce(&mut Vec<Named>)) -> Result<()> {
        let _lock = self.lock_index()?;
        let before = self.images()?;
        let mut images = before.clone();
        change(&mut images);
        if images == before {
            return Ok(());
        }
        let manifests = images.into_iter().map(|Named { name, mut descriptor }| {
            descriptor.annotations = name.map(|name| BTreeMap::from([(NAME.to_string(), name)]));
            descriptor
        });
        let index = Index { manifests: manifests.collect(), ..Index::default() };
        let bytes = serde_json::to_vec_pretty(&index).context("cannot write down the images")?;
        self.replace("index.json", &bytes)
    }

    /// No image is there any more.
    pub(super) fn forget_images(&self) -> Result<()> {
        let _lock = self.lock_index()?;
        let path = self.path.join("index.json");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Gives an image its name, and takes it from the one that had it.
    pub fn name(&self, name: &str, descriptor: Descriptor) -> Result<()> {
        self.change(|images| {
            images
                .iter_mut()
                .filter(|it| it.name.as_deref() == Some(name))
                .for_each(|it| it.name = None);
            images.retain(|it| it.name.is_some() || it.descriptor.digest != descriptor.digest);
            images.push(Named { name: Some(name.into()), descriptor });
        })
    }

    /// The image of this name, whatever state it is in.
    pub fn called(&self, text: &str) -> Result<Option<Named>> {
        let name = text.parse::<Reference>().map(|it| it.to_string()).ok();
        let mut images = self.images()?.into_iter();
        Ok(images.find(|it| it.name.is_some() && it.name == name))
    }

    /// The image that a person calls `text`: by name, or by the first digits of its id or digest.
    pub fn find(&self, text: &str) -> Result<Option<Image>> {
        if let Some(named) = self.called(text)? {
            return self.load(named).map(Some);
        }
        let images = self.images()?;
        let id = text.strip_prefix("sha256:").unwrap_or(text);
        if id.len() < SHORTEST_ID || !id.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let mut found: Option<Image> = None;
        for image in images.into_iter().flat_map(|named| self.load(named)) {
            let digest = &image.named.descriptor.digest;
            if !digest.hex().starts_with(id) && !image.manifest.config.digest.hex().starts_with(id)
            {
                continue;
            }
            match &found {
                Some(other) if other.named.descriptor.digest != *digest => {
                    bail!("more than one image has an id that begins with {id}");
                }
                _ => found = Some(image),
            }
        }
        Ok(found)
    }
}
