//! A thread that decompresses a layer and hashes what comes out, while another makes the files:
//! a few chunks are on their way between them, so memory is bounded whatever the layer's size.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use anyhow::{Context, Result, bail};
use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use crate::digest::{Digest, Hashing};

const CHUNK: usize = 128 << 10;
const CHUNKS_ON_THEIR_WAY: usize = 8;

/// A window of 8 MiB, the most that a decoder should be asked for, RFC 8878 section 3.1.1.1.2.
const LARGEST_WINDOW: u32 = 23;

/// The unpacked layer, as it comes out of the decoding thread.
pub struct Decoded {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    at: usize,
}

/// Starts to decode `blob`, telling `progress` how much of it was read. More than `limit` bytes out
/// of it are an error: a megabyte of zeros packed twice takes a few bytes.
pub fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    blob: File,
    limit: u64,
    progress: &'scope (dyn Fn(u64) + Sync),
) -> Result<(Decoded, ScopedJoinHandle<'scope, Digest>)> {
    let decoder = decoder(blob, progress)?;
    let (sender, chunks) = sync_channel(CHUNKS_ON_THEIR_WAY);
    let thread = scope.spawn(move || decode(decoder, limit, &sender));
    Ok((Decoded { chunks, chunk: Vec::new(), at: 0 }, thread))
}

/// Tells the format from the first bytes.
fn decoder<'a>(
    blob: File,
    progress: &'a (dyn Fn(u64) + Sync),
) -> Result<Box<dyn Read + Send + 'a>> {
    let mut magic = [0; 6];
    let length = blob.read_at(&mut magic, 0).context("cannot read it")?;
    let input = BufReader::with_capacity(CHUNK, Counted { inner: blob, progress });
    Ok(match &magic[..length] {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(input)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            let mut decoder = ZstdDecoder::with_buffer(input).context("cannot start zstd")?;
            decoder.window_log_max(LARGEST_WINDOW).context("cannot bound zstd's window")?;
            Box::new(decoder)
        }
        [b'B', b'Z', b'h', ..] => bail!("it is compressed by bzip2: only gzip and zstd are used"),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            bail!("it is compressed by xz: only gzip and zstd are used")
        }
        _ => Box::new(input),
    })
}

/// The thread: until the end, an error, or until nobody wants any more.
fn decode(decoder: impl Read, limit: u64, sender: &SyncSender<io::Result<Vec<u8>>>) -> Digest {
    let mut input = Hashing::new(decoder);
    let mut left = limit;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = input.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
        let checked = match read {
            Ok(0) => return input.digest(),
            Ok(length) if length as u64 > left => Err(too_large(limit)),
            Ok(length) => {
                left -= length as u64;
                Ok(chunk)
            }
            Err(error) => Err(named(error)),
        };
        let failed = checked.is_err();
        if sender.send(checked).is_err() || failed {
            return input.digest();
        }
    }
}

fn too_large(limit: u64) -> io::Error {
    io::Error::other(format!("it unpacks to more than {limit} bytes (--max-size)"))
}

/// An errno stays what it is; what the decoders say is put into one sentence.
fn named(error: io::Error) -> io::Error {
    match (error.raw_os_error(), error.kind()) {
        (Some(_), _) => error,
        (None, io::ErrorKind::UnexpectedEof) => {
            io::Error::other("its compressed data ends too early")
        }
        (None, _) => io::Error::other(format!("its compressed data is damaged: {error}")),
    }
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            match self.chunks.recv() {
                Ok(chunk) => (self.chunk, self.at) = (chunk?, 0),
                Err(_) => return Ok(0),
            }
        }
        let length = buffer.len().min(self.chunk.len() - self.at);
        buffer[..length].copy_from_slice(&self.chunk[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

struct Counted<'a> {
    inner: File,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        (self.progress)(length as u64);
        Ok(length)
    }
}
