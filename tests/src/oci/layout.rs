//! OCI image layouts on disk, image-spec, image-layout.md.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::digest;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A directory that may hold several images.
pub struct Layout {
    pub path: PathBuf,
}

impl Layout {
    pub fn new(path: &Path) -> Result<Layout> {
        fs::create_dir_all(path.join("blobs/sha256"))?;
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Layout { path: path.into() })
    }

    /// Where a blob stands.
    pub fn file(&self, digest: &str) -> PathBuf {
        self.path.join("blobs").join(digest.replace(':', "/"))
    }

    /// Puts a blob there; gives its descriptor.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Result<Value> {
        let digest = digest(bytes);
        fs::write(self.file(&digest), bytes)?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    }

    pub fn json(&self, media_type: &str, value: &Value) -> Result<Value> {
        self.blob(media_type, value.to_string().as_bytes())
    }

    pub fn write_index(&self, manifests: &[Value]) -> Result<()> {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
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
        let diff_ids: Vec<&String> = layers.iter().map(|it| &it.diff_id).collect();
        let config = json!({"os": "linux", "architecture": architecture, "config": run,
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = self.json(CONFIG, &config)?;
        let layers = layers.iter().map(|it| self.blob(&it.media_type, &it.blob));
        let layers = layers.collect::<Result<Vec<Value>>>()?;
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": config, "layers": layers});
        self.json(MANIFEST, &manifest)
    }
}

/// A layer, packed or not.
#[derive(Clone)]
pub struct Layer {
    pub blob: Vec<u8>,
    /// The digest of what it unpacks to.
    pub diff_id: String,
    pub media_type: String,
}

impl Layer {
    pub fn plain(tar: &[u8]) -> Layer {
        Layer { blob: tar.into(), diff_id: digest(tar), media_type: LAYER.into() }
    }

    /// With another blob than one that unpacks to the diff id.
    pub fn packed_as(mut self, blob: Vec<u8>) -> Layer {
        self.blob = blob;
        self
    }
}
