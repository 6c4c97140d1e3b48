//! Compressed layers: cut, changed, and such as unpack to far more than they are.

use anyhow::Result;
use image::media;

use evidence::oci::{Layer, Tar, digest};

use super::super::kit::packed::{Packed, gzip};
use super::super::{Case, Image};

fn case(name: &'static str, words: &'static str, layer: Layer) -> Case {
    Case { name, words, flags: vec![], image: Image::Layer(layer) }
}

fn bounded(name: &'static str, words: &'static str, flags: &[&'static str], layer: Layer) -> Case {
    Case { name, words, flags: flags.to_vec(), image: Image::Layer(layer) }
}

pub fn all() -> Result<Vec<Case>> {
    // Not to be compressed, so that what is changed is data.
    let noise: Vec<u8> =
        (0..50_000u32).flat_map(|it| it.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let tar = Tar::new().file("noise", &noise).end();
    let (packed, zstd) = (gzip(&tar)?, zstd::encode_all(&tar[..], 3)?);
    let plain = || Layer::plain(&tar);
    let changed = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 0x55;
        bytes
    };
    let checksummed = checksummed(&tar)?;
    let mut cases = vec![
        case(
            "gzip that ends too early",
            "too early",
            plain().packed_as(packed[..packed.len() / 2].to_vec()),
        ),
        case(
            "gzip without its end",
            "too early",
            plain().packed_as(packed[..packed.len() - 4].to_vec()),
        ),
        case(
            "gzip with a wrong checksum",
            "damaged",
            plain().packed_as(changed(&packed, packed.len() - 6)),
        ),
        case(
            "gzip with a wrong length",
            "damaged",
            plain().packed_as(changed(&packed, packed.len() - 1)),
        ),
        case("gzip with a bit changed", "", plain().packed_as(changed(&packed, packed.len() / 2))),
        case(
            "gzip and something else behind it",
            "damaged",
            plain().packed_as([&packed[..], b"something else that is not gzip"].concat()),
        ),
        case("gzip's header alone", "too early", plain().packed_as(packed[..10].to_vec())),
        case(
            "zstd that ends too early",
            "too early",
            plain().packed_as(zstd[..zstd.len() / 2].to_vec()),
        ),
        case(
            "zstd with a bit changed",
            "damaged",
            plain().packed_as(changed(&checksummed, checksummed.len() / 2)),
        ),
        case(
            "zstd with a wrong checksum",
            "damaged",
            plain().packed_as(changed(&checksummed, checksummed.len() - 1)),
        ),
        case(
            "zstd with a window of 2 GiB",
            "damaged",
            plain().packed_as(vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0]),
        ),
        case("bzip2", "bzip2", plain().packed_as(b"BZh91AY&SY".to_vec())),
        case("xz", "xz", plain().packed_as(b"\xfd7zXZ\0\0\x04".to_vec())),
        case(
            "another tree than the config says",
            "should be",
            plain().packed_as(gzip(&Tar::new().file("other", b"x").end())?),
        ),
        case(
            "the right tree and more behind it",
            "should be",
            plain().packed_as(gzip(&[&tar[..], &[0; 512]].concat())?),
        ),
        case("nothing at all", "should be", plain().packed_as(vec![])),
    ];
    cases.extend(bombs()?);
    Ok(cases)
}

fn checksummed(tar: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3)?;
    encoder.include_checksum(true)?;
    std::io::Write::write_all(&mut encoder, tar)?;
    Ok(encoder.finish()?)
}

fn bombs() -> Result<Vec<Case>> {
    let zeros = Tar::new().file("zeros", &vec![0; 20 << 20]).end();
    let many = (0..300).fold(Tar::new(), |tar, it| tar.file(&format!("f{it}"), b"")).end();
    let endless = vec![0; 20 << 20];
    let gzip_type = format!("{}+gzip", media::OCI_LAYER);
    let behind = Layer { blob: gzip(&endless)?, diff_id: digest(&endless), media_type: gzip_type };
    Ok(vec![
        bounded("a gzip bomb", "max-size", &["--max-size", "1m"], Layer::gzip(&zeros)?),
        bounded("a zstd bomb", "max-size", &["--max-size", "1m"], Layer::zstd(&zeros)?),
        bounded("a bomb behind the end of the archive", "max-size", &["--max-size", "1m"], behind),
        bounded("a bomb of files", "max-files", &["--max-files", "200"], Layer::gzip(&many)?),
        bounded(
            "a layer that is too large as it is",
            "max-size",
            &["--max-size", "1m"],
            Layer::plain(&zeros),
        ),
    ])
}
