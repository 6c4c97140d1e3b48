//! The floors under an image's unpacking. `files make DIR TAR…` makes the files of plain archives that
//! are in memory already, by the fewest system calls there are for it, and checks nothing. `files
//! decode BLOB…` decompresses gzip and throws it away.

use std::collections::HashSet;
use std::fs::{File, create_dir_all, hard_link};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::unistd::{FchownatFlags, Gid, Uid, fchownat};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", directory, ref archives @ ..] => {
            let mut made = HashSet::new();
            archives.iter().try_for_each(|it| make(Path::new(directory), it, &mut made))
        }
        ["decode", ref blobs @ ..] => blobs.iter().try_for_each(|it| {
            let mut input = MultiGzDecoder::new(File::open(it)?);
            io::copy(&mut input, &mut io::sink()).map(drop).context("cannot decompress it")
        }),
        _ => bail!("usage: files make DIR TAR... | files decode BLOB..."),
    }
}

fn make(directory: &Path, archive: &str, made: &mut HashSet<PathBuf>) -> Result<()> {
    for entry in tar::Archive::new(File::open(archive)?).entries()? {
        let mut entry = entry?;
        let path = directory.join(entry.path()?);
        let act = || format!("cannot make {}", path.display());
        let parent = path.parent().context("no parent")?;
        if made.insert(parent.into()) {
            create_dir_all(parent).with_context(act)?;
        }
        match entry.link_name()? {
            _ if entry.header().entry_type().is_dir() => create_dir_all(&path).with_context(act)?,
            Some(target) if entry.header().entry_type().is_symlink() => {
                symlink(target, &path).with_context(act)?
            }
            Some(target) => hard_link(directory.join(target), &path).with_context(act)?,
            None => {
                let mut file = File::create_new(&path).with_context(act)?;
                io::copy(&mut entry, &mut file)?;
                file.set_permissions(PermissionsExt::from_mode(entry.header().mode()?))?;
            }
        }
        finish(&path, entry.header())?;
    }
    Ok(())
}

/// Owner and time.
fn finish(path: &Path, header: &tar::Header) -> Result<()> {
    let (uid, gid) = (header.uid()? as u32, header.gid()? as u32);
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    fchownat(nix::fcntl::AT_FDCWD, path, uid, gid, FchownatFlags::AT_SYMLINK_NOFOLLOW)?;
    let time = TimeSpec::seconds(header.mtime()? as i64);
    Ok(utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink)?)
}
