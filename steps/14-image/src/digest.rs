//! A digest names content by what it is: whoever has the name can tell whether the content is
//! right, wherever it came from. image-spec, descriptor.md, "Digests". Only SHA-256 is in use.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const BUFFER: usize = 128 << 10;

/// `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    hex: String,
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest::from(Sha256::new_with_prefix(bytes))
    }

    /// Without the algorithm: the name of a file in blobs/sha256.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// Enough for people.
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }
}

impl From<Sha256> for Digest {
    fn from(hash: Sha256) -> Digest {
        Digest { hex: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect() }
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Digest> {
        let Some(hex) = text.strip_prefix("sha256:") else {
            bail!("{text:?} is not a digest by sha256");
        };
        // Lower case only: two spellings would be two names of one file.
        let digit = |it: u8| matches!(it, b'0'..=b'9' | b'a'..=b'f');
        ensure!(hex.len() == 64 && hex.bytes().all(digit), "{text:?} is not a digest");
        Ok(Digest { hex: hex.into() })
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Digest, String> {
        text.parse().map_err(|error: Error| error.to_string())
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "sha256:{}", self.hex)
    }
}

/// The error of content that is not what it should be, and will not become it.
#[derive(Debug)]
pub struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// Watches content go by: its size while it comes, its digest at the end.
pub struct Verifier {
    hash: Sha256,
    seen: u64,
    size: u64,
}

impl Verifier {
    /// For content of `size` bytes.
    pub fn new(size: u64) -> Verifier {
        Verifier { hash: Sha256::new(), seen: 0, size }
    }

    /// Lets all of `input` go by, and hands it on to `sink`, piece by piece.
    ///
    /// Whoever sends it may send anything, and without end: read(2) into a buffer that does not
    /// grow, until there is nothing. Each piece is counted in `seen` and goes into the `hash` before
    /// `sink` gets it. What is longer than `size` is `Wrong` at once, not at an end that may never
    /// come.
    ///
    /// Exercise 14.2
    pub fn pass(
        &mut self,
        input: &mut dyn Read,
        mut sink: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = input.read(&mut buffer).context("cannot receive it")?;
            if length == 0 {
                return Ok(());
            }
            self.seen += length as u64;
            let most = self.size;
            ensure!(
                self.seen <= most,
                Wrong(format!("it is longer than the {most} bytes that it should be"))
            );
            self.hash.update(&buffer[..length]);
            sink(&buffer[..length])?;
        }
    }

    /// How many bytes went by.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// All of it has come: is it what `expected` names?
    pub fn finish(self, expected: &Digest) -> Result<()> {
        let (seen, size) = (self.seen, self.size);
        ensure!(seen == size, Wrong(format!("it has {seen} bytes and should have {size}")));
        let digest = Digest::from(self.hash);
        let wrong = || Wrong(format!("its digest is {digest} and should be {expected}"));
        ensure!(digest == *expected, wrong());
        Ok(())
    }
}

/// A reader that hashes what it hands on, for content whose size is not told.
pub struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Hashing<R> {
    pub fn new(inner: R) -> Hashing<R> {
        Hashing { inner, hash: Sha256::new() }
    }

    pub fn digest(self) -> Digest {
        self.hash.into()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_what_its_digest_says() {
        let digest = Digest::of(b"hello");
        assert_eq!(digest.short(), "2cf24dba5fb0");
        let verify = |bytes: &[u8], size, digest: &Digest| {
            let mut verifier = Verifier::new(size);
            verifier.pass(&mut &*bytes, |_| Ok(())).and_then(|()| verifier.finish(digest))
        };
        assert!(verify(b"hello", 5, &digest).is_ok());
        for (bytes, size) in [(&b"hell"[..], 5), (b"hello!", 5), (b"hello", 6), (b"jello", 5)] {
            assert!(verify(bytes, size, &digest).is_err());
        }
    }

    #[test]
    fn only_one_spelling() {
        let hex = "a".repeat(64);
        assert!(format!("sha256:{hex}").parse::<Digest>().is_ok());
        for text in [&hex, &format!("sha256:{}", hex.to_uppercase()), &format!("sha256:{hex}/../x")]
        {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
