//! Overlay filesystems, overlayfs in the kernel's documentation: one errno for a dozen rules about
//! the layers, told only to the kernel's log. They are looked at here one by one.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

use super::failed::Failed;
use super::mount_new::fstype;
use super::place::{Place, Stuck};
use super::{Cause, Look, found, mount};

pub const CAUSES: [Cause; 8] = [
    ("overlay: a directory is not there", absent),
    ("overlay: upperdir without workdir, or no lowerdir", incomplete),
    ("overlay: upperdir and workdir are on different mounts", apart),
    ("overlay: upperdir and workdir are the same, or one within the other", nested),
    ("overlay: a layer is given twice, or holds another", twice),
    ("overlay: the filesystem of the upper directory cannot be one", unsuitable),
    ("overlay: the work directory is left from a mount that this kernel cannot go on", left_over),
    ("overlay: layers of overlays are too deep", deep),
];

/// The values of an option, in either interface.
fn options(failed: &Failed) -> Result<Vec<(String, String)>> {
    match &failed.context {
        Some(context) => Ok(context.options.clone()),
        None => Ok(split(&failed.text_or_none(4)?, ',')
            .map(|option| {
                let (key, value) = option.split_once('=').unwrap_or((&option, ""));
                (key.to_string(), value.to_string())
            })
            .collect()),
    }
}

/// Splits where the separator is not escaped with a backslash.
fn split(text: &str, separator: char) -> impl Iterator<Item = String> {
    let (mut parts, mut escaped) = (vec![String::new()], false);
    for letter in text.chars() {
        match letter {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            _ if letter == separator && !escaped => parts.push(String::new()),
            _ => parts.last_mut().into_iter().for_each(|part| part.push(letter)),
        }
        escaped = false;
    }
    parts.into_iter()
}

/// The option and the path of every directory that is asked for; none, if it is no overlay.
fn directories(failed: &Failed) -> Result<Vec<(String, String)>> {
    if !["mount", "fsconfig", "fsmount"].contains(&failed.call.name())
        || fstype(failed)? != "overlay"
    {
        return Ok(vec![]);
    }
    let mut all = Vec::new();
    for (key, value) in options(failed)? {
        match key.as_str() {
            "lowerdir" => {
                let paths = split(&value, ':').filter(|it| !it.is_empty());
                all.extend(paths.map(|path| (key.clone(), path)));
            }
            "lowerdir+" | "datadir+" | "upperdir" | "workdir" => all.push((key, value)),
            _ => {}
        }
    }
    if failed.call.name() == "fsconfig"
        && let (Ok(key), Ok(value)) = (failed.text(2), failed.text(3))
        && (key.ends_with("dir") || key.ends_with("dir+"))
    {
        all.push((key, value));
    }
    Ok(all)
}

fn place(failed: &Failed, name: &str) -> Result<Option<Place>> {
    let all = directories(failed)?;
    let path = all.iter().find(|(option, _)| option == name);
    path.map(|(_, path)| Ok(failed.walk(libc::AT_FDCWD, path, true)?)).transpose()
}

fn both(failed: &Failed) -> Result<Option<(Place, Place)>> {
    Ok(place(failed, "upperdir")?.zip(place(failed, "workdir")?))
}

fn absent(failed: &Failed) -> Look {
    for (option, path) in directories(failed)? {
        match failed.walk(libc::AT_FDCWD, &path, true) {
            Ok(place) if place.metadata()?.is_dir() => {}
            Ok(place) => {
                let path = &place.path;
                return found(
                    format!("{option} is {path}, which is no directory"),
                    "name a directory",
                );
            }
            // What only we may not see is no reason.
            Err(Stuck { errno: Errno::EACCES, .. }) => {}
            Err(stuck) => return mount::dead_end(&format!("{option} of the overlay"), &stuck),
        }
    }
    Ok(None)
}

fn incomplete(failed: &Failed) -> Look {
    let all = directories(failed)?;
    let creates = failed.call.name() == "mount" || failed.int(1) == FSCONFIG_CMD_CREATE;
    let has = |name: &str| all.iter().any(|(option, _)| option.starts_with(name));
    if !creates || all.is_empty() {
        return Ok(None);
    }
    match (has("lowerdir"), has("upperdir"), has("workdir")) {
        (false, ..) => found("there is no lowerdir", "name at least one: lowerdir=DIR"),
        (_, true, false) => found(
            "there is an upperdir and no workdir",
            "add an empty directory on the filesystem of the upperdir: workdir=DIR",
        ),
        _ => Ok(None),
    }
}

const FSCONFIG_CMD_CREATE: i32 = 6;

