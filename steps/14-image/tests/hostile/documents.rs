//! Indexes, manifests and configs that lie, contradict themselves or have no end.

use std::fs;

use anyhow::Result;
use image::digest::Digest;
use image::media::{DOCKER_LIST, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST};
use serde_json::{Value, json};

use super::super::{Case, Image};
use evidence::oci::{Layer, Layout, Tar};

type Make = fn(&Layout) -> Result<()>;

fn layer() -> Layer {
    Layer::plain(&Tar::new().file("x", b"x").end())
}

/// A right image, whose parts are there to be changed: manifest and config.
fn parts(layout: &Layout) -> Result<(Value, Value)> {
    let diff_ids = [layer().diff_id];
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let blob = layout.blob(OCI_LAYER, &layer().blob)?;
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [blob],
        "config": layout.json(OCI_CONFIG, &config)?});
    Ok((manifest, config))
}

fn with_manifest(layout: &Layout, change: impl Fn(&mut Value)) -> Result<()> {
    let (mut manifest, _) = parts(layout)?;
    change(&mut manifest);
    layout.write_index(&[layout.json(OCI_MANIFEST, &manifest)?])
}

fn with_config(layout: &Layout, change: impl Fn(&mut Value)) -> Result<()> {
    let (mut manifest, mut config) = parts(layout)?;
    change(&mut config);
    manifest["config"] = layout.json(OCI_CONFIG, &config)?;
    layout.write_index(&[layout.json(OCI_MANIFEST, &manifest)?])
}

/// The manifest as these bytes.
fn as_bytes(layout: &Layout, bytes: &[u8]) -> Result<()> {
    layout.write_index(&[layout.blob(OCI_MANIFEST, bytes)?])
}

/// A right image whose descriptor in the index is changed.
fn with_index(layout: &Layout, change: impl Fn(&mut Value)) -> Result<()> {
    let (manifest, _) = parts(layout)?;
    let mut descriptor = layout.json(OCI_MANIFEST, &manifest)?;
    change(&mut descriptor);
    layout.write_index(&[descriptor])
}

/// An index of `manifests`, on top of them.
fn nested(layout: &Layout, manifests: &[Value]) -> Result<Value> {
    layout.json(
        OCI_INDEX,
        &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}),
    )
}

fn blob_file(layout: &Layout, descriptor: &Value) -> std::path::PathBuf {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    layout.path.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
}

