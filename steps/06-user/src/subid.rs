//! Which ids an ordinary user may use besides their own: /etc/subuid and /etc/subgid, subuid(5).

use std::fs;
use std::path::Path;

/// `count` ids from `first`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub first: u32,
    pub count: u32,
}

/// The first range that `file` grants to the user with this id.
pub fn granted(file: &str, uid: u32) -> Option<Range> {
    let grants = fs::read_to_string(file).ok()?;
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    find(&grants, &users, uid)
}

/// Lines are NAME:FIRST:COUNT or UID:FIRST:COUNT; passwd(5) has the name.
fn find(grants: &str, users: &str, uid: u32) -> Option<Range> {
    let number = uid.to_string();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then_some(name)
    });
    grants.lines().find_map(|line| {
        let who = line.split(':').next()?;
        (who == number || Some(who) == name).then(|| ids(line)).flatten()
    })
}

/// The first range of that size, from `range` upwards, in which nobody is granted an id: a user who
/// has the same ids as root's containers could kill their processes. Some distributions grant
/// their first user what systemd reserves.
pub fn free(range: Range) -> Range {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    above(range, &(read("/etc/subuid") + "\n" + &read("/etc/subgid")))
}

fn above(mut range: Range, grants: &str) -> Range {
    let mut taken: Vec<Range> = grants.lines().filter_map(ids).collect();
    taken.sort_by_key(|taken| taken.first);
    for taken in taken {
        let end = taken.first.saturating_add(taken.count);
        if taken.first < range.first.saturating_add(range.count) && range.first < end {
            range.first = end;
        }
    }
    range
}

/// What one line grants, to whomever.
fn ids(line: &str) -> Option<Range> {
    let mut fields = line.split(':').skip(1).map(|field| field.trim().parse());
    Some(Range { first: fields.next()?.ok()?, count: fields.next()?.ok()? })
}

/// Whether `range` exists in our own user namespace: in a nested one it may not.
///
/// If that cannot be found out the answer is yes, and the kernel refuses the map if it is wrong. A no
/// would make root inside the host's root, without a word.
pub fn is_ours(range: Range) -> bool {
    let Ok(map) = fs::read_to_string("/proc/self/uid_map") else { return true };
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().flat_map(str::parse).collect();
        let end = u64::from(range.first) + u64::from(range.count);
        matches!(numbers[..], [inside, _, count] if inside <= range.first.into() && end <= inside + count)
    })
}

/// Whether newuidmap(1) and newgidmap(1) are on the PATH (package uidmap or shadow-utils).
pub fn helpers_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |program: &str| std::env::split_paths(&path).any(|dir| is_file(&dir.join(program)));
    found("newuidmap") && found("newgidmap")
}

fn is_file(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";

    #[test]
    fn a_grant_is_found_by_name_and_by_number() {
        let range = Some(Range { first: 100_000, count: 65_536 });
        assert_eq!(find("bob:1:2\nann:100000:65536\n", USERS, 1000), range);
        assert_eq!(find("1000:100000:65536\n", USERS, 1000), range);
        assert_eq!(find("bob:1:2\nnonsense\nann:x:y\n", USERS, 1000), None);
    }

    #[test]
    fn roots_range_is_nobody_elses() {
        let wanted = Range { first: 524_288, count: 65_536 };
        let from = |grants| above(wanted, grants).first;
        assert_eq!(from(""), 524_288);
        assert_eq!(from("ann:100000:65536\nbob:589824:65536\n"), 524_288);
        assert_eq!(from("ann:524288:65536\nbob:589824:65536\n"), 655_360);
        assert_eq!(from("bob:580000:10\nann:524000:1000\n"), 580_010);
    }
}
