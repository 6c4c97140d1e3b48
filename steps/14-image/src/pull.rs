//! From a source into the store: the manifest for this machine, its config, and the layers that are
//! not there yet. The name comes last, so an image that has one is all there.

use anyhow::{Context, Result, ensure};

use crate::config::{self, Config};
use crate::layers;
use crate::manifest::{Descriptor, Manifest};
use crate::platform::Platform;
use crate::progress::Progress;
use crate::source::{self, Source};
use crate::store::Store;
use crate::unpack::Limits;

/// What a pull may do, and whom it tells.
pub struct Options<'a> {
    pub platform: Option<Platform>,
    pub limits: Limits,
    pub progress: &'a Progress,
}

/// Pulls an image and calls it `name`.
pub fn pull(
    store: &Store,
    source: &dyn Source,
    name: &str,
    options: &Options,
) -> Result<Descriptor> {
    let _lock = store.lock_shared()?;
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let (manifest, mut descriptor, bytes) = source::resolve(source, &platform)?;
    check_sizes(&manifest, options.limits)?;
    let act = || format!("cannot fetch the config {}", manifest.config.digest);
    let config_bytes = match store.blob(&manifest.config)? {
        Some(_) => store.document(&manifest.config, config::LARGEST)?,
        None => {
            let input = source.blob(&manifest.config, 0).with_context(act)?;
            source::read(input, &manifest.config, config::LARGEST).with_context(act)?
        }
    };
    let config =
        Config::parse(&config_bytes, manifest.layers.len()).context("cannot read the config")?;
    check_platform(&config, &platform, options)?;
    layers::bring(store, source, &manifest, &config, options)?;
    store.keep(&config_bytes)?;
    store.keep(&bytes)?;
    descriptor.platform = Some(config.platform);
    store.name(name, descriptor.clone())?;
    Ok(descriptor)
}

/// A layer that is too large packed is too large unpacked.
fn check_sizes(manifest: &Manifest, limits: Limits) -> Result<()> {
    let (size, most) = (manifest.config.size, config::LARGEST);
    ensure!(size <= most, "the config has {size} bytes, and {most} are the most");
    for layer in &manifest.layers {
        let (digest, size) = (&layer.digest, layer.size);
        ensure!(
            size <= limits.bytes,
            "layer {digest} has {size} bytes, {} are allowed (--max-size)",
            limits.bytes
        );
    }
    Ok(())
}

/// An image without an index says in its config what it is for.
fn check_platform(config: &Config, platform: &Platform, options: &Options) -> Result<()> {
    let fits = platform.runs(&config.platform) || config.platform.architecture.is_empty();
    let is = &config.platform;
    ensure!(fits || options.platform.is_none(), "the image is for {is}, not for {platform}");
    if !fits {
        options.progress.say(&format!("note: the image is for {is}, this machine is {platform}"));
    }
    Ok(())
}
