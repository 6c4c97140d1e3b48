//! What a document or a layer is, by its media type: the OCI's names, image-spec media-types.md,
//! and Docker's of the same things, distribution's spec/manifest-v2-2.md.

use anyhow::{Result, bail};

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// What a registry is told that we understand.
pub const ACCEPTED: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// Whether a descriptor of this type leads to an index, to a manifest, or to neither.
pub fn is_index(media_type: &str) -> bool {
    [OCI_INDEX, DOCKER_LIST].contains(&media_type)
}

pub fn is_manifest(media_type: &str) -> bool {
    [OCI_MANIFEST, DOCKER_MANIFEST].contains(&media_type)
}

/// A config that says how to run a container; other ones belong to charts, signatures and the like.
pub fn check_config(media_type: &str) -> Result<()> {
    match media_type {
        OCI_CONFIG | DOCKER_CONFIG => Ok(()),
        other => bail!("it is no image of a container but holds {other:?}"),
    }
}

/// A layer that we can unpack. How it is compressed is seen from its first bytes: tools mislabel.
pub fn check_layer(media_type: &str) -> Result<()> {
    let foreign = ["nondistributable", "foreign"].iter().any(|word| media_type.contains(word));
    if foreign {
        bail!("it has a foreign layer ({media_type}), which registries do not hand out");
    }
    // `.tar.gzip` is Docker's ending, `+gzip` the OCI's.
    let base = [OCI_LAYER, DOCKER_LAYER].into_iter().find_map(|it| media_type.strip_prefix(it));
    match base {
        Some("" | "+gzip" | "+zstd" | ".gzip" | ".zstd") => Ok(()),
        _ => bail!("it has a layer of an unknown type, {media_type:?}"),
    }
}
