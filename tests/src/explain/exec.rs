//! execve(2): the file, or what the file asks for: an interpreter, a loader, a library.

use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

use super::failed::Failed;
use super::place::{Place, Stuck};
use super::{Cause, Explanation, Look, found, mount, rights};
use crate::status::Status;

pub fn causes(errno: Errno) -> Vec<Cause> {
    match errno {
        Errno::ENOENT => vec![
            ("the file is missing", missing),
            ("the interpreter that #! names is missing", interpreter_missing),
            ("the ELF loader is missing", loader_missing),
        ],
        Errno::ENOEXEC => vec![
            ("the file is for another processor", foreign_machine),
            ("the file is neither ELF nor begins with #!", no_format),
        ],
        Errno::EACCES => {
            let all: [Cause; 6] = [
                ("a directory on the way without x", closed),
                ("a directory, or another file that is none", no_file),
                ("the file has no x", no_x),
                ("the mount has noexec", noexec),
                ("the interpreter cannot be executed", interpreter_closed),
                ("a directory without x hides the interpreter", interpreter_hidden),
            ];
            [&all[..], &rights::REFUSALS].concat()
        }
        Errno::ELOOP => {
            vec![("symbolic links in a circle", circle), ("#! names a script, five times", scripts)]
        }
        Errno::ETXTBSY => vec![("somebody has it open for writing", open_for_writing)],
        Errno::EPERM => rights::REFUSALS.to_vec(),
        _ => mount::PATHS.to_vec(),
    }
}

/// The name of the program that was to be executed, without its directory.
pub fn program(failed: &Failed) -> Option<String> {
    if failed.call.name() != "execve" {
        return None;
    }
    let path = failed.text(0).ok()?;
    path.rsplit('/').next().map(String::from)
}

/// Whether this is one of the directories of PATH that simply do not have it.
pub fn is_absent(failed: &Failed) -> bool {
    program(failed).is_some()
        && [Errno::ENOENT, Errno::ENOTDIR].contains(&failed.errno)
        && walk(failed).is_ok_and(|it| it.is_err())
}

/// Where the path leads; an error if the process cannot be asked for it.
fn walk(failed: &Failed) -> Result<Result<Place, Stuck>> {
    Ok(match failed.call.name() {
        "execveat" => failed.walk(failed.int(0), &failed.text(1)?, true),
        _ => failed.walk(libc::AT_FDCWD, &failed.text(0)?, true),
    })
}

fn missing(failed: &Failed) -> Look {
    let name = program(failed).unwrap_or_default();
    match walk(failed)? {
        Ok(_) => Ok(None),
        Err(stuck) => {
            let found = mount::dead_end(&format!("path of {name:?}"), &stuck)?;
            Ok(found.map(|mut it| {
                it.fix = format!(
                    "put {name} into the root directory of the process, or correct PATH and name"
                );
                it
            }))
        }
    }
}

/// The first bytes of the file.
fn head(place: &Place) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let file = place.open().with_context(|| format!("cannot read {}", place.path))?;
    file.take(4096).read_to_end(&mut head).context("cannot read it")?;
    Ok(head)
}

/// What the first line of a script asks for.
fn script(head: &[u8]) -> Option<String> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line).into_owned();
    // A carriage return belongs to the name: that is how files from elsewhere fail.
    let name = line.trim_start_matches([' ', '\t']).split([' ', '\t']).next()?;
    Some(name.to_string())
}

fn interpreter(failed: &Failed) -> Result<Option<(Place, String)>> {
    let place = walk(failed)??;
    Ok(script(&head(&place)?).map(|name| (place, name)))
}

fn interpreter_missing(failed: &Failed) -> Look {
    let Some((place, name)) = interpreter(failed)? else { return Ok(None) };
    let Err(stuck) = failed.walk(libc::AT_FDCWD, &name, true) else {
        return loader_of(failed, &name);
    };
    let ending = if name.ends_with('\r') { " (the line ends with a carriage return)" } else { "" };
    found(
        format!(
            "{} exists; its first line asks for the interpreter {name:?}{ending}, and {:?} does not \
             exist in the process's root",
            place.path, stuck.at
        ),
        "put the interpreter there too, or correct the first line",
    )
}

/// The program header PT_INTERP of an ELF file (64 bits): elf(5).
fn loader(head: &[u8]) -> Option<String> {
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = head.get(at..at + size)?;
        Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    let mut headers = (0..count).map(|index| table + index * size);
    let header = headers.find(|at| number(*at, 4) == Some(3))?;
    let (offset, length) = (number(header + 8, 8)?, number(header + 0x20, 8)?);
    let name = head.get(offset..offset + length)?;
    Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_string())
}

