//! /proc/PID/uid_map and gid_map: which ids of a user namespace are which ids outside.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One line: `count` ids from `inside` on are the ids from `outside` on; user_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

impl Range {
    /// The map of the first user namespace: every id is itself.
    pub const ALL: Range = Range { inside: 0, outside: 0, count: u32::MAX };
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {} {}", self.inside, self.outside, self.count)
    }
}

/// Reads a map file. An empty one (not yet written) is an empty list.
pub fn parse(text: &str) -> Vec<Range> {
    text.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Range> {
    let mut words = text.split_whitespace().map(str::parse);
    let mut next = || words.next()?.ok();
    Some(Range { inside: next()?, outside: next()?, count: next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read() {
        assert_eq!(parse("         0          0 4294967295\n"), [Range::ALL]);
        let two = parse("0 1000 1\n1 100000 65536\n");
        assert_eq!(two[1].to_string(), "1 100000 65536");
        assert_eq!(parse(""), []);
    }
}
