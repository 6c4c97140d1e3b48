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
        let mut fields = line.split(':');
        let who = fields.next()?;
        let first = fields.next()?.trim().parse().ok()?;
        let count = fields.next()?.trim().parse().ok()?;
        (who == number || Some(who) == name).then_some(Range { first, count })
    })
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
}