fn loader_missing(failed: &Failed) -> Look {
    let path = walk(failed)??.path;
    loader_of(failed, &path)
}

fn loader_of(failed: &Failed, path: &str) -> Look {
    let place = failed.walk(libc::AT_FDCWD, path, true)?;
    let Some(name) = loader(&head(&place)?) else { return Ok(None) };
    let Err(stuck) = failed.walk(libc::AT_FDCWD, &name, true) else { return Ok(None) };
    found(
        format!(
            "{} exists, and is linked dynamically: it asks for the loader {name}, and {} does not \
             exist in the process's root",
            place.path, stuck.at
        ),
        format!(
            "copy {name} and the libraries that `ldd {}` names into the root directory, or use a \
             static program",
            place.path
        ),
    )
}

/// The loader's own complaint, with which it ends a program: ld.so(8), and musl's.
pub fn missing_library(code: i32, said: &str) -> Option<Explanation> {
    let line = said.lines().rev().find(|line| {
        line.contains("error while loading shared libraries:")
            || line.contains("Error loading shared library")
    })?;
    if code != 127 {
        return None;
    }
    let (program, complaint) = line.split_once(": ").unwrap_or(("", line));
    let after = complaint.rsplit_once("librar").map_or("", |(_, rest)| rest);
    let library = after.split([' ', ':']).find(|word| word.contains(".so")).unwrap_or("a library");
    Some(Explanation {
        call: format!("execve({program:?}) and then its loader"),
        errno: "exit code 127".into(),
        reason: format!(
            "the program and its loader are there, and {library} is not: the loader says {line:?}"
        ),
        fix: format!(
            "copy {library} (see `ldd {program}`) into the root directory, or use a static program"
        ),
        page: "ld.so(8)".into(),
    })
}

/// e_machine, elf(5).
fn machine(head: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(head.get(18..20)?.try_into().ok()?))
}

fn foreign_machine(failed: &Failed) -> Look {
    let (place, ours) = (walk(failed)??, std::fs::read("/proc/self/exe")?);
    let head = head(&place)?;
    let (Some(its), Some(ours)) = (machine(&head), machine(&ours)) else { return Ok(None) };
    if !head.starts_with(b"\x7fELF") || its == ours {
        return Ok(None);
    }
    found(
        format!(
            "{} is an ELF program for another processor: its e_machine is {its}, here it is {ours} \
             (elf.h has the names)",
            place.path
        ),
        "take the program for this machine's processor, or set up qemu-user and binfmt_misc",
    )
}

fn no_format(failed: &Failed) -> Look {
    let place = walk(failed)??;
    let head = head(&place)?;
    let start = String::from_utf8_lossy(&head[..head.len().min(12)]).into_owned();
    match (head.is_empty(), head.starts_with(b"\x7fELF"), head.starts_with(b"#!")) {
        (true, ..) => found(format!("{} is empty", place.path), "write a program into it"),
        (_, true, _) => found(
            format!("{} begins as ELF, and is damaged or cut short", place.path),
            "copy it anew",
        ),
        (_, _, true) => {
            found(format!("the #! line of {} names nothing", place.path), "name an interpreter")
        }
        _ => found(
            format!(
                "{} is neither an ELF program nor a script: it begins with {start:?}, and not \
                 with #!",
                place.path
            ),
            "write #!/bin/sh as its first line",
        ),
    }
}

/// Whether the process may search this directory, or execute this file, by its permission bits.
fn may_execute(status: &Status, file: &Metadata) -> bool {
    let override_ = status.capabilities.effective.names().iter().any(|it| it == "CAP_DAC_OVERRIDE");
    if override_ && (file.is_dir() || file.mode() & 0o111 != 0) {
        return true;
    }
    let (uid, gid) = (status.uids.get(3), status.gids.get(3));
    let bit = match () {
        () if uid == Some(&file.uid()) => 0o100,
        () if gid == Some(&file.gid()) || status.groups.contains(&file.gid()) => 0o010,
        () => 0o001,
    };
    file.mode() & bit != 0
}

fn closed(failed: &Failed) -> Look {
    closed_directory(failed, walk(failed)?)
}

/// Found, if a directory on the way may not be searched.
pub fn closed_directory(failed: &Failed, place: Result<Place, Stuck>) -> Look {
    let mut way = match place {
        Ok(place) => {
            let (mut way, itself) = (place.way.clone(), place.metadata()?);
            if failed.call.name().starts_with("ch") && itself.is_dir() {
                way.push((place.path, itself));
            }
            way
        }
        Err(stuck) => stuck.way,
    };
    let status = failed.status()?;
    way.retain(|(_, it)| it.is_dir() && !may_execute(&status, it));
    let Some((path, it)) = way.first() else { return Ok(None) };
    found(
        format!(
            "the directory {path} has mode {:o} and belongs to {}:{}: the process (uid {}) has no \
             x there, and cannot go through it",
            it.mode() & 0o7777,
            it.uid(),
            it.gid(),
            status.uids.get(3).copied().unwrap_or_default()
        ),
        format!("chmod o+x {path}, or put the root directory elsewhere, such as /srv or /var/tmp"),
    )
}

