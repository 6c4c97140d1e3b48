//! Killed for want of memory: what happened, said with the limit that was reached.

use std::fmt;

use crate::table::Write;

/// What the container was killed for.
#[derive(Debug)]
pub struct Oom {
    /// How many processes were killed.
    pub kills: u64,
    pub(crate) limit: Option<Write>,
}

impl fmt::Display for Oom {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("killed: out of memory (")?;
        match &self.limit {
            Some(Write { file, value, .. }) => write!(f, "{file} {})", human(value)),
            None => f.write_str("no limit of its own: a cgroup above it, or the host)"),
        }
    }
}

/// Bytes in the largest unit that divides them: `64 MiB`.
fn human(bytes: &str) -> String {
    let Ok(bytes) = bytes.parse::<u64>() else { return bytes.to_string() };
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = units.iter().find(|(shift, _)| bytes > 0 && bytes % (1 << shift) == 0);
    whole.map_or(format!("{bytes} bytes"), |(shift, unit)| format!("{} {unit}", bytes >> shift))
}
