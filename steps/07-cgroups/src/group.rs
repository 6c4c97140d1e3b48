//! From limits to directories: which are to be made, where, and what is written to their files.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use chroot::Hint;
use nix::libc;

use crate::base::{Base, Hierarchy};
use crate::files::{open, put_into};
use crate::limits::Limits;
use crate::table::{Row, TABLE, Write};
use crate::{v1, v2};

/// A directory that is to be made, in one hierarchy.
#[derive(Debug, Default, PartialEq)]
pub struct Group {
    pub dir: PathBuf,
    pub v2: bool,
    pub controllers: Vec<&'static str>,
    pub writes: Vec<Write>,
}

impl Group {
    fn add(&mut self, controller: &'static str, writes: Vec<Write>) {
        if !writes.is_empty() && !self.controllers.contains(&controller) {
            self.controllers.push(controller);
        }
        self.writes.extend(writes);
    }

    /// Writes the limits, before anyone is in the cgroup.
    pub fn fill(&self) -> Result<()> {
        if !self.v2 && self.controllers.contains(&"cpuset") {
            v1::fill_cpuset(&self.dir)?;
        }
        let mut per_file = self.writes.chunk_by(|one, next| one.file == next.file);
        per_file.try_for_each(|writes| self.fill_file(writes))
    }

    /// Writes all values for one file of this cgroup, each in a write(2) of its own: that is how
    /// these files tell them apart. Errors name the limit; see cgroups(7).
    ///
    /// What nobody `asked` for may fail: a file that is not there is skipped, and so is a value
    /// that is refused. But not a `.deny`: what cannot be forbidden must not pass for forbidden.
    ///
    /// Exercise 7.2
    fn fill_file(&self, writes: &[Write]) -> Result<()> {
        let path = self.dir.join(&writes[0].file);
        let file = open(&path, libc::O_WRONLY);
        if file.is_err() && !writes[0].asked {
            return Ok(());
        }
        let act = || format!("cannot apply {}", writes[0].limit);
        let mut file = file.with_context(act)?;
        writes.iter().try_for_each(|write| match put_into(&mut file, &path, &write.value) {
            // In a container, what the host denies cannot be allowed: devices.allow fails.
            Err(_) if !write.asked && !write.file.ends_with(".deny") => Ok(()),
            done => done.with_context(act),
        })
    }
}

/// Which directories are needed for `limits`, each with what is written to it. The v2 hierarchy
/// first; a controller that it does not have is looked for in v1.
pub fn plan(base: &Base, name: &str, limits: &Limits) -> Result<Vec<Group>> {
    let offered = base.v2.as_ref().map(v2::offered).transpose()?.unwrap_or_default();
    let mut v2 = Group { v2: true, ..Group::default() };
    let mut v1: Vec<Group> = Vec::new();
    for row in TABLE {
        if offered.contains(row.v2.controller) {
            v2.add(row.v2.controller, row.v2(limits));
        } else if let Some(hierarchy) = base.v1(row.v1.controller) {
            add_v1(&mut v1, hierarchy, name, row, row.v1(limits));
        } else if let Some(write) = row.v2(limits).iter().find(|write| write.asked) {
            return Err(absent(write, row));
        }
    }
    let v2 = place_v2(base, name, v2)?;
    if v2.is_none()
        && let Some(freezer) = base.v1("freezer")
        && v1::may_create(&freezer.own)
    {
        v1.push(Group {
            dir: freezer.own.join(name),
            controllers: vec!["freezer"],
            ..Group::default()
        });
    }
    Ok(v2.into_iter().chain(v1).collect())
}

/// Controllers may share a v1 hierarchy (cpu,cpuacct), and then the directory too.
fn add_v1(groups: &mut Vec<Group>, at: &Hierarchy, name: &str, row: &Row, writes: Vec<Write>) {
    let asked = writes.iter().any(|write| write.asked);
    if writes.is_empty() || !asked && !v1::may_create(&at.own) {
        return;
    }
    let dir = at.own.join(name);
    let index = groups.iter().position(|group| group.dir == dir).unwrap_or_else(|| {
        groups.push(Group { dir, ..Group::default() });
        groups.len() - 1
    });
    groups[index].add(row.v1.controller, writes);
}

/// Finds the directory for the v2 cgroup and has its parent hand down what is needed. Without a
/// limit it is made too, where we may: for freeze, kill and accounting.
fn place_v2(base: &Base, name: &str, mut group: Group) -> Result<Option<Group>> {
    let Some(hierarchy) = &base.v2 else { return Ok(None) };
    let Some(parent) = v2::place(hierarchy, &group.controllers) else {
        let alone = |write: &&Write| v2::place(hierarchy, &[controller_of(write)]).is_none();
        let worst = group.writes.iter().find(alone).or(group.writes.first());
        let refusal = worst.map(|it| v2::refusal(hierarchy, it.limit, controller_of(it)));
        return refusal.map_or(Ok(None), Err);
    };
    v2::hand_down(&parent, &group.controllers)?;
    group.dir = parent.join(name);
    Ok(Some(group))
}

/// A file is named after its controller: `memory.max`.
fn controller_of(write: &Write) -> &str {
    write.file.split('.').next().unwrap_or_default()
}

fn absent(write: &Write, row: &Row) -> anyhow::Error {
    let controller = row.v2.controller;
    let hint = format!(
        "if it is not in /proc/cgroups, boot without cgroup_disable={controller} \
         (on a Raspberry Pi: with cgroup_enable={controller})"
    );
    anyhow!("cannot apply {}: this host has no {controller} controller", write.limit)
        .context(Hint(hint))
}
