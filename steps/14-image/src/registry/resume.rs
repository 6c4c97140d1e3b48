//! A blob's bytes over connections that may break: each time, the rest is asked for, RFC 9110
//! section 14.2. Only a registry that gives us nothing at all for several times in a row ends it.

use std::io::{self, Read};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use ureq::Body;
use ureq::BodyReader;
use ureq::http::{Response, StatusCode};

use super::Registry;
use super::answer::back_off;
use crate::digest::Digest;
use crate::manifest::Descriptor;

/// In a row, without a single byte.
const FAILURES: u32 = 5;

pub struct Resuming<'a> {
    registry: &'a Registry,
    digest: Digest,
    size: u64,
    at: u64,
    body: BodyReader<'static>,
    failures: u32,
}

impl<'a> Resuming<'a> {
    pub fn start(registry: &'a Registry, descriptor: &Descriptor, at: u64) -> Result<Resuming<'a>> {
        let (digest, size) = (descriptor.digest.clone(), descriptor.size);
        let body = open(registry, &digest, size, at)?;
        Ok(Resuming { registry, digest, size, at, body, failures: 0 })
    }

    /// After a connection has ended too early, or with `error`.
    fn again(&mut self, error: io::Error) -> io::Result<()> {
        self.failures += 1;
        if self.failures >= FAILURES {
            return Err(error);
        }
        thread::sleep(back_off(self.failures - 1));
        self.body =
            open(self.registry, &self.digest, self.size, self.at).map_err(io::Error::other)?;
        Ok(())
    }
}

/// Asks for a blob from byte `at` on; one who sends all of it anyway is read up to there.
fn open(registry: &Registry, digest: &Digest, size: u64, at: u64) -> Result<BodyReader<'static>> {
    let response = registry.get(&format!("blobs/{digest}"), at)?;
    let skip = match response.status() {
        StatusCode::PARTIAL_CONTENT => {
            check_range(&response, at)?;
            0
        }
        _ => at,
    };
    let rest = size - (at - skip);
    let length = response.headers().get("content-length").and_then(|it| it.to_str().ok());
    if let Some(length) = length.and_then(|it| it.parse::<u64>().ok()) {
        ensure!(length == rest, "the registry announces {length} bytes of it, and it has {rest}");
    }
    let mut body = response.into_body().into_reader();
    let skipped = io::copy(&mut body.by_ref().take(skip), &mut io::sink());
    ensure!(skipped.context("cannot receive it")? == skip, "the registry sends less than before");
    Ok(body)
}

/// `Content-Range: bytes 100-199/200` must begin where we asked.
fn check_range(response: &Response<Body>, at: u64) -> Result<()> {
    let range = response.headers().get("content-range").and_then(|it| it.to_str().ok());
    let start = range.and_then(|it| it.strip_prefix("bytes ")).and_then(|it| it.split('-').next());
    match start.and_then(|it| it.parse::<u64>().ok()) {
        Some(start) if start == at => Ok(()),
        _ => bail!("the registry sends another part than byte {at} and what follows"),
    }
}

impl Read for Resuming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.body.read(buffer) {
                Ok(0) if self.at < self.size && !buffer.is_empty() => {
                    self.again(io::Error::other("the connection ends too early"))?;
                }
                Ok(length) => {
                    self.at += length as u64;
                    self.failures = if length > 0 { 0 } else { self.failures };
                    return Ok(length);
                }
                // Nobody there: to wait as long again and again is no use.
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    self.failures += 2;
                    self.again(io::Error::other(
                        "the registry has said nothing for too long (--timeout)",
                    ))?;
                }
                Err(error) => self.again(error)?,
            }
        }
    }
}