fn apart(failed: &Failed) -> Look {
    let Some((upper, work)) = both(failed)? else { return Ok(None) };
    if upper.mount_id()? == work.mount_id()? {
        return Ok(None);
    }
    let mounts = failed.mounts()?;
    let on = |place: &Place| {
        place.mount(&mounts).map_or("a mount that it cannot see".to_string(), |mount| {
            format!("the mount {} ({}, {})", mount.point, mount.fstype, mount.device)
        })
    };
    found(
        format!(
            "upperdir and workdir must be on one mount: {} is on {}, {} on {}",
            upper.path,
            on(&upper),
            work.path,
            on(&work)
        ),
        "make both side by side: DIR/upper and DIR/work",
    )
}

fn nested(failed: &Failed) -> Look {
    let Some((upper, work)) = both(failed)? else { return Ok(None) };
    if !upper.is_within(&work) && !work.is_within(&upper) && !upper.is(&work)? {
        return Ok(None);
    }
    found(
        format!("upperdir, {}, and workdir, {}, must not lie in each other", upper.path, work.path),
        "make both side by side: DIR/upper and DIR/work",
    )
}

fn twice(failed: &Failed) -> Look {
    let mut places: Vec<(String, Place)> = Vec::new();
    for (option, path) in directories(failed)? {
        places.push((option, failed.walk(libc::AT_FDCWD, &path, true)?));
    }
    for (index, (option, place)) in places.iter().enumerate() {
        for (other, before) in &places[..index] {
            let both_kept = ["upperdir", "workdir"].contains(&&option[..])
                && ["upperdir", "workdir"].contains(&&other[..]);
            // That a lower layer holds another is forbidden only where the inner one is a layer
            // too.
            let holds = place.is_within(before) || before.is_within(place);
            if !both_kept && (place.is(before)? || holds) {
                return found(
                    format!(
                        "{other}={} and {option}={} are one directory, or one lies within the \
                             other",
                        before.path, place.path
                    ),
                    "every layer is a directory of its own, beside the others",
                );
            }
        }
    }
    Ok(None)
}

/// Filesystems without what an upper layer needs: extended attributes, and renaming to a whiteout.
const UNSUITABLE: [&str; 12] = [
    "overlay", "nfs", "nfs4", "vfat", "msdos", "exfat", "proc", "sysfs", "cgroup", "cgroup2",
    "hostfs", "9p",
];

fn unsuitable(failed: &Failed) -> Look {
    let Some(upper) = place(failed, "upperdir")? else { return Ok(None) };
    let mounts = failed.mounts()?;
    let mount = upper.mount(&mounts).context("the upper directory's mount is not to be seen")?;
    let read_only = mount.has("ro");
    if !UNSUITABLE.contains(&&mount.fstype[..]) && !read_only {
        return Ok(None);
    }
    let why = match (read_only, mount.fstype.as_str()) {
        (true, _) => "which is mounted read-only",
        (_, "overlay") => "and an overlay cannot be the upper layer of another",
        _ => "which lacks the extended attributes or the renaming that an upper layer needs",
    };
    found(
        format!("upperdir {} is on {} ({}), {why}", upper.path, mount.point, mount.fstype),
        "put upper and work on a disk's filesystem or on a tmpfs of your own",
    )
}

/// What an overlay leaves in its work directory it clears away the next time, but for this mark,
/// which says that upper may be damaged (`volatile`) or is of a newer kind.
fn left_over(failed: &Failed) -> Look {
    let Some(work) = place(failed, "workdir")? else { return Ok(None) };
    let Ok(marks) = std::fs::read_dir(work.magic().join("work/incompat")) else { return Ok(None) };
    let marks: Vec<String> =
        marks.flatten().map(|it| it.file_name().display().to_string()).collect();
    if marks.is_empty() {
        return Ok(None);
    }
    let (path, marks) = (&work.path, marks.join(", "));
    found(
        format!(
            "{path} is not empty: {path}/work/incompat holds {marks}, left by an earlier mount"
        ),
        "use a fresh work directory, and a fresh upper one if the mark is volatile",
    )
}

/// FILESYSTEM_MAX_STACK_DEPTH is 2: an overlay on an overlay, and no more.
fn deep(failed: &Failed) -> Look {
    let mounts = failed.mounts()?;
    for (option, path) in directories(failed)? {
        let place = failed.walk(libc::AT_FDCWD, &path, true)?;
        let Ok(mount) = place.mount(&mounts) else { continue };
        let lower = mount.super_options.iter().find_map(|it| it.strip_prefix("lowerdir="));
        let on_overlay = |dir: &str| {
            let below = failed.walk(libc::AT_FDCWD, dir, true);
            below.is_ok_and(|it| it.mount(&mounts).is_ok_and(|it| it.fstype == "overlay"))
        };
        if mount.fstype == "overlay" && lower.is_some_and(|it| it.split(':').any(on_overlay)) {
            return found(
                format!(
                    "{option}={path} is on an overlay whose own layers are on an overlay: Linux \
                         stacks two filesystems and no more"
                ),
                "put the layers on a filesystem that is no overlay",
            );
        }
    }
    Ok(None)
}
