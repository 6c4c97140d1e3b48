//! One 512-byte block of a tar archive that describes a file: tar(5). Its numbers are octal text,
//! or binary where that has no room; nothing in it is to be believed.

use anyhow::{Context, Result, ensure};
use tar::Header;

pub const BLOCK: usize = 512;

/// A file of `size` bytes is followed by so many that fill the last block.
pub fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// The header in `block`; `None` for the block of zeros that ends an archive.
pub fn parse(block: &[u8; BLOCK]) -> Result<Option<&Header>> {
    if block.iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    let header = Header::from_byte_slice(block);
    let stated = number(&header.as_old().cksum).context("it is no tar archive")?;
    ensure!(
        stated == checksum(block),
        "it is no tar archive, or a damaged one: a checksum is wrong"
    );
    Ok(Some(header))
}

/// The sum of all bytes, with the field of the checksum itself taken as spaces.
fn checksum(block: &[u8; BLOCK]) -> u64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    sum(&block[..148]) + 8 * u64::from(b' ') + sum(&block[156..])
}

/// A number of a header that cannot be negative.
pub fn number(field: &[u8]) -> Result<u64> {
    u64::try_from(signed(field)?).context("a number in a header is negative")
}

/// Octal digits between spaces and NULs; nothing is 0. With its highest bit set the field is a
/// binary number instead, two's complement, the highest byte first.
pub fn signed(field: &[u8]) -> Result<i64> {
    if field[0] & 0x80 != 0 {
        return binary(field);
    }
    let text = field.split(|&byte| byte == 0).next().unwrap_or_default().trim_ascii();
    if text.is_empty() {
        return Ok(0);
    }
    let digits = str::from_utf8(text).ok().filter(|it| it.bytes().all(|it| it.is_ascii_digit()));
    let value = digits.and_then(|digits| i64::from_str_radix(digits, 8).ok());
    value.with_context(|| {
        format!("a number in a header is none: {:?}", text.escape_ascii().to_string())
    })
}

fn binary(field: &[u8]) -> Result<i64> {
    let negative = field[0] & 0x40 != 0;
    let mut value: i64 = if negative { -1 } else { 0 };
    for (at, &byte) in field.iter().enumerate() {
        let byte = if at == 0 && !negative { byte & 0x7f } else { byte };
        ensure!(value.checked_mul(256).is_some(), "a number in a header is too large");
        value = value << 8 | i64::from(byte);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"0000644\0").unwrap(), 0o644);
        assert_eq!(number(b" 644 \0\0\0").unwrap(), 0o644);
        assert_eq!(number(b"\0\0\0\0").unwrap(), 0);
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x01\0\0\0\0").unwrap(), 1 << 32);
        assert_eq!(signed(&[0xff; 12]).unwrap(), -1);
        assert!(number(&[0xff; 12]).is_err());
        for wrong in [&b"0000648\0"[..], b"-1\0", b"x", b"\x80\x01\0\0\0\0\0\0\0\0\0\0"] {
            assert!(number(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn padding_fills_a_block() {
        assert_eq!([0, 1, 511, 512, 513].map(padding), [0, 511, 1, 0, 511]);
    }
}