fn no_file(failed: &Failed) -> Look {
    let place = walk(failed)??;
    if place.metadata()?.is_file() {
        return Ok(None);
    }
    let kind = if place.metadata()?.is_dir() { "a directory" } else { "no regular file" };
    found(format!("{} is {kind}", place.path), "name a program")
}

fn no_x(failed: &Failed) -> Look {
    without_x(failed, &walk(failed)??)
}

fn without_x(failed: &Failed, place: &Place) -> Look {
    let (file, status) = (place.metadata()?, failed.status()?);
    if may_execute(&status, &file) {
        return Ok(None);
    }
    found(
        format!(
            "{} has mode {:o} and belongs to {}:{}: there is no x for the process, uid {}",
            place.path,
            file.mode() & 0o7777,
            file.uid(),
            file.gid(),
            status.uids.get(3).copied().unwrap_or_default()
        ),
        format!("chmod +x {}", place.path),
    )
}

fn noexec(failed: &Failed) -> Look {
    on_noexec(failed, &walk(failed)??)
}

fn on_noexec(failed: &Failed, place: &Place) -> Look {
    let mounts = failed.mounts()?;
    let mount = place.mount(&mounts)?;
    if !mount.has("noexec") {
        return Ok(None);
    }
    found(
        format!(
            "{} is on the mount {}, whose options in /proc/PID/mountinfo are {}",
            place.path,
            mount.point,
            mount.options.join(",")
        ),
        "mount it without noexec, or put the program elsewhere",
    )
}

fn interpreter_closed(failed: &Failed) -> Look {
    let name = match interpreter(failed)? {
        Some((_, name)) => name,
        None => match loader(&head(&walk(failed)??)?) {
            Some(name) => name,
            None => return Ok(None),
        },
    };
    let place = failed.walk(libc::AT_FDCWD, &name, true)?;
    let it = without_x(failed, &place)?;
    let it = if it.is_some() { it } else { on_noexec(failed, &place)? };
    Ok(it.map(|mut it| {
        it.reason = format!("the program asks for the interpreter {name}, and {}", it.reason);
        it
    }))
}

fn interpreter_hidden(failed: &Failed) -> Look {
    let Some((_, name)) = interpreter(failed)? else { return Ok(None) };
    closed_directory(failed, failed.walk(libc::AT_FDCWD, &name, true))
}

fn circle(failed: &Failed) -> Look {
    match walk(failed)? {
        Err(stuck) if stuck.errno == Errno::ELOOP => mount::dead_end("path", &stuck),
        _ => Ok(None),
    }
}

fn scripts(failed: &Failed) -> Look {
    let mut place = walk(failed)??;
    let mut chain = vec![place.path.clone()];
    while let Some(name) = script(&head(&place)?).filter(|_| chain.len() < 8) {
        place = failed.walk(libc::AT_FDCWD, &name, true)?;
        chain.push(place.path.clone());
    }
    if chain.len() < 5 {
        return Ok(None);
    }
    found(
        format!("the first line of each names another script: {}", chain.join(", ")),
        "name a program, not a script, after #!",
    )
}

fn open_for_writing(failed: &Failed) -> Look {
    let place = walk(failed)??;
    let mut writers = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let pid = entry.file_name().display().to_string();
        for descriptor in std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten()
        {
            let same = std::fs::metadata(descriptor.path()).is_ok_and(|it| {
                place.metadata().is_ok_and(|file| (it.dev(), it.ino()) == (file.dev(), file.ino()))
            });
            let info = entry.path().join("fdinfo").join(descriptor.file_name());
            if same
                && pid.parse::<u32>().is_ok()
                && writes(&std::fs::read_to_string(info).unwrap_or_default())
            {
                writers.push(pid.clone());
            }
        }
    }
    anyhow::ensure!(!writers.is_empty(), "no process that we may look into");
    found(
        format!("{} is open for writing in process {}", place.path, writers.join(", ")),
        "close the file before it is executed, in every process that inherited the descriptor",
    )
}

/// The last octal digit of the flags is the access mode.
fn writes(fdinfo: &str) -> bool {
    let flags = fdinfo.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.is_some_and(|flags| flags.trim().ends_with(['1', '2']))
}
