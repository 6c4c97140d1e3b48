//! What step 14 stops: an image that writes to the host while it is unpacked. Before: the loop over
//! an archive that is in many a tutorial, here as in them. After: this step's `unpack`. No
//! container is needed, and the host is a temporary directory.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use image::digest::Digest;
use image::unpack::{self, Limits, Watch};
use tar::{Builder, EntryType, Header};

/// Its name, what it does, and how its archive comes about; `host` is the directory to get at.
type Attack = (&'static str, &'static str, fn(&mut Builder<Vec<u8>>, &str) -> Result<()>);

const ATTACKS: [Attack; 4] = [
    ("dots", "names a file above the directory that it is unpacked to", |tar, _| {
        file(tar, "../host/secret")
    }),
    ("link", "makes a symbolic link to the host and writes through it", |tar, host| {
        link(tar, EntryType::Symlink, "l", host)?;
        file(tar, "l/secret")
    }),
    ("swap", "replaces a directory by a link, half way", |tar, host| {
        file(tar, "d/innocent")?;
        link(tar, EntryType::Symlink, "d", host)?;
        file(tar, "d/secret")
    }),
    ("hard-link", "gives a file of the host a second name and writes to that", |tar, host| {
        link(tar, EntryType::Symlink, "l", host)?;
        link(tar, EntryType::Link, "h", "l/secret")?;
        file(tar, "h")
    }),
];

const TEXT: &str = "written by an image";

fn main() -> ExitCode {
    if std::env::args().any(|it| it == "--list") {
        // As JSON, for the tests that run attacks in containers: this one needs none.
        let json = std::env::args().any(|it| it == "--json");
        ATTACKS.iter().filter(|_| !json).for_each(|(name, claim, _)| println!("{name:20} {claim}"));
        return ExitCode::SUCCESS;
    }
    let wrong = ATTACKS.iter().filter(|attack| {
        println!("{}: {}", attack.0, attack.1);
        let before = try_one("before, by a plain loop", attack, naive);
        let after = try_one("after, by this step", attack, ours);
        !matches!((before, after), (Ok(true), Ok(false)))
    });
    ExitCode::from(u8::from(wrong.count() > 0))
}

/// Unpacks the attack's archive beside a file of the host's; whether that file was changed.
fn try_one(when: &str, attack: &Attack, unpack: fn(&[u8], &Path) -> Result<()>) -> Result<bool> {
    let place = tempfile::tempdir()?;
    let (host, root) = (place.path().join("host"), place.path().join("root"));
    fs::create_dir(&host)?;
    fs::create_dir(&root)?;
    fs::write(host.join("secret"), "the host's")?;
    let mut tar = Builder::new(Vec::new());
    attack.2(&mut tar, &host.to_string_lossy())?;
    let unpacked = unpack(&tar.into_inner()?, &root);
    let text = fs::read_to_string(host.join("secret"))?;
    let worked = text == TEXT;
    match unpacked {
        _ if worked => println!("    {when}: worked: the host's file says {text:?}"),
        Err(error) => println!("    {when}: stopped: {error:#}"),
        Ok(()) => println!("    {when}: stopped: the host's file is as it was"),
    }
    Ok(worked)
}

/// The name is joined to the directory, and the file is written there. Nothing looks wrong with it.
fn naive(archive: &[u8], root: &Path) -> Result<()> {
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = root.join(entry.path()?);
        fs::create_dir_all(path.parent().context("it has no parent")?)?;
        let target = entry.link_name()?.unwrap_or_default().into_owned();
        match entry.header().entry_type() {
            EntryType::Symlink => {
                let _ = fs::remove_dir_all(&path);
                symlink(target, path)?;
            }
            EntryType::Link => fs::hard_link(root.join(target), path)?,
            _ => {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes)?;
                fs::write(path, bytes)?;
            }
        }
    }
    Ok(())
}

fn ours(archive: &[u8], root: &Path) -> Result<()> {
    let blob = root.with_extension("tar");
    fs::write(&blob, archive)?;
    let limits = Limits { bytes: 1 << 20, files: 100 };
    let watch = Watch { limits, progress: &|_| (), stopped: &|| false };
    let (blob, root) = (File::open(blob)?, File::open(root)?);
    unpack::layer(blob, &Digest::of(archive), root.into(), true, &watch)?;
    Ok(())
}

/// With the name as it is: the library would not write one with dots.
fn header(name: &str, kind: EntryType, size: usize) -> Result<Header> {
    let mut header = Header::new_ustar();
    ensure!(name.len() < 100, "{name} is too long");
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    Ok(header)
}

fn file(tar: &mut Builder<Vec<u8>>, name: &str) -> Result<()> {
    let mut header = header(name, EntryType::Regular, TEXT.len())?;
    header.set_cksum();
    Ok(tar.append(&header, TEXT.as_bytes())?)
}

fn link(tar: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, target: &str) -> Result<()> {
    let mut header = header(name, kind, 0)?;
    header.set_link_name_literal(target)?;
    header.set_cksum();
    Ok(tar.append(&header, &[][..])?)
}
