//! Names and ids: sethostname(2), chroot(2), setresuid(2), setgroups(2), capset(2), mknod(2).

use anyhow::Result;
use nix::errno::Errno;
use nix::libc;

use super::failed::Failed;
use super::{Cause, Look, found, idmap, memory, mount, rights};

pub fn causes(failed: &Failed) -> Vec<Cause> {
    let mut all: Vec<Cause> = match (failed.call.name(), failed.errno) {
        ("sethostname" | "setdomainname", Errno::EPERM) => {
            vec![("no CAP_SYS_ADMIN over the UTS namespace", no_admin_of_names)]
        }
        ("sethostname" | "setdomainname", Errno::EINVAL) => {
            vec![("longer than 64 bytes", too_long)]
        }
        ("chroot", Errno::EPERM) => vec![("no CAP_SYS_CHROOT", no_chroot)],
        ("chroot" | "chdir", Errno::EACCES) => vec![("a directory without x", closed)],
        ("setgroups", Errno::EPERM) => {
            vec![
                ("setgroups is denied in the user namespace", denied),
                ("no CAP_SETGID", no_setgid),
            ]
        }
        ("capset", Errno::EPERM) => vec![("more than the process is permitted", beyond)],
        ("mknod" | "mknodat", Errno::EPERM) => {
            vec![("device nodes are the host's root's", devices)]
        }
        (name, Errno::EPERM) if name.starts_with("set") => {
            vec![("no CAP_SETUID or CAP_SETGID", no_setid)]
        }
        (name, Errno::EINVAL) if name.starts_with("set") => {
            vec![("an id that the user namespace does not map", unmapped)]
        }
        _ => vec![],
    };
    if ["chroot", "chdir", "mknod"].contains(&failed.call.name()) {
        all.extend(mount::PATHS);
    }
    if [Errno::EPERM, Errno::EACCES].contains(&failed.errno) {
        all.extend(rights::REFUSALS);
    }
    all
}

fn no_admin_of_names(failed: &Failed) -> Look {
    rights::lacks(failed, "CAP_SYS_ADMIN", "uts")
}

fn too_long(failed: &Failed) -> Look {
    let length = failed.arguments[1] as usize;
    if length <= 64 {
        return Ok(None);
    }
    found(format!("the name has {length} bytes, and 64 is the most"), "choose a shorter name")
}

fn no_chroot(failed: &Failed) -> Look {
    rights::lacks_in_own(failed, "CAP_SYS_CHROOT")
}

fn closed(failed: &Failed) -> Look {
    super::exec::closed_directory(failed, failed.walk(libc::AT_FDCWD, &failed.text(0)?, true))
}

fn denied(failed: &Failed) -> Look {
    if failed.proc_text("setgroups")?.trim() != "deny" {
        return Ok(None);
    }
    found(
        "/proc/PID/setgroups says deny: whoever mapped the ids without privilege had to promise \
         that no group is ever left",
        "leave setgroups out when only one id is mapped, or map with newgidmap",
    )
}

fn no_setgid(failed: &Failed) -> Look {
    rights::lacks_in_own(failed, "CAP_SETGID")
}

fn no_setid(failed: &Failed) -> Look {
    let name = failed.call.name();
    let capability = if name.contains("gid") { "CAP_SETGID" } else { "CAP_SETUID" };
    let ids = idmap::ids(&failed.status()?);
    Ok(rights::lacks_in_own(failed, capability)?.map(|mut it| {
        it.reason = format!(
            "{}; without it a process changes only among the ids it has ({ids})",
            it.reason
        );
        it.fix = "change groups first, then gid, then uid: with the uid the capabilities go".into();
        it
    }))
}

fn unmapped(failed: &Failed) -> Look {
    let (file, ids) = asked(failed)?;
    let map = idmap::own_map(failed, file)?;
    let within = |id: u32| {
        map.iter().any(|it| {
            let first = u64::from(it.inside);
            (first..first + u64::from(it.count)).contains(&u64::from(id))
        })
    };
    let Some(id) = ids.into_iter().find(|id| *id != u32::MAX && !within(*id)) else {
        return Ok(None);
    };
    let lines: Vec<String> = map.iter().map(ToString::to_string).collect();
    let lines =
        if lines.is_empty() { "empty: it was never written".into() } else { lines.join("; ") };
    found(
        format!("the process's user namespace has no id {id}: its {file} is {lines}"),
        "map the id, or use one that is mapped; a parent writes the map before the child changes \
         its ids",
    )
}

/// The ids that a call asks for, and the map that names them.
fn asked(failed: &Failed) -> Result<(&'static str, Vec<u32>)> {
    let name = failed.call.name();
    let file = if name.contains("uid") { "uid_map" } else { "gid_map" };
    let count = match name {
        "setgroups" => {
            let bytes = memory::bytes(
                failed.pid,
                failed.arguments[1],
                4 * failed.arguments[0].min(64) as usize,
            )?;
            let ids = bytes.chunks_exact(4).map(|id| u32::from_ne_bytes(id.try_into().unwrap()));
            return Ok((file, ids.collect()));
        }
        "setuid" | "setgid" => 1,
        "setreuid" | "setregid" => 2,
        _ => 3,
    };
    Ok((file, failed.arguments[..count].iter().map(|id| *id as u32).collect()))
}

/// capset(2): two structures of effective, permitted, inheritable, 32 bits each.
fn beyond(failed: &Failed) -> Look {
    let bytes = memory::bytes(failed.pid, failed.arguments[1], 24)?;
    let word =
        |at: usize| u64::from(u32::from_ne_bytes(bytes[4 * at..4 * at + 4].try_into().unwrap()));
    let set = |at: usize| crate::capability::Set(word(at) | word(at + 3) << 32);
    let has = failed.status()?.capabilities;
    let (effective, permitted) = (set(0).without(set(1)), set(1).without(has.permitted));
    let names = |set: crate::capability::Set| set.names().join(", ");
    if !permitted.is_empty() {
        return found(
            format!(
                "{} would be new in the permitted set, which can only shrink (CapPrm is {})",
                names(permitted),
                has.permitted
            ),
            "keep the capability until it is used, and drop it afterwards",
        );
    }
    if !effective.is_empty() {
        return found(
            format!("{} would be effective without being permitted", names(effective)),
            "the effective set must be a part of the permitted set",
        );
    }
    let inheritable = set(2).without(crate::capability::Set(has.inheritable.0 | has.permitted.0));
    if inheritable.is_empty() {
        return Ok(None);
    }
    found(
        format!("{} would be inheritable without being permitted", names(inheritable)),
        "make only what is permitted inheritable",
    )
}

fn devices(failed: &Failed) -> Look {
    if let Some(it) = rights::lacks_in_own(failed, "CAP_MKNOD")? {
        return Ok(Some(it));
    }
    if failed.in_our_user_namespace()? {
        return Ok(None);
    }
    found(
        format!(
            "the process is in {}, and a device node counts for the whole machine: in a user \
             namespace nobody may make one, whatever the capabilities",
            failed.link("ns/user")?
        ),
        "bind the host's node in its place: /dev/null on a file",
    )
}
