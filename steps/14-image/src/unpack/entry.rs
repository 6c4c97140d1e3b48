//! A tar archive as a sequence of files: headers, the extensions before them, and the data between
//! them. The archive is read once, from the front, and no part of it is ever held but one name.

use std::io::{self, Read};

use anyhow::{Context, Result, bail, ensure};
use tar::{EntryType, Header};

use super::header::{self, BLOCK};
use super::pax::Pax;
use super::sparse::{self, Map};

/// Go's limit too, and so that of the tools that make images: archive/tar, maxSpecialFileSize.
const LARGEST_EXTENSION: u64 = 1 << 20;

/// One file of the archive.
pub struct Entry {
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub kind: EntryType,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: (i64, u32),
    /// Major and minor number.
    pub device: (u64, u64),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Which parts of the file the data is, if not all of it.
    pub map: Map,
}

/// The archive. It is also the reader of the current file's data.
pub struct Entries<R> {
    input: R,
    /// Of the current file: data that was not read yet, and what fills its last block.
    left: u64,
    padding: u64,
    /// How many bytes of extensions the current file has had.
    extensions: u64,
}

impl<R: Read> Entries<R> {
    pub fn new(input: R) -> Entries<R> {
        Entries { input, left: 0, padding: 0, extensions: 0 }
    }

    /// The next file, `None` at the end. What was not read of the one before is skipped.
    pub fn next(&mut self) -> Result<Option<Entry>> {
        let mut pax = Pax::default();
        self.extensions = 0;
        loop {
            self.skip()?;
            let Some(block) = self.block()? else { return Ok(None) };
            let Some(header) = header::parse(&block)? else { return Ok(None) };
            let size = header::number(&header.as_old().size)?;
            match header.entry_type() {
                EntryType::XHeader => pax.read(&self.extension(size)?)?,
                EntryType::XGlobalHeader => drop(self.extension(size)?),
                EntryType::GNULongName => pax.path = Some(self.name(size)?),
                EntryType::GNULongLink => pax.link = Some(self.name(size)?),
                kind => return self.entry(header, kind, pax, size).map(Some),
            }
        }
    }

    fn entry(&mut self, header: &Header, kind: EntryType, pax: Pax, size: u64) -> Result<Entry> {
        let old = header.as_old();
        // Old tars mark a directory by a slash alone.
        let path = pax.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = match kind {
            EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => {
                EntryType::Directory
            }
            EntryType::Continuous => EntryType::Regular,
            kind => kind,
        };
        let has_data = matches!(kind, EntryType::Regular | EntryType::GNUSparse);
        let size = if has_data { pax.size.unwrap_or(size) } else { 0 };
        (self.left, self.padding) = (size, header::padding(size));
        let map = sparse::read(self, header, &pax.sparse)?;
        Ok(Entry {
            path: pax.sparse.name.unwrap_or(path),
            link: pax
                .link
                .unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned()),
            kind,
            mode: header::number(&old.mode)? as u32 & 0o7777,
            uid: pax.uid.map_or_else(|| header::number(&old.uid), Ok)?,
            gid: pax.gid.map_or_else(|| header::number(&old.gid), Ok)?,
            mtime: pax.mtime.map_or_else(|| header::signed(&old.mtime).map(|it| (it, 0)), Ok)?,
            device: device(header, kind)?,
            xattrs: pax.xattrs,
            map,
        })
    }

    /// The data of a header that describes the next one.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        self.extensions = self.extensions.saturating_add(size);
        ensure!(self.extensions <= LARGEST_EXTENSION, "an extended header has {size} bytes");
        let mut bytes = Vec::new();
        self.input.by_ref().take(size).read_to_end(&mut bytes)?;
        ensure!(bytes.len() as u64 == size, "the archive ends within an extended header");
        self.padding = header::padding(size);
        Ok(bytes)
    }

    /// GNU tar's way to a long name: it ends with a NUL.
    fn name(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut name = self.extension(size)?;
        name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
        Ok(name)
    }

    /// The next block, `None` at the end of the input: some tools leave the last zeros out.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => bail!("the archive ends within a header"),
                length => filled += length,
            }
        }
        Ok(Some(block))
    }

    /// A block that belongs to the current header, before its data.
    pub fn further_block(&mut self) -> Result<[u8; BLOCK]> {
        self.block()?.context("the archive ends within a header")
    }

    /// How much of the current file's data was not read yet.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// What is left of the current file. An archive may end right behind the last file's data: so
    /// do those that umoci 0.4 writes.
    fn skip(&mut self) -> Result<()> {
        let skipped = io::copy(&mut self.input.by_ref().take(self.left), &mut io::sink())?;
        ensure!(skipped == self.left, "the archive ends within a file");
        io::copy(&mut self.input.by_ref().take(self.padding), &mut io::sink())?;
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// What stands behind the end of the archive is hashed, and that is all.
    pub fn finish(mut self) -> Result<()> {
        io::copy(&mut self.input, &mut io::sink())?;
        Ok(())
    }
}

impl<R: Read> Read for Entries<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let length = self.input.read(&mut buffer[..most])?;
        if length == 0 && most > 0 {
            return Err(io::Error::other("the archive ends within a file"));
        }
        self.left -= length as u64;
        Ok(length)
    }
}

/// Major and minor number, which only devices have.
fn device(header: &Header, kind: EntryType) -> Result<(u64, u64)> {
    let numbers = header.as_ustar().map(|it| (&it.dev_major, &it.dev_minor));
    let numbers = numbers.or(header.as_gnu().map(|it| (&it.dev_major, &it.dev_minor)));
    match numbers {
        Some((major, minor)) if kind.is_character_special() || kind.is_block_special() => {
            Ok((header::number(major)?, header::number(minor)?))
        }
        _ => Ok((0, 0)),
    }
}
