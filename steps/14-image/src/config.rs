//! The config of an image: what to run in it and how, and of which layers it is made.
//! image-spec, config.md; Docker's has the same fields.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::platform::Platform;

/// Real ones have a few kilobytes; the history is the longest part.
pub const LARGEST: u64 = 8 << 20;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub platform: Platform,
    pub created: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub config: Run,
    pub rootfs: RootFs,
    #[serde(default, deserialize_with = "or_default")]
    pub history: Vec<History>,
}

/// What a container of this image runs, unless it is told otherwise.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Run {
    #[serde(deserialize_with = "or_default")]
    pub env: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub entrypoint: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub cmd: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub working_dir: String,
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    pub stop_signal: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub exposed_ports: BTreeMap<String, serde_json::Value>,
    #[serde(deserialize_with = "or_default")]
    pub volumes: BTreeMap<String, serde_json::Value>,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
}

/// The layers, by what they are when they are unpacked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    pub diff_ids: Vec<Digest>,
}

/// How one layer came about; an empty one changed the config alone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub empty_layer: bool,
}

/// Go writes an empty list as `null`.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Config {
    /// Reads the config of an image with `layers` layers.
    pub fn parse(bytes: &[u8], layers: usize) -> Result<Config> {
        let config: Config = serde_json::from_slice(bytes).context("it is not as it should be")?;
        let RootFs { kind, diff_ids } = &config.rootfs;
        ensure!(kind == "layers", "its root filesystem is of type {kind:?}, not of layers");
        let count = diff_ids.len();
        ensure!(count == layers, "it names {count} layers, and the manifest {layers}");
        Ok(config)
    }

    /// The name of each layer together with all that are below it: what it is unpacked to may
    /// depend on them. image-spec, config.md, "Layer ChainID".
    pub fn chain_ids(&self) -> Vec<Digest> {
        let mut chain: Vec<Digest> = Vec::new();
        for diff_id in &self.rootfs.diff_ids {
            let next = match chain.last() {
                None => diff_id.clone(),
                Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
            };
            chain.push(next);
        }
        chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn go_writes_null_for_nothing() {
        let text = json!({"os": "linux", "architecture": "amd64", "history": null,
            "config": {"Env": null, "Cmd": ["sh"], "Labels": null, "Volumes": {"/x": {}}},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"a"), Digest::of(b"b")]}});
        let config = Config::parse(text.to_string().as_bytes(), 2).unwrap();
        assert_eq!(config.config.cmd, ["sh"]);
        assert!(Config::parse(text.to_string().as_bytes(), 3).is_err());
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(config.chain_ids(), [a.clone(), Digest::of(format!("{a} {b}").as_bytes())]);
    }
}
