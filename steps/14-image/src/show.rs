//! What there is to see of images: a list, one in all its detail, and how it came about. What an
//! image says of itself is escaped: it must not command a terminal.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};

use anyhow::{Context, Result};
use indicatif::HumanBytes;
use serde_json::json;

use crate::reference::Reference;
use crate::store::{Image, Named, Store};

const LONGEST: usize = 100;
/// The column of names is no narrower than this.
const NAMES: usize = 44;

/// One line an image.
pub fn list(store: &Store) -> Result<u8> {
    let images = store.images()?;
    let name = |named: &Named| named.name.as_ref().map_or("<none>".into(), |it| short(it));
    let longest = images.iter().map(|it| name(it).chars().count()).max().unwrap_or_default();
    let width = longest.max(NAMES);
    let mut text = format!(
        "{:<width$} {:<13} {:<14} {:<20} LAYERS  SIZE\n",
        "NAME", "ID", "PLATFORM", "CREATED"
    );
    for named in images {
        let name = name(&named);
        let row = store.load(named).map_or_else(|error| format!("{error:#}"), |it| row(&it));
        writeln!(text, "{name:<width$} {row}")?;
    }
    print(&text)
}

/// What is said of an image besides its name.
fn row(image: &Image) -> String {
    let created = shown(image.config.created.as_deref().unwrap_or_default(), 19);
    let (id, platform) =
        (image.manifest.config.digest.short(), shown(&image.config.platform.to_string(), 14));
    let (layers, size) = (image.chain.len(), HumanBytes(size(image)));
    format!("{id:<13} {platform:<14} {created:<20} {layers:<7} {size}")
}

fn short(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| shown(name, LONGEST), |it| it.short())
}

/// Of the layers as they came.
fn size(image: &Image) -> u64 {
    image.manifest.layers.iter().map(|layer| layer.size).sum()
}

/// All of it, as JSON.
pub fn inspect(image: &Image) -> Result<u8> {
    let value = json!({
        "Name": image.named.name,
        "Digest": image.named.descriptor.digest,
        "Id": image.manifest.config.digest,
        "Platform": image.config.platform.to_string(),
        "Created": image.config.created,
        "Size": size(image),
        "Config": image.config.config,
        "Layers": image.manifest.layers,
        "DiffIds": image.config.rootfs.diff_ids,
        "ChainIds": image.chain,
    });
    let text = serde_json::to_string_pretty(&value).context("cannot write down the image")?;
    print(&(text + "\n"))
}

/// The newest first, as `docker history` does.
pub fn history(image: &Image) -> Result<u8> {
    let mut layers = image.manifest.layers.iter();
    let mut lines = Vec::new();
    for step in &image.config.history {
        let layer = if step.empty_layer { None } else { layers.next() };
        let size = layer.map_or("0 B".into(), |it| HumanBytes(it.size).to_string());
        let digest = layer.map_or("-", |it| it.digest.short());
        let created = shown(step.created.as_deref().unwrap_or_default(), 19);
        let by = shown(
            step.created_by.as_deref().or(step.comment.as_deref()).unwrap_or_default(),
            LONGEST,
        );
        lines.push(format!("{digest:<13} {created:<20} {size:>11}  {by}\n"));
    }
    for layer in layers {
        lines.push(format!(
            "{:<13} {:<20} {:>11}\n",
            layer.digest.short(),
            "",
            HumanBytes(layer.size).to_string()
        ));
    }
    lines.reverse();
    print(&format!(
        "{:<13} {:<20} {:>11}  CREATED BY\n{}",
        "LAYER",
        "CREATED",
        "SIZE",
        lines.concat()
    ))
}

fn shown(text: &str, most: usize) -> String {
    text.chars().take(most).collect::<String>().escape_debug().to_string()
}

fn print(text: &str) -> Result<u8> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // As with `image list | head -1`: whoever reads has enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(0),
        printed => printed.map(|()| 0).context("cannot print"),
    }
}
