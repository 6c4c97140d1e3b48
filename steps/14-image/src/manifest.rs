//! The two documents that describe an image. An index lists one manifest for each platform; a
//! manifest names a config and the layers, from the bottom up. image-spec, image-index.md and
//! manifest.md; Docker's manifest list and schema 2 have the same shape.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::media;
use crate::platform::Platform;

/// More than any registry takes, distribution-spec, "Pushing Manifests": 4 MiB.
pub const LARGEST: u64 = 4 << 20;

/// overlayfs takes 500 lower layers.
const MOST_LAYERS: usize = 500;

/// Points to content: what it is, its name and its size. image-spec, descriptor.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.into(),
            digest,
            size,
            platform: None,
            annotations: None,
        }
    }

    /// Of a document that we have.
    pub fn of(media_type: &str, bytes: &[u8]) -> Descriptor {
        Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }
}

/// One image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u64,
    media_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

impl Manifest {
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
        Manifest { schema_version: 2, media_type: Some(media::OCI_MANIFEST.into()), config, layers }
    }
}

/// Either of the two.
#[derive(Debug)]
pub enum Document {
    Index(Vec<Descriptor>),
    Manifest(Manifest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u64,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    #[serde(rename = "fsLayers")]
    schema_1: Option<IgnoredAny>,
}

impl Document {
    /// Reads a document; `media_type` is what it was said to be by whoever gave it to us.
    ///
    /// One that could be read as an index and as a manifest is neither (CVE-2021-41190): two
    /// programs would see two images under one digest.
    pub fn parse(bytes: &[u8], media_type: Option<&str>) -> Result<Document> {
        ensure!(bytes.len() as u64 <= LARGEST, "it is larger than {LARGEST} bytes");
        let raw: Raw = serde_json::from_slice(bytes).context("it is not as it should be")?;
        if raw.schema_version == 1 || raw.schema_1.is_some() {
            bail!("it is of schema 1, which nobody makes any more: push the image anew");
        }
        ensure!(raw.schema_version == 2, "it is of schema {}, not 2", raw.schema_version);
        if let (Some(said), Some(own)) = (media_type, &raw.media_type) {
            ensure!(said == own, "it was announced as {said:?} and calls itself {own:?}");
        }
        let kind = raw.media_type.as_deref().or(media_type).unwrap_or_default().to_string();
        match raw {
            Raw { manifests: Some(manifests), config: None, layers: None, .. }
                if !media::is_manifest(&kind) =>
            {
                Ok(Document::Index(manifests))
            }
            Raw { manifests: None, config: Some(config), layers: Some(layers), .. }
                if !media::is_index(&kind) =>
            {
                let manifest =
                    Manifest { schema_version: 2, media_type: raw.media_type, config, layers };
                manifest.check()?;
                Ok(Document::Manifest(manifest))
            }
            _ => bail!("it is neither an index nor a manifest"),
        }
    }
}

impl Manifest {
    /// What it is called in a descriptor: what it calls itself, or else what it was said to be.
    pub fn media_type(&self, said: Option<&str>) -> String {
        self.media_type.as_deref().or(said).unwrap_or(media::OCI_MANIFEST).to_string()
    }

    fn check(&self) -> Result<()> {
        media::check_config(&self.config.media_type)?;
        let count = self.layers.len();
        ensure!(count > 0, "it has no layers");
        ensure!(count <= MOST_LAYERS, "it has {count} layers, and overlayfs takes {MOST_LAYERS}");
        self.layers.iter().try_for_each(|layer| media::check_layer(&layer.media_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn layer(media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": Digest::of(b"").to_string(), "size": 0})
    }

    fn parse(document: Value, media_type: Option<&str>) -> Result<Document> {
        Document::parse(document.to_string().as_bytes(), media_type)
    }

    #[test]
    fn an_index_and_a_manifest_are_told_apart() {
        let manifest = json!({"schemaVersion": 2, "config": layer(media::OCI_CONFIG),
            "layers": [layer(media::OCI_LAYER)]});
        assert!(matches!(parse(manifest.clone(), None), Ok(Document::Manifest(_))));
        assert!(matches!(
            parse(manifest.clone(), Some(media::OCI_MANIFEST)),
            Ok(Document::Manifest(_))
        ));
        assert!(parse(manifest.clone(), Some(media::OCI_INDEX)).is_err());
        let index = json!({"schemaVersion": 2, "manifests": []});
        assert!(matches!(parse(index.clone(), None), Ok(Document::Index(_))));
        assert!(parse(index, Some(media::OCI_MANIFEST)).is_err());
        let mut both = manifest;
        both["manifests"] = json!([]);
        assert!(parse(both, None).is_err());
    }

    #[test]
    fn only_layers_that_can_be_unpacked() {
        let with = |media_type: &str| {
            let (config, layers) = (layer(media::DOCKER_CONFIG), [layer(media_type)]);
            parse(json!({"schemaVersion": 2, "config": config, "layers": layers}), None)
        };
        for ending in ["", ".gzip", ".zstd"] {
            assert!(with(&format!("{}{ending}", media::DOCKER_LAYER)).is_ok());
        }
        for ending in ["+gzip", "+zstd"] {
            assert!(with(&format!("{}{ending}", media::OCI_LAYER)).is_ok());
        }
        assert!(with("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip").is_err());
        assert!(with("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip").is_err());
        assert!(with("text/plain").is_err());
    }
}
