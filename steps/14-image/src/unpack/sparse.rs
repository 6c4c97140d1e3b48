//! Files with holes: which parts of them the archive's data is. GNU tar wrote this down in four
//! ways over time ("Storing Sparse Files" in its manual); they all become one list of parts.

use std::io::Read;

use anyhow::{Context, Result, ensure};
use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::entry::Entries;
use super::header::{self, BLOCK};
use super::pax::{Sparse, decimal};

const MOST_PARTS: usize = 1 << 18;
/// What a decimal number and its line feed take.
const LONGEST_NUMBER: u64 = 21;

/// The parts that are data, in order; all else of the file is a hole.
pub struct Map {
    pub size: u64,
    pub parts: Vec<Part>,
}

pub struct Part {
    pub offset: u64,
    pub length: u64,
}

/// The map of the current file of `entries`; a file without holes is one part.
pub fn read<R: Read>(entries: &mut Entries<R>, header: &Header, pax: &Sparse) -> Result<Map> {
    let map = match header.as_gnu() {
        Some(gnu) if header.entry_type().is_gnu_sparse() => {
            let numbers = old(entries, &gnu.sparse, gnu.is_extended())?;
            Map::new(header::number(&gnu.realsize)?, &numbers)?
        }
        _ if pax.major == Some(1) => {
            let numbers = in_data(entries)?;
            Map::new(pax.real_size.context("a sparse file has no size")?, &numbers)?
        }
        _ => match pax.real_size {
            Some(size) => Map::new(size, &pax.map)?,
            None => {
                let size = entries.left();
                return Ok(Map { size, parts: vec![Part { offset: 0, length: size }] });
            }
        },
    };
    let data: u64 = map.parts.iter().map(|part| part.length).sum();
    ensure!(data == entries.left(), "a sparse file has other data than its map says");
    Ok(map)
}

impl Map {
    fn new(size: u64, numbers: &[u64]) -> Result<Map> {
        ensure!(numbers.len() / 2 <= MOST_PARTS, "a sparse file has more than {MOST_PARTS} parts");
        let (mut parts, mut end) = (Vec::new(), 0);
        for pair in numbers.chunks(2) {
            let &[offset, length] = pair else {
                anyhow::bail!("a sparse file's map ends in the middle");
            };
            ensure!(offset >= end, "the parts of a sparse file are not in order");
            end = offset
                .checked_add(length)
                .filter(|end| *end <= size)
                .context("a part of a sparse file lies beyond its end")?;
            parts.push(Part { offset, length });
        }
        Ok(Map { size, parts })
    }
}

/// In the header, four parts of it, and in blocks behind it, 21 in each.
fn old<R: Read>(
    entries: &mut Entries<R>,
    first: &[GnuSparseHeader],
    mut more: bool,
) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    let mut add = |parts: &[GnuSparseHeader]| -> Result<usize> {
        for part in parts.iter().filter(|part| part.offset[0] != 0) {
            numbers.push(header::number(&part.offset)?);
            numbers.push(header::number(&part.numbytes)?);
        }
        Ok(numbers.len())
    };
    add(first)?;
    while more {
        let mut block = GnuExtSparseHeader::new();
        *block.as_mut_bytes() = entries.further_block()?;
        ensure!(add(block.sparse())? / 2 <= MOST_PARTS, "a sparse file has too many parts");
        more = block.is_extended();
    }
    Ok(numbers)
}

/// At the start of the data, as lines of decimal digits up to the end of a block: how many parts,
/// then offset and length of each.
fn in_data<R: Read>(entries: &mut Entries<R>) -> Result<Vec<u64>> {
    let before = entries.left();
    let parts = line(entries)?;
    ensure!(parts <= MOST_PARTS as u64, "a sparse file has more than {MOST_PARTS} parts");
    let numbers = (0..2 * parts).map(|_| line(entries)).collect::<Result<Vec<u64>>>()?;
    let rest = header::padding(before - entries.left());
    let mut padding = [0; BLOCK];
    entries.read_exact(&mut padding[..rest as usize]).context("a sparse file has no data")?;
    Ok(numbers)
}

fn line<R: Read>(entries: &mut Entries<R>) -> Result<u64> {
    let mut digits = Vec::new();
    for _ in 0..LONGEST_NUMBER {
        let mut byte = [0];
        entries.read_exact(&mut byte).context("a sparse file's map has no end")?;
        if byte[0] == b'\n' {
            return decimal(&digits);
        }
        digits.push(byte[0]);
    }
    anyhow::bail!("a number in a sparse file's map is too long")
}
