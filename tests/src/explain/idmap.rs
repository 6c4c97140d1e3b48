//! Writing /proc/PID/uid_map, gid_map and setgroups: who may write which lines, and when,
//! user_namespaces(7). The order of the reasons is the kernel's (kernel/user_namespace.c).

use std::fs;

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::failed::Failed;
use super::{Cause, Look, found, rights};
use crate::idmap::{Range, parse};
use crate::status::Status;

/// Whether the descriptor is open on one of the files.
pub fn is_map(failed: &Failed) -> bool {
    file(failed).is_ok()
}

pub fn causes(failed: &Failed) -> Vec<Cause> {
    match (failed.errno, file(failed).unwrap_or_default().as_str()) {
        (Errno::EPERM, "setgroups") => vec![
            ("setgroups cannot be allowed again", allowed_again),
            ("gid_map is written already", groups_mapped),
        ],
        (Errno::EPERM, _) => {
            let all: [Cause; 7] = [
                ("the map is written already", written),
                ("the writer is neither in the user namespace nor in its parent", elsewhere),
                ("the writer has no CAP_SYS_ADMIN in the user namespace", no_admin),
                ("an unprivileged writer of gid_map has not denied setgroups", not_denied),
                ("more than one id, by a writer without CAP_SETUID or CAP_SETGID", several),
                ("an id that is not the writer's own", not_own),
                ("an id that the parent user namespace has not", not_in_parent),
            ];
            [&all[..], &rights::REFUSALS[..2]].concat()
        }
        (Errno::EINVAL, _) => vec![
            ("a line is not three numbers", format),
            ("lines overlap", overlap),
            ("the whole map is not written at once", in_parts),
        ],
        _ => vec![],
    }
}

/// `uid_map`, `gid_map` or `setgroups`.
fn file(failed: &Failed) -> Result<String> {
    let path = failed.open_on(failed.int(0))?;
    let (directory, name) = path.rsplit_once('/').context("it is no file of /proc")?;
    anyhow::ensure!(
        directory.contains("/proc")
            || directory.rsplit('/').next().is_some_and(|it| it.parse::<u32>().is_ok()),
        "it is no file of /proc"
    );
    anyhow::ensure!(["uid_map", "gid_map", "setgroups"].contains(&name), "it is no map");
    Ok(name.to_string())
}

/// The process whose map it is, by the number in the name of the file.
fn owner(failed: &Failed) -> Result<Failed> {
    let path = failed.open_on(failed.int(0))?;
    let number = path.rsplit('/').find_map(|it| it.parse().ok()).context("it names no process")?;
    Ok(Failed {
        pid: nix::unistd::Pid::from_raw(number),
        context: None,
        log: Vec::new(),
        ..*failed
    })
}

/// What stands in the file that is written, or its neighbour.
fn neighbour(failed: &Failed, name: &str) -> Result<String> {
    owner(failed)?.proc_text(name)
}

fn written(failed: &Failed) -> Look {
    let file = file(failed)?;
    let text = neighbour(failed, &file)?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let lines: Vec<String> = parse(&text).iter().map(Range::to_string).collect();
    found(
        format!(
            "{file} has been written already ({}): it can be written once, and for good",
            lines.join("; ")
        ),
        "write all lines at once, and only once",
    )
}

fn elsewhere(failed: &Failed) -> Look {
    let (own, there) = (failed.link("ns/user")?, owner(failed)?.link("ns/user")?);
    if own == there || owner(failed)?.depth()? == failed.depth()? + 1 {
        return Ok(None);
    }
    found(
        format!("the writer is in {own}, the map is that of {there}, which is not a child of it"),
        "the parent, in the user namespace from which the new one was made, writes the map",
    )
}

fn no_admin(failed: &Failed) -> Look {
    // Whoever has made a user namespace has all capabilities over it, from the parent namespace.
    if failed.link("ns/user")? != owner(failed)?.link("ns/user")? {
        return Ok(None);
    }
    rights::lacks_in_own(failed, "CAP_SYS_ADMIN")
}

fn lines(failed: &Failed) -> Result<Vec<Range>> {
    Ok(parse(&failed.written()?))
}

/// The capability that frees from the rules for everyone, in the parent of the user namespace.
fn privileged(failed: &Failed) -> Result<bool> {
    let capability = if file(failed)? == "uid_map" { "CAP_SETUID" } else { "CAP_SETGID" };
    let outside = failed.link("ns/user")? != owner(failed)?.link("ns/user")?;
    Ok(outside && failed.has(capability)?)
}

fn not_denied(failed: &Failed) -> Look {
    if file(failed)? != "gid_map" || privileged(failed)? {
        return Ok(None);
    }
    if neighbour(failed, "setgroups")?.trim() == "deny" {
        return Ok(None);
    }
    found(
        "setgroups of that process says allow, and the writer is not privileged: it could leave \
         groups that deny it access",
        "write \"deny\" to /proc/PID/setgroups before gid_map",
    )
}

fn several(failed: &Failed) -> Look {
    let lines = lines(failed)?;
    let count: u64 = lines.iter().map(|it| u64::from(it.count)).sum();
    if privileged(failed)? || (lines.len() < 2 && count < 2) {
        return Ok(None);
    }
    let (file, which) = match file(failed)?.as_str() {
        "uid_map" => ("uid_map", "CAP_SETUID"),
        _ => ("gid_map", "CAP_SETGID"),
    };
    found(
        format!(
            "{count} ids in {} lines are to be mapped in {file}, and the writer has no {which} in \
             the parent user namespace: without it, one id is all",
            lines.len()
        ),
        "map only your own id, or have newuidmap and newgidmap write what /etc/subuid grants you",
    )
}

