//! Layers as they come from registries: compressed.

use std::io::Write;

use anyhow::Result;
use evidence::oci::Layer;
use flate2::Compression;
use flate2::write::GzEncoder;

pub trait Packed: Sized {
    fn gzip(tar: &[u8]) -> Result<Self>;
    fn zstd(tar: &[u8]) -> Result<Self>;
}

impl Packed for Layer {
    fn gzip(tar: &[u8]) -> Result<Layer> {
        Ok(packed(tar, gzip(tar)?, "gzip"))
    }

    fn zstd(tar: &[u8]) -> Result<Layer> {
        Ok(packed(tar, zstd::encode_all(tar, 3)?, "zstd"))
    }
}

fn packed(tar: &[u8], blob: Vec<u8>, how: &str) -> Layer {
    let plain = Layer::plain(tar);
    let media_type = format!("{}+{how}", plain.media_type);
    Layer { media_type, ..plain.packed_as(blob) }
}

pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
