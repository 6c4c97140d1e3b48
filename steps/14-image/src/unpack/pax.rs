//! What a header has no room for: records `LENGTH KEY=VALUE\n` in a block before it, pax(1),
//! "pax Header File Format". Values may hold any byte, line feeds too.

use anyhow::{Context, Result, bail, ensure};

/// The records that mean something to us. A later one of the same key counts.
#[derive(Default)]
pub struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<(i64, u32)>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: Sparse,
}

/// GNU tar's records of a sparse file, in the three ways that it had over time: "Storing Sparse
/// Files" in its manual.
#[derive(Default)]
pub struct Sparse {
    pub major: Option<u64>,
    pub name: Option<Vec<u8>>,
    pub real_size: Option<u64>,
    /// Offset and length in turn.
    pub map: Vec<u64>,
}

const XATTR: &[u8] = b"SCHILY.xattr.";

/// As many as one file can have; the kernel keeps at most 64 KiB of names, xattr(7).
const MOST_XATTRS: usize = 1000;

impl Pax {
    /// Adds the records in `bytes`.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (record, rest) = split(bytes).context("an extended header is damaged")?;
            let at = record
                .iter()
                .position(|&it| it == b'=')
                .context("an extended header has no `=`")?;
            self.record(&record[..at], &record[at + 1..])?;
            bytes = rest;
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            b"path" => self.path = Some(value.into()),
            b"linkpath" => self.link = Some(value.into()),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(decimal(value)?),
            b"gid" => self.gid = Some(decimal(value)?),
            b"mtime" => self.mtime = Some(time(value)?),
            b"GNU.sparse.major" => self.sparse.major = Some(decimal(value)?),
            b"GNU.sparse.name" => self.sparse.name = Some(value.into()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                self.sparse.real_size = Some(decimal(value)?);
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse.map.push(decimal(value)?),
            b"GNU.sparse.map" if value.is_empty() => {}
            b"GNU.sparse.map" => {
                let numbers = value.split(|&it| it == b',').map(decimal);
                self.sparse.map = numbers.collect::<Result<_>>()?;
            }
            _ => return self.xattr(key, value),
        }
        Ok(())
    }

    fn xattr(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if let Some(name) = key.strip_prefix(XATTR) {
            ensure!(self.xattrs.len() < MOST_XATTRS, "it has more than {MOST_XATTRS} attributes");
            self.xattrs.retain(|(known, _)| known != name);
            self.xattrs.push((name.into(), value.into()));
        }
        Ok(())
    }
}

/// The first record without its length and line feed, and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|&it| it == b' ')?;
    let length = decimal(&bytes[..space]).ok()?.try_into().ok()?;
    let record = bytes.get(space + 1..length)?;
    Some((record.strip_suffix(b"\n")?, &bytes[length..]))
}

pub fn decimal(text: &[u8]) -> Result<u64> {
    let digits = str::from_utf8(text).ok().filter(|it| it.bytes().all(|it| it.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        // The kernel's file sizes and offsets are signed.
        Some(value) if value <= i64::MAX as u64 => Ok(value),
        _ => bail!("a number in an extended header is none: {:?}", text.escape_ascii().to_string()),
    }
}

/// Seconds since 1970, perhaps before it, perhaps with a fraction.
fn time(text: &[u8]) -> Result<(i64, u32)> {
    let negative = text.first() == Some(&b'-');
    let text = &text[usize::from(negative)..];
    let mut parts = text.splitn(2, |&it| it == b'.');
    let whole = decimal(parts.next().unwrap_or_default())? as i64;
    let fraction = parts.next().unwrap_or_default();
    ensure!(fraction.iter().all(u8::is_ascii_digit), "a time in an extended header is none");
    let nanos =
        (0..9).fold(0, |sum, at| sum * 10 + u32::from(fraction.get(at).map_or(0, |it| it - b'0')));
    Ok(match (negative, nanos) {
        (false, _) => (whole, nanos),
        (true, 0) => (-whole, 0),
        (true, _) => (-whole - 1, 1_000_000_000 - nanos),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_hold_any_byte() {
        let mut pax = Pax::default();
        pax.read(b"12 path=a/b\n26 SCHILY.xattr.user.x=\n\n\n17 mtime=-1.5000\n").unwrap();
        assert_eq!(pax.path.unwrap(), b"a/b");
        assert_eq!(pax.xattrs, [(b"user.x".to_vec(), b"\n\n".to_vec())]);
        assert_eq!(pax.mtime, Some((-2, 500_000_000)));
    }

    #[test]
    fn damaged_records() {
        for wrong in [
            "12 path=a/b",
            "99 path=a\n",
            "0 a=b\n",
            "x",
            "7 path\n",
            "12 size=-12\n",
            "31 size=99999999999999999999999\n",
            "10 mtime=\n",
            "3 =\n",
            "18446744073709551615 a=b\n",
        ] {
            assert!(Pax::default().read(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }
}
