//! The user of an image by name: passwd(5) and group(5) of the image, never the host's. They are
//! read from the layers, from the top down, before there is a container: the maps depend on them.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use crate::unpack::copy;

const LARGEST: u64 = 4 << 20;
/// NGROUPS_MAX.
const MOST_GROUPS: usize = 65536;

/// Who the command is, and where they are at home.
#[derive(Debug, PartialEq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    /// Others that have them as a member.
    pub groups: Vec<u32>,
    pub home: Option<String>,
}

/// The account that `text` names: `USER`, `USER:GROUP`, each a name or a number. `layers` are those
/// of the image, from the bottom up.
pub fn look_up(text: &str, layers: &[File]) -> Result<Account> {
    let read =
        |name| read(layers, name).with_context(|| format!("cannot read /etc/{name} of the image"));
    find(text, &read("passwd")?, &read("group")?).with_context(|| format!("cannot become {text:?}"))
}

fn find(text: &str, passwd: &str, group: &str) -> Result<Account> {
    let (user, wanted) = text.split_once(':').unwrap_or((text, ""));
    let line = entry(passwd, user, 2);
    let uid = match &line {
        Some(line) => line.get(2).and_then(|it| user::id(it)),
        None => user::id(user),
    };
    let uid = uid.with_context(|| format!("the image has no user {user:?}"))?;
    let number = |it: &&str| user::id(it);
    let gid = match (wanted, &line) {
        // Docker's rule: a number that passwd does not know is of root's group.
        ("", None) => Some(0),
        ("", Some(line)) => line.get(3).map_or(Some(0), number),
        (name, _) => entry(group, name, 2).map_or(user::id(name), |it| it.get(2).and_then(number)),
    };
    let gid = gid.with_context(|| format!("the image has no group {wanted:?}"))?;
    // Docker's rule too: whoever names a group has that one alone.
    let named = line.as_ref().and_then(|it| it.first()).filter(|_| wanted.is_empty());
    let groups = named.map_or_else(Vec::new, |name| groups(group, name));
    let home =
        line.and_then(|it| it.get(5).map(|it| it.to_string())).filter(|it| it.starts_with('/'));
    Ok(Account { uid, gid, groups, home })
}

/// The groups that list `user` as a member, group(5): no more than setgroups(2) takes.
fn groups(group: &str, user: &str) -> Vec<u32> {
    let lines = group.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let lists = |line: &Vec<&str>| line.get(3).is_some_and(|it| it.split(',').any(|it| it == user));
    let ids = lines.filter(lists).filter_map(|line| user::id(line.get(2)?));
    ids.take(MOST_GROUPS).collect()
}

/// The line of a name, or of a number.
fn entry<'a>(file: &'a str, who: &str, number: usize) -> Option<Vec<&'a str>> {
    let mut lines = file.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let is_number = who.parse::<u32>().is_ok();
    let by_name = lines.clone().find(|it| it.first() == Some(&who));
    by_name.or_else(|| is_number.then(|| lines.find(|it| it.get(number) == Some(&who))).flatten())
}

/// /etc/NAME as the topmost layer has it that knows anything of it.
fn read(layers: &[File], name: &str) -> Result<String> {
    for layer in layers.iter().rev() {
        let path = format!("etc/{name}");
        match open(layer, Path::new(&path), OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => return text(file),
            Err(Errno::NOENT)
                if open(layer, Path::new("etc"), OFlags::RDONLY)
                    .is_ok_and(|it| copy::is_opaque(&it)) =>
            {
                break;
            }
            Err(Errno::NOENT) => {}
            // No directory: deleted, or replaced by something else.
            Err(Errno::NOTDIR | Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(String::new())
}

fn text(file: OwnedFd) -> Result<String> {
    let kind = FileType::from_raw_mode(fstat(&file)?.st_mode);
    if kind != FileType::RegularFile {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    File::from(file).take(LARGEST + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= LARGEST, "it has more than {LARGEST} bytes");
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn open(layer: impl AsFd, path: &Path, access: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(layer, path, access | OFlags::CLOEXEC, Mode::empty(), resolve)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:34:www:/var/www:/sbin/nologin\n7:x:70:70::/:\n\
    same:x:4294967295:1::/:\ngroup:x:1:4294967295::/:\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:\nadm:x:4:www\n";

    #[test]
    fn names_and_numbers() {
        let found = |text| find(text, PASSWD, GROUP).ok().map(|it| (it.uid, it.gid));
        assert_eq!(found("www"), Some((33, 34)));
        assert_eq!(found("33"), Some((33, 34)));
        assert_eq!(found("33:4"), Some((33, 4)));
        assert_eq!(found("www:adm"), Some((33, 4)));
        assert_eq!(found("1000"), Some((1000, 0)));
        assert_eq!(found("1000:1001"), Some((1000, 1001)));
        assert_eq!(found("7"), Some((70, 70)));
        assert_eq!(found("nobody"), None);
        assert_eq!(found("www:nobody"), None);
        assert_eq!(found("-1"), None);
        // Who became this one would stay who they are: root.
        for text in ["4294967295", "1:4294967295", "same", "group"] {
            assert_eq!(found(text), None, "{text}");
        }
        let account = |text| find(text, PASSWD, GROUP).unwrap();
        assert_eq!(account("www").home.unwrap(), "/var/www");
        assert_eq!((account("www").groups, account("33").groups), (vec![4], vec![4]));
        assert!(account("www:adm").groups.is_empty() && account("root").groups.is_empty());
    }
}
