//! What a registry in good health has, and how it answers: distribution-spec, spec.md, "Pull".

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::TcpStream;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Layout, Request, digest, head, reply};

/// The images of a layout; any tag is its first one.
pub struct Content {
    blobs: BTreeMap<String, Vec<u8>>,
    first: String,
}

impl Content {
    pub fn of(layout: &Layout) -> Result<Content> {
        let index: Value = serde_json::from_slice(&fs::read(layout.path.join("index.json"))?)?;
        let first = index["manifests"][0]["digest"].as_str().context("an empty index")?.to_string();
        let mut blobs = BTreeMap::new();
        for file in fs::read_dir(layout.path.join("blobs/sha256"))? {
            let bytes = fs::read(file?.path())?;
            blobs.insert(digest(&bytes), bytes);
        }
        Ok(Content { blobs, first })
    }

    /// The blob that a request is for.
    pub fn wanted(&self, request: &Request) -> Option<&[u8]> {
        let (kind, reference) = request.path.strip_prefix("/v2/")?.rsplit_once('/')?;
        let tag = kind.ends_with("/manifests") && !reference.contains(':');
        let digest = if tag { self.first.as_str() } else { reference };
        self.blobs.get(digest).map(Vec::as_slice)
    }

    /// Answers as it should be.
    pub fn answer(&self, request: &Request, stream: &mut TcpStream) -> std::io::Result<()> {
        match self.wanted(request) {
            _ if request.path == "/v2/" => reply(stream, "200 OK", &[], b"{}"),
            Some(blob) if request.path.contains("/manifests/") => {
                let kind = format!("Content-Type: {}", media_type(blob));
                reply(stream, "200 OK", &[&kind], blob)
            }
            Some(blob) => part(request, stream, blob, blob.len()),
            None => reply(stream, "404 Not Found", &[], UNKNOWN),
        }
    }
}

const UNKNOWN: &[u8] = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"none"}]}"#;

fn media_type(document: &[u8]) -> String {
    let document: Value = serde_json::from_slice(document).unwrap_or_default();
    document["mediaType"].as_str().unwrap_or_default().to_string()
}

/// A blob from where the request wants it, at most `most` bytes of it.
pub fn part(
    request: &Request,
    stream: &mut TcpStream,
    blob: &[u8],
    most: usize,
) -> std::io::Result<()> {
    let from = offset(request).min(blob.len());
    let (rest, whole) = (&blob[from..], blob.len());
    let length = format!("Content-Length: {}", rest.len());
    let range = format!("Content-Range: bytes {from}-{}/{whole}", whole - 1);
    match from {
        0 => head(stream, "200 OK", &[&length])?,
        _ => head(stream, "206 Partial Content", &[&length, &range])?,
    }
    stream.write_all(&rest[..most.min(rest.len())])
}

/// Where `Range: bytes=N-` begins.
pub fn offset(request: &Request) -> usize {
    let range = request.header("range");
    let from = range.and_then(|it| it.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    from.unwrap_or(0)
}