const CASES: &[(&str, &str, Make)] = &[
    ("no index.json", "neither", |_| Ok(())),
    ("an index.json that is none", "index.json", |it| {
        Ok(fs::write(it.path.join("index.json"), "[1,")?)
    }),
    ("an empty index.json", "no image", |it| it.write_index(&[])),
    ("a manifest that is no JSON", "as it should be", |it| as_bytes(it, b"hello")),
    ("a manifest that is empty", "as it should be", |it| as_bytes(it, b"")),
    ("a manifest that is cut", "as it should be", |it| as_bytes(it, br#"{"schemaVersion":2,"#)),
    ("a manifest with invalid UTF-8", "as it should be", |it| {
        as_bytes(it, b"{\"mediaType\":\"\xff\xfe\",\"schemaVersion\":2}")
    }),
    ("a manifest nested deeply", "as it should be", |it| as_bytes(it, &[b'['; 100_000])),
    ("a manifest that is too large", "most", |it| as_bytes(it, &[b' '; 5 << 20])),
    ("a key twice", "as it should be", |it| {
        as_bytes(it, br#"{"schemaVersion":2,"schemaVersion":2,"layers":[]}"#)
    }),
    ("schema 1", "schema 1", |it| as_bytes(it, br#"{"schemaVersion":1,"fsLayers":[]}"#)),
    ("schema 3", "schema 3", |it| with_manifest(it, |it| it["schemaVersion"] = json!(3))),
    ("an index and a manifest in one", "neither", |it| {
        with_manifest(it, |it| it["manifests"] = json!([]))
    }),
    ("a manifest that calls itself an index", "calls itself", |it| {
        with_manifest(it, |it| it["mediaType"] = json!(OCI_INDEX))
    }),
    ("an index that is announced as a manifest", "neither", |it| {
        as_bytes(it, br#"{"schemaVersion":2,"manifests":[]}"#)
    }),
    ("a manifest without a config", "neither", |it| {
        with_manifest(it, |it| it["config"] = Value::Null)
    }),
    ("a manifest without layers", "no layers", |it| {
        with_manifest(it, |it| it["layers"] = json!([]))
    }),
    ("too many layers", "501 layers", |it| {
        with_manifest(it, |it| it["layers"] = json!(vec![it["layers"][0].clone(); 501]))
    }),
    ("a foreign layer", "foreign", |it| {
        with_manifest(it, |it| {
            it["layers"][0]["mediaType"] =
                json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        })
    }),
    ("a layer of an unknown type", "unknown type", |it| {
        with_manifest(it, |it| it["layers"][0]["mediaType"] = json!("text/html"))
    }),
    ("a chart in the place of an image", "no image", |it| {
        with_manifest(it, |it| {
            it["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json");
        })
    }),
    ("a digest of another kind", "sha256", |it| {
        with_manifest(it, |it| {
            it["layers"][0]["digest"] = json!(format!("sha512:{}", "a".repeat(128)))
        })
    }),
    ("a digest that is a path", "digest", |it| {
        with_manifest(it, |it| it["layers"][0]["digest"] = json!("sha256:../../../../etc/passwd"))
    }),
    ("a digest in capitals", "digest", |it| {
        with_manifest(it, |it| {
            it["layers"][0]["digest"] = json!(format!("sha256:{}", "A".repeat(64)))
        })
    }),
    ("a negative size", "as it should be", |it| {
        with_manifest(it, |it| it["layers"][0]["size"] = json!(-1))
    }),
    ("a size with a fraction", "as it should be", |it| {
        with_manifest(it, |it| it["layers"][0]["size"] = json!(1.5))
    }),
    ("a size of all there is", "max-size", |it| {
        with_manifest(it, |it| it["layers"][0]["size"] = json!(u64::MAX))
    }),
    ("a layer larger than it should be", "should have", |it| {
        with_manifest(it, |it| it["layers"][0]["size"] = json!(10))
    }),
    ("a layer smaller than it should be", "should have", |it| {
        with_manifest(it, |it| it["layers"][0]["size"] = json!(9999))
    }),
    ("a layer that is missing", "ENOENT", |it| {
        with_manifest(it, |it| it["layers"][0]["digest"] = json!(Digest::of(b"nothing")))
    }),
    ("a layer with other content", "its digest is", |it| {
        with_manifest(it, |_| ())?;
        let path = it.path.join("blobs/sha256").join(Digest::of(&layer().blob).hex());
        let mut bytes = fs::read(&path)?;
        bytes[600] ^= 1;
        Ok(fs::write(path, bytes)?)
    }),
    ("a layer that is a link to a host's file", "XDEV", |it| {
        with_manifest(it, |_| ())?;
        let path = it.path.join("blobs/sha256").join(Digest::of(&layer().blob).hex());
        fs::remove_file(&path)?;
        Ok(std::os::unix::fs::symlink("/etc/passwd", path)?)
    }),
    ("a layer that is a fifo", "no regular file", |it| {
        with_manifest(it, |_| ())?;
        let path = it.path.join("blobs/sha256").join(Digest::of(&layer().blob).hex());
        fs::remove_file(&path)?;
        Ok(nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o666))?)
    }),
    ("a manifest with other content", "its digest is", |it| {
        let (manifest, _) = parts(it)?;
        let descriptor = it.json(OCI_MANIFEST, &manifest)?;
        let text = fs::read_to_string(blob_file(it, &descriptor))?
            .replace("linux", "linuX")
            .replace("layers", "Layers");
        fs::write(blob_file(it, &descriptor), text)?;
        it.write_index(&[descriptor])
    }),
    ("a manifest of another size", "should have", |it| with_index(it, |it| it["size"] = json!(1))),
    ("a manifest of no bytes", "should have", |it| with_index(it, |it| it["size"] = json!(0))),
    ("a manifest that is missing", "ENOENT", |it| {
        with_index(it, |it| it["digest"] = json!(Digest::of(b"nothing")))
    }),
    ("an index without an image for us", "no image for", |it| {
        let (manifest, _) = parts(it)?;
        let mut descriptor = it.json(OCI_MANIFEST, &manifest)?;
        descriptor["platform"] = json!({"os": "plan9", "architecture": "mips"});
        it.write_index(&[nested(it, &[descriptor])?])
    }),
    ("an index that is empty", "empty", |it| it.write_index(&[nested(it, &[])?])),
    ("indexes in indexes in indexes", "leads to an index", |it| {
        let mut top = nested(it, &[])?;
        for _ in 0..10 {
            top = nested(it, &[top])?;
        }
        it.write_index(&[top])
    }),
    ("an index with ten thousand manifests", "no image for", |it| {
        let (manifest, _) = parts(it)?;
        let mut descriptor = it.json(OCI_MANIFEST, &manifest)?;
        descriptor["platform"] = json!({"os": "plan9", "architecture": "mips"});
        it.write_index(&[nested(it, &vec![descriptor; 10_000])?])
    }),
    ("a manifest announced as Docker's list", "calls itself", |it| {
        with_index(it, |it| it["mediaType"] = json!(DOCKER_LIST))
    }),
    ("a config that is no JSON", "as it should be", |it| {
        with_manifest(it, |_| ())?;
        let config = it.blob(OCI_CONFIG, b"hello")?;
        with_manifest(it, |it| it["config"] = config.clone())
    }),
    ("a config that is too large", "most", |it| {
        with_manifest(it, |it| it["config"]["size"] = json!(9 << 20))
    }),
    ("a config with too few layers", "names 0 layers", |it| {
        with_config(it, |it| it["rootfs"]["diff_ids"] = json!([]))
    }),
    ("a config with too many layers", "names 2 layers", |it| {
        with_config(it, |it| it["rootfs"]["diff_ids"] = json!([Digest::of(b"a"), Digest::of(b"b")]))
    }),
    ("a config without layers", "as it should be", |it| {
        with_config(it, |it| it["rootfs"] = Value::Null)
    }),
    ("a config of another kind", "not of layers", |it| {
        with_config(it, |it| it["rootfs"]["type"] = json!("ramdisk"))
    }),
    ("a diff id that is none", "as it should be", |it| {
        with_config(it, |it| it["rootfs"]["diff_ids"] = json!(["../x"]))
    }),
    ("a diff id of another layer", "should be", |it| {
        with_config(it, |it| it["rootfs"]["diff_ids"] = json!([Digest::of(b"a")]))
    }),
    ("an environment that is no list", "as it should be", |it| {
        with_config(it, |it| it["config"] = json!({"Env": {"A": "B"}}))
    }),
    ("what docker saved, of nothing", "no image", |it| {
        Ok(fs::write(it.path.join("manifest.json"), "[]")?)
    }),
    ("what docker saved, with a config outside", "XDEV", |it| {
        let list =
            json!([{"Config": "../../../../../../etc/passwd", "RepoTags": ["a:b"], "Layers": []}]);
        Ok(fs::write(it.path.join("manifest.json"), list.to_string())?)
    }),
    ("what docker saved, with a layer that is missing", "ENOENT", |it| {
        fs::write(it.path.join("c.json"), "{}")?;
        let list = json!([{"Config": "c.json", "RepoTags": ["a:b"], "Layers": ["none/layer.tar"]}]);
        Ok(fs::write(it.path.join("manifest.json"), list.to_string())?)
    }),
];

pub fn all() -> Vec<Case> {
    let case = |(name, words, make): &(&'static str, &'static str, Make)| Case {
        name,
        words,
        flags: vec![],
        image: Image::Made(*make),
    };
    CASES.iter().map(case).collect()
}
