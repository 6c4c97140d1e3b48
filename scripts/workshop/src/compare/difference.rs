//! In what two containers differ, beside their walls: rights, refused system calls, mounts.

use std::collections::BTreeMap;

use evidence::{calls, capability::Set, idmap::Range, mountinfo::Mount};
use serde::Serialize;

use super::specimen::Specimen;

/// The same question's two answers.
#[derive(Debug, PartialEq, Serialize)]
pub struct Pair<T> {
    pub ours: T,
    pub theirs: T,
}

/// What only one of the two has or does.
#[derive(Serialize)]
pub struct Difference {
    /// Walls that are one's own and the other's host's, by name.
    pub walls: Vec<String>,
    /// `effective`, … to the names that only one's set has.
    pub capabilities: BTreeMap<&'static str, Pair<Vec<String>>>,
    pub uid_map: Pair<String>,
    /// Call to answers, where one is refused and the other is not.
    pub calls: BTreeMap<String, Pair<String>>,
    /// `/dev/shm tmpfs`, where nothing is mounted in the other.
    pub mounts: Pair<Vec<String>>,
}

impl Difference {
    pub fn between(ours: &Specimen, theirs: &Specimen) -> Difference {
        let walls = ours.xray.walls.iter().zip(&theirs.xray.walls);
        let differ = walls.filter(|(ours, theirs)| ours.whose != theirs.whose);
        Difference {
            walls: differ.map(|(wall, _)| wall.name.clone()).collect(),
            capabilities: capabilities(ours, theirs),
            uid_map: Pair { ours: uid_map(ours), theirs: uid_map(theirs) },
            calls: refused_by_one(&ours.probe.calls, &theirs.probe.calls),
            mounts: Pair { ours: only(ours, theirs), theirs: only(theirs, ours) },
        }
    }
}

fn capabilities(ours: &Specimen, theirs: &Specimen) -> BTreeMap<&'static str, Pair<Vec<String>>> {
    let (Some(ours), Some(theirs)) =
        (ours.probe.capabilities.get(), theirs.probe.capabilities.get())
    else {
        return BTreeMap::new();
    };
    let only = |ours: Set, theirs: Set| Pair {
        ours: ours.without(theirs).names(),
        theirs: theirs.without(ours).names(),
    };
    let sets = [
        ("inheritable", ours.inheritable, theirs.inheritable),
        ("permitted", ours.permitted, theirs.permitted),
        ("effective", ours.effective, theirs.effective),
        ("bounding", ours.bounding, theirs.bounding),
        ("ambient", ours.ambient, theirs.ambient),
    ];
    let differ = sets.into_iter().filter(|(_, ours, theirs)| ours != theirs);
    differ.map(|(name, ours, theirs)| (name, only(ours, theirs))).collect()
}

/// As /proc has it, with commas: `0 524288 65536`.
fn uid_map(one: &Specimen) -> String {
    let line = |range: &Range| format!("{} {} {}", range.inside, range.outside, range.count);
    let map = one.process.uid_map.clone();
    map.map(|map| map.iter().map(line).collect::<Vec<_>>().join(", ")).to_string()
}

/// Bad arguments are answered in many ways; what counts is whether one was let in at all.
fn refused_by_one(ours: &calls::Calls, theirs: &calls::Calls) -> BTreeMap<String, Pair<String>> {
    let pair = |(name, answer): (&String, &String)| {
        let pair = Pair { ours: answer.clone(), theirs: theirs.get(name)?.clone() };
        let differ = calls::refused(&pair.ours) != calls::refused(&pair.theirs);
        differ.then(|| (name.clone(), pair))
    };
    ours.iter().filter_map(pair).collect()
}

/// Mounts of the one where the other has none.
fn only(one: &Specimen, other: &Specimen) -> Vec<String> {
    let mounts = |of: &Specimen| of.process.mounts.get().cloned().unwrap_or_default();
    let others = mounts(other);
    let here = |mount: &Mount| !others.iter().any(|other| other.point == mount.point);
    let found = mounts(one).into_iter().filter(here);
    found.map(|mount| format!("{} {}", mount.point, mount.fstype)).collect()
}