fn not_own(failed: &Failed) -> Look {
    if privileged(failed)? {
        return Ok(None);
    }
    let (status, line) = (failed.status()?, lines(failed)?.into_iter().next().context("no line")?);
    let own =
        if file(failed)? == "uid_map" { effective(&status.uids) } else { effective(&status.gids) };
    let own = own.context("its ids are not to be seen")?;
    if line.outside == own || !parent_is_ours(failed)? {
        return Ok(None);
    }
    found(
        format!(
            "the line maps id {} of outside, and the writer's own is {own}: without privilege \
             nobody maps another's",
            line.outside
        ),
        format!("write `{} {own} 1`", line.inside),
    )
}

/// Ids in a status file are ours to compare only where the map's outside is our own user namespace.
fn parent_is_ours(failed: &Failed) -> Result<bool> {
    Ok(owner(failed)?.depth()? == 1)
}

fn effective(ids: &[u32]) -> Option<u32> {
    ids.get(1).copied()
}

fn not_in_parent(failed: &Failed) -> Look {
    let file = file(failed)?;
    let parent = match failed.link("ns/user")? == owner(failed)?.link("ns/user")? {
        true => anyhow::bail!("the parent's map is not seen from a writer inside"),
        false => parse(&failed.proc_text(&file)?),
    };
    let within = |id: u64| {
        parent.iter().any(|it| {
            let first = u64::from(it.inside);
            (first..first + u64::from(it.count)).contains(&id)
        })
    };
    for line in lines(failed)? {
        let last = u64::from(line.outside) + u64::from(line.count) - 1;
        if !within(line.outside.into()) || !within(last) {
            let parent: Vec<String> = parent.iter().map(Range::to_string).collect();
            return found(
                format!(
                    "`{line}` maps ids that the writer's own user namespace has not: its {file} \
                     is {}",
                    parent.join("; ")
                ),
                "map ids of the namespace that you are in",
            );
        }
    }
    Ok(None)
}

fn allowed_again(failed: &Failed) -> Look {
    let denied = neighbour(failed, "setgroups")?.trim() == "deny";
    if !denied || failed.written()?.trim() != "allow" {
        return Ok(None);
    }
    found(
        "setgroups is denied in this user namespace, and that is for good",
        "make another namespace",
    )
}

fn groups_mapped(failed: &Failed) -> Look {
    let map = neighbour(failed, "gid_map")?;
    if map.trim().is_empty() {
        return Ok(None);
    }
    found(
        format!(
            "gid_map is written already ({}): afterwards setgroups cannot be denied",
            map.trim()
        ),
        "write \"deny\" to setgroups first, then gid_map",
    )
}

fn format(failed: &Failed) -> Look {
    let text = failed.written()?;
    if file(failed)? == "setgroups" {
        return found(format!("{text:?} is neither \"allow\" nor \"deny\""), "write deny");
    }
    for line in text.lines() {
        let words: Vec<Option<u32>> = line.split_whitespace().map(|it| it.parse().ok()).collect();
        let [Some(_), Some(_), Some(count @ 1..)] = words[..] else {
            return found(
                format!(
                    "the line {line:?} is not three numbers, inside outside count, with a count of \
                     at least 1"
                ),
                "write a line like `0 1000 1`",
            );
        };
        let ends = [words[0], words[1]]
            .iter()
            .all(|first| first.unwrap().checked_add(count - 1).is_some());
        if !ends {
            return found(
                format!("the line {line:?} goes beyond the last id"),
                "use a smaller count",
            );
        }
    }
    let count = text.lines().count();
    match count {
        0 => found("nothing but an empty text is written", "write a line like `0 1000 1`"),
        341.. => {
            found(format!("{count} lines are more than 340"), "join ranges that follow each other")
        }
        _ => Ok(None),
    }
}

fn overlap(failed: &Failed) -> Look {
    let lines = lines(failed)?;
    let meet = |a: u32, b: u32, one: &Range, two: &Range| {
        u64::from(a) < u64::from(b) + u64::from(two.count)
            && u64::from(b) < u64::from(a) + u64::from(one.count)
    };
    for (index, one) in lines.iter().enumerate() {
        for two in &lines[..index] {
            let side = match () {
                () if meet(one.inside, two.inside, one, two) => "inside",
                () if meet(one.outside, two.outside, one, two) => "outside",
                () => continue,
            };
            return found(
                format!("`{two}` and `{one}` overlap {side}: an id cannot be two"),
                "give every line ids of its own",
            );
        }
    }
    Ok(None)
}

fn in_parts(failed: &Failed) -> Look {
    let info = failed.proc_text(&format!("fdinfo/{}", failed.int(0)))?;
    let position = info.lines().find_map(|line| line.strip_prefix("pos:")).map(str::trim);
    if position == Some("0") {
        return Ok(None);
    }
    found(
        format!(
            "the descriptor stands at byte {}: a map is written in one write, from the start",
            position.unwrap_or("?")
        ),
        "put all lines into one buffer, and write it once",
    )
}

/// For calls that change ids: what the process's user namespace names.
pub fn own_map(failed: &Failed, file: &str) -> Result<Vec<Range>> {
    Ok(parse(&fs::read_to_string(failed.proc(file))?))
}

/// The ids of a process in words.
pub fn ids(status: &Status) -> String {
    format!("uid {:?}, gid {:?}", status.uids, status.gids)
}
