//! What is fuzzed: whatever comes from a person or from a registry is read, and what must hold of it
//! then is asserted. `scripts/fuzz` runs these with inputs that libFuzzer thinks out;
//! steps/14-image/tests/corpus.rs with those that are kept.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;

use image::config::Config;
use image::digest::Digest;
use image::manifest::Document;
use image::platform::{self, Platform};
use image::reference::Reference;
use image::unpack::{self, Limits, Watch};

/// The name of an image: what is taken means the same when it is written down in full, and cannot
/// end the host or the path in a URL.
pub fn reference(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(reference) = text.parse::<Reference>() else { return };
    let full = reference.to_string();
    assert_eq!(full.parse::<Reference>().ok().as_ref(), Some(&reference), "{full:?}");
    let short = reference.short();
    assert_eq!(short.parse::<Reference>().ok(), Some(reference), "{short:?}");
    let fits = |it: char| it.is_ascii_alphanumeric() || ".-_:/@[]".contains(it);
    assert!(full.chars().all(fits) && !full.contains("//") && !full.contains("/."), "{full:?}");
}

/// A manifest, an index or a config. What is written down of it again is read as the same.
pub fn manifest(data: &[u8]) {
    let layers = match Document::parse(data, None) {
        Ok(Document::Manifest(manifest)) => {
            let bytes = serde_json::to_vec(&manifest).expect("it can be written");
            let again = Document::parse(&bytes, Some(&manifest.media_type(None)));
            assert!(matches!(again, Ok(Document::Manifest(again)) if again == manifest));
            manifest.layers.len()
        }
        Ok(Document::Index(manifests)) => {
            let _ = platform::choose(&manifests, &Platform::host());
            manifests.len()
        }
        Err(_) => 1,
    };
    if let Ok(config) = Config::parse(data, layers) {
        assert_eq!(config.chain_ids().len(), layers);
    }
}

/// A layer, unpacked beside a directory that must stay as it is. The first byte says whether it is
/// the lowest one, and whether its checksums are put right, so that there is more to find than they.
pub fn layer(data: &[u8]) {
    let Some((&how, archive)) = data.split_first() else { return };
    let mut archive = archive.to_vec();
    if how & 1 == 1 {
        put_right(&mut archive);
    }
    let place = tempfile::tempdir().expect("a directory");
    let [outside, root] = ["outside", "root"].map(|name| place.path().join(name));
    fs::create_dir(&outside).and_then(|()| fs::create_dir(&root)).expect("directories");
    fs::write(outside.join("secret"), "secret").expect("a file");
    let mut blob = tempfile::tempfile().expect("a file");
    blob.write_all(&archive).expect("a blob");
    let limits = Limits { bytes: 4 << 20, files: 200 };
    let watch = Watch { limits, progress: &|_| (), stopped: &|| false };
    let directory = File::open(&root).expect("a directory");
    let layer = unpack::layer(blob, &Digest::of(&archive), directory.into(), how & 2 == 2, &watch);
    if let Ok(layer) = layer {
        let below = File::open(&outside).expect("a directory");
        let _ = layer.settle(&[below.into()]);
    }
    let kept = fs::read_to_string(outside.join("secret"));
    assert_eq!(kept.ok().as_deref(), Some("secret"), "what is outside was changed");
    let parent = File::open(place.path()).expect("a directory");
    unpack::remove::tree(parent.as_fd(), OsStr::new("root")).expect("it can be removed");
    let count = |path| fs::read_dir(path).map_or(0, Iterator::count);
    assert_eq!((count(place.path()), count(&outside)), (1, 1), "something is outside");
}

const BLOCK: usize = 512;

/// Gives each header of an archive the checksum that it has, as far as headers can be told.
fn put_right(archive: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = archive.get_mut(at..at + BLOCK) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&it| u32::from(it)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = str::from_utf8(&header[124..135]).unwrap_or_default();
        let size = usize::from_str_radix(digits, 8).unwrap_or(0);
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
}
