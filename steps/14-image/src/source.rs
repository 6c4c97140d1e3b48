//! Where an image comes from: a registry, a directory or an archive. Nothing that a source says is
//! believed: a document must have the size and the digest under which it was asked for.

use std::io::Read;

use anyhow::{Context, Result, bail, ensure};

use crate::digest::Verifier;
use crate::manifest::{self, Descriptor, Document, Manifest};
use crate::platform::{self, Platform};

/// An index may point to indexes; real ones do so once.
const DEEPEST: usize = 4;

pub trait Source: Sync {
    /// The document that stands for the image, and what it is said to be.
    fn root(&self) -> Result<(Vec<u8>, Option<String>)>;

    /// A further document; whoever asks checks it.
    fn document(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>>;

    /// A blob, from its byte `offset` on.
    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>>;
}

/// Follows indexes down to the manifest for `platform`; gives it as it came, too.
pub fn resolve(
    source: &dyn Source,
    platform: &Platform,
) -> Result<(Manifest, Descriptor, Vec<u8>)> {
    let (mut bytes, mut media_type) = source.root()?;
    for _ in 0..DEEPEST {
        let parsed =
            Document::parse(&bytes, media_type.as_deref()).context("cannot read the manifest")?;
        match parsed {
            Document::Manifest(manifest) => {
                let kind = manifest.media_type(media_type.as_deref());
                return Ok((manifest, Descriptor::of(&kind, &bytes), bytes));
            }
            Document::Index(manifests) => {
                let chosen = platform::choose(&manifests, platform)?;
                let act = || format!("cannot fetch the manifest {}", chosen.digest);
                let input = source.document(chosen).with_context(act)?;
                bytes = read(input, chosen, manifest::LARGEST).with_context(act)?;
                media_type = Some(chosen.media_type.clone());
            }
        }
    }
    bail!("the index leads to an index, and so on: more than {DEEPEST} of them")
}

/// A document of at most `most` bytes that is what `descriptor` says.
pub fn read(
    mut input: Box<dyn Read + Send + '_>,
    descriptor: &Descriptor,
    most: u64,
) -> Result<Vec<u8>> {
    ensure!(descriptor.size <= most, "it has {} bytes, and {most} are the most", descriptor.size);
    let mut bytes = Vec::new();
    let mut verifier = Verifier::new(descriptor.size);
    verifier.pass(&mut input, |piece| {
        bytes.extend(piece);
        Ok(())
    })?;
    verifier.finish(&descriptor.digest)?;
    Ok(bytes)
}
