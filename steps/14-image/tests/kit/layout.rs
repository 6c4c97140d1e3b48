//! OCI image layouts made by hand: right ones, and ones that lie.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use image::digest::Digest;
use image::media;
use serde_json::{Value, json};
use std::io::Write;

pub struct Layout {
    pub path: PathBuf,
}

impl Layout {
    pub fn new(path: &Path) -> Result<Layout> {
        fs::create_dir_all(path.join("blobs/sha256"))?;
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Layout { path: path.into() })
    }

    /// Puts a blob there; gives its descriptor.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Result<Value> {
        let digest = Digest::of(bytes);
        fs::write(self.path.join("blobs/sha256").join(digest.hex()), bytes)?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    }

    pub fn json(&self, media_type: &str, value: &Value) -> Result<Value> {
        self.blob(media_type, value.to_string().as_bytes())
    }

    pub fn write_index(&self, manifests: &[Value]) -> Result<()> {
        let index =
            json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": manifests});
        Ok(fs::write(self.path.join("index.json"), index.to_string())?)
    }

    /// An image of these layers, as the only one; `run` is the config's part for containers.
    pub fn image(&self, layers: &[Layer], run: Value) -> Result<Value> {
        let manifest = self.manifest(layers, run, "amd64")?;
        self.write_index(std::slice::from_ref(&manifest))?;
        Ok(manifest)
    }

    /// Its manifest alone; gives the descriptor.
    pub fn manifest(&self, layers: &[Layer], run: Value, architecture: &str) -> Result<Value> {
        let diff_ids: Vec<&Digest> = layers.iter().map(|it| &it.diff_id).collect();
        let config = json!({"os": "linux", "architecture": architecture, "config": run,
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = self.json(media::OCI_CONFIG, &config)?;
        let layers = layers.iter().map(|it| self.blob(&it.media_type, &it.blob));
        let layers = layers.collect::<Result<Vec<Value>>>()?;
        let manifest = json!({"schemaVersion": 2, "mediaType": media::OCI_MANIFEST,
            "config": config, "layers": layers});
        self.json(media::OCI_MANIFEST, &manifest)
    }
}

/// A layer, packed or not.
pub struct Layer {
    pub blob: Vec<u8>,
    pub diff_id: Digest,
    pub media_type: String,
}

impl Layer {
    pub fn plain(tar: &[u8]) -> Layer {
        Layer { blob: tar.into(), diff_id: Digest::of(tar), media_type: media::OCI_LAYER.into() }
    }

    pub fn gzip(tar: &[u8]) -> Result<Layer> {
        let blob = gzip(tar)?;
        Ok(Layer {
            blob,
            diff_id: Digest::of(tar),
            media_type: format!("{}+gzip", media::OCI_LAYER),
        })
    }

    pub fn zstd(tar: &[u8]) -> Result<Layer> {
        let blob = zstd::encode_all(tar, 3)?;
        Ok(Layer {
            blob,
            diff_id: Digest::of(tar),
            media_type: format!("{}+zstd", media::OCI_LAYER),
        })
    }

    /// With another blob than one that unpacks to the diff id.
    pub fn packed_as(mut self, blob: Vec<u8>) -> Layer {
        self.blob = blob;
        self
    }
}

pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
