//! Who files belong to. In a user namespace only mapped ids can own anything, user_namespaces(7):
//! with a range of ids those of the image are all there, with one id everything becomes root's.

use std::fs;

use anyhow::{Context, Result, ensure};

/// The ids that exist here, from /proc/self/uid_map and gid_map.
pub struct Owners {
    uids: Vec<(u64, u64)>,
    gids: Vec<(u64, u64)>,
    /// How many files became root's because their owner does not exist here.
    pub unmapped: usize,
}

impl Owners {
    pub fn here() -> Result<Owners> {
        let (uids, gids) = (ranges("/proc/self/uid_map")?, ranges("/proc/self/gid_map")?);
        Ok(Owners { uids, gids, unmapped: 0 })
    }

    /// The ids to give a file that an archive says is `uid`'s and `gid`'s.
    pub fn of(&mut self, uid: u64, gid: u64) -> Result<(u32, u32)> {
        // The highest id is chown(2)'s "leave it".
        let most = u64::from(u32::MAX);
        ensure!(uid < most && gid < most, "its owner {uid}:{gid} is none");
        let mapped = |ranges: &[(u64, u64)], id| ranges.iter().any(|it| it.0 <= id && id < it.1);
        let (has_uid, has_gid) = (mapped(&self.uids, uid), mapped(&self.gids, gid));
        self.unmapped += usize::from(!(has_uid && has_gid));
        Ok((if has_uid { uid as u32 } else { 0 }, if has_gid { gid as u32 } else { 0 }))
    }
}

/// Lines of: the first id inside, the first outside, how many.
fn ranges(path: &str) -> Result<Vec<(u64, u64)>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().flat_map(str::parse::<u64>);
        let (first, count) = (numbers.next()?, numbers.nth(1)?);
        Some((first, first + count))
    };
    Ok(text.lines().filter_map(line).collect())
}
