//! What step 14 stops: an image that writes to the host while it is unpacked. Before: the loop over
//! an archive that is in many a tutorial, here as in them. After: this step's `unpack`. No
//! container is needed, and the host is a temporary directory.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Error, Result, ensure};
use evidence::attack::{self, Attack, Host, Outcome};
use image::digest::Digest;
use image::unpack::{self, Limits, Watch};
use nix::unistd::{getegid, geteuid};
use tar::{Builder, EntryType, Header};

fn main() -> ExitCode {
    attack::main(
        "image",
        &[
            Attack {
                name: "dots",
                claim: "names a file above the directory that it is unpacked to",
                outside: Some(|host, after| unpacked(host, after, dots)),
                ..Attack::DEFAULT
            },
            Attack {
                name: "link",
                claim: "makes a symbolic link to the host and writes through it",
                outside: Some(|host, after| unpacked(host, after, through_a_link)),
                ..Attack::DEFAULT
            },
            Attack {
                name: "swap",
                claim: "replaces a directory by a link, half way",
                outside: Some(|host, after| unpacked(host, after, swap)),
                ..Attack::DEFAULT
            },
            Attack {
                name: "hard-link",
                claim: "gives a file of the host a second name and writes to that",
                outside: Some(|host, after| unpacked(host, after, hard_link)),
                ..Attack::DEFAULT
            },
        ],
    )
}

type Archive = Builder<Vec<u8>>;

fn dots(tar: &mut Archive, _: &str) -> Result<()> {
    file(tar, "../host/secret")
}

fn through_a_link(tar: &mut Archive, host: &str) -> Result<()> {
    link(tar, EntryType::Symlink, "l", host)?;
    file(tar, "l/secret")
}

fn swap(tar: &mut Archive, host: &str) -> Result<()> {
    file(tar, "d/innocent")?;
    link(tar, EntryType::Symlink, "d", host)?;
    file(tar, "d/secret")
}

fn hard_link(tar: &mut Archive, host: &str) -> Result<()> {
    link(tar, EntryType::Symlink, "l", host)?;
    link(tar, EntryType::Link, "h", "l/secret")?;
    file(tar, "h")
}

const TEXT: &str = "written by an image";

/// Unpacks an archive beside a file of the host's; whether that file was changed.
fn unpacked(
    place: &Host,
    after: bool,
    make: fn(&mut Archive, &str) -> Result<()>,
) -> Result<Outcome> {
    let (host, root) = (place.dir().join("host"), place.dir().join("image"));
    for directory in [&host, &root] {
        fs::create_dir(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let secret = host.join("secret");
    fs::write(&secret, "the host's").context("cannot write the host's file")?;
    let mut tar = Builder::new(Vec::new());
    make(&mut tar, &host.to_string_lossy()).context("cannot make the archive")?;
    let unpack = if after { ours } else { naive };
    let outcome = unpack(&tar.into_inner()?, &root);
    let text = fs::read_to_string(&secret).context("cannot read the host's file")?;
    Ok(match outcome {
        _ if text == TEXT => {
            Outcome::Worked(format!("a plain loop: the host's file says {text:?}"))
        }
        Err(error) => Outcome::Stopped(by_the_wall(error)?),
        Ok(()) => Outcome::Stopped("the host's file is as it was".into()),
    })
}

/// What refused it, if that was meant to: what has nothing to do with the host proves nothing.
fn by_the_wall(error: Error) -> Result<String> {
    let said = format!("{error:#}");
    match ["its name has a `..`", "leads out of the layer"].iter().any(|it| said.contains(it)) {
        true => Ok(said),
        false => Err(error.context("something else has stopped it")),
    }
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
    // Ours: an ordinary user may give files to nobody else, and that is not what is to stop this.
    header.set_uid(geteuid().as_raw().into());
    header.set_gid(getegid().as_raw().into());
    Ok(header)
}

fn file(tar: &mut Archive, name: &str) -> Result<()> {
    let mut header = header(name, EntryType::Regular, TEXT.len())?;
    header.set_cksum();
    Ok(tar.append(&header, TEXT.as_bytes())?)
}

fn link(tar: &mut Archive, kind: EntryType, name: &str, target: &str) -> Result<()> {
    let mut header = header(name, kind, 0)?;
    header.set_link_name_literal(target)?;
    header.set_cksum();
    Ok(tar.append(&header, &[][..])?)
}
