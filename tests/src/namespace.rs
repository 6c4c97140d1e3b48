//! The namespaces of a process: the links of /proc/PID/ns; see namespaces(7).

use std::{collections::BTreeMap, fs, path::Path};

use crate::Answer;

/// The eight kinds, as /proc spells them.
pub const KINDS: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// Kind to link text: `uts` to `uts:[4026531838]`. Two processes share a namespace
/// if and only if the texts are the same.
pub type Namespaces = BTreeMap<String, Answer<String>>;

/// Reads the links under `dir`, a /proc/PID/ns.
pub fn read(dir: &Path) -> Namespaces {
    let link = |kind: &str| -> Answer<String> {
        let target = fs::read_link(dir.join(kind));
        target.map(|path| path.display().to_string()).into()
    };
    KINDS.map(|kind| (kind.to_string(), link(kind))).into()
}
