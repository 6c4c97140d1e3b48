//! The files of an image that came by USB stick: in a directory, or in a tar archive whose members
//! are found once and then read where they lie.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

const MOST_MEMBERS: usize = 100_000;

pub enum Files {
    Directory(OwnedFd),
    Archive { file: File, members: HashMap<String, Member> },
}

/// Where a member's data is, or which other one it links to: `docker save` once wrote such links.
pub enum Member {
    Data { offset: u64, size: u64 },
    Link(String),
}

impl Files {
    pub fn open(path: &Path) -> Result<Files> {
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Ok(Files::Directory(file.into()));
        }
        refuse_compressed(&file)?;
        let members = scan(&file)?;
        Ok(Files::Archive { file, members })
    }

    /// Opens a file by its name; gives its size, too.
    pub fn get(&self, name: &str) -> Result<(Box<dyn Read + Send + '_>, u64)> {
        let (file, size) = match self {
            Files::Directory(directory) => open(directory, name),
            Files::Archive { file, members } => find(file, members, name),
        }
        .with_context(|| format!("cannot read {name:?} there"))?;
        Ok((file, size))
    }

    /// A whole small file; `None` if it is not there.
    pub fn small(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let (file, size) = match self.get(name) {
            Err(error) if is_missing(&error) => return Ok(None),
            got => got?,
        };
        ensure!(size <= most, "{name} has {size} bytes, and {most} are the most");
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
        Ok(Some(bytes))
    }
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.root_cause().downcast_ref() == Some(&rustix::io::Errno::NOENT)
}

/// Not what a link or a fifo of that name would lead to.
fn open(directory: &OwnedFd, name: &str) -> Result<(Box<dyn Read + Send + 'static>, u64)> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(directory, name, flags, Mode::empty(), resolve)?;
    let stat = fstat(&file)?;
    ensure!(
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
        "it is no regular file"
    );
    Ok((Box::new(File::from(file)), stat.st_size as u64))
}

fn find<'a>(
    file: &'a File,
    members: &HashMap<String, Member>,
    name: &str,
) -> Result<(Box<dyn Read + Send + 'a>, u64)> {
    let mut member = members.get(name).ok_or(rustix::io::Errno::NOENT)?;
    if let Member::Link(target) = member {
        member = members.get(target).ok_or(rustix::io::Errno::NOENT)?;
    }
    match *member {
        Member::Data { offset, size } => {
            Ok((Box::new(Part { file, at: offset, end: offset + size }), size))
        }
        Member::Link(_) => bail!("it links to a link"),
    }
}

/// Members are read where they lie, and of a compressed archive only the whole can be read.
fn refuse_compressed(file: &File) -> Result<()> {
    let mut magic = [0; 4];
    let length = file.read_at(&mut magic, 0)?;
    let (by, hint) = match &magic[..length] {
        [0x1f, 0x8b, ..] => ("gzip", "`gunzip` makes an archive of it that can be imported"),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            ("zstd", "`unzstd` makes an archive of it that can be imported")
        }
        _ => return Ok(()),
    };
    Err(anyhow!("it is compressed by {by}").context(chroot::Hint(hint.into())))
}

/// Goes through the archive by its headers alone.
fn scan(file: &File) -> Result<HashMap<String, Member>> {
    let size = file.metadata()?.len();
    let mut archive = tar::Archive::new(file);
    let mut members = HashMap::new();
    for entry in archive.entries_with_seek()?.raw(true) {
        let entry = entry.map_err(no_archive)?;
        ensure!(members.len() < MOST_MEMBERS, "it has more than {MOST_MEMBERS} members");
        let name =
            String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_string();
        let member = match entry.header().entry_type() {
            kind if kind.is_file() => {
                let (offset, length) = (entry.raw_file_position(), entry.size());
                let end = offset.checked_add(length);
                ensure!(end.is_some_and(|end| end <= size), "it ends within {name:?}");
                Member::Data { offset, size: length }
            }
            kind if kind.is_symlink() || kind.is_hard_link() => {
                let target = entry.link_name_bytes().unwrap_or_default();
                Member::Link(target_of(&name, &String::from_utf8_lossy(&target), kind.is_symlink()))
            }
            _ => continue,
        };
        members.insert(name, member);
    }
    Ok(members)
}

/// What the library says of it quotes the file.
fn no_archive(error: io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(_) => error.into(),
        None => anyhow!("it is no tar archive, or a damaged one"),
    }
}

/// `ID/layer.tar` links to `../OTHER/layer.tar`; it is looked up by name, so it leads nowhere else.
fn target_of(name: &str, target: &str, relative: bool) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    if !relative {
        parts.clear();
    }
    for part in target.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A part of a file; reading moves no offset that others share.
struct Part<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let length = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_members() {
        assert_eq!(target_of("one/layer.tar", "../two/layer.tar", true), "two/layer.tar");
        assert_eq!(target_of("one/layer.tar", "two/layer.tar", false), "two/layer.tar");
        assert_eq!(target_of("one/layer.tar", "../../../etc/passwd", true), "etc/passwd");
    }
}
