//! Step 6, user: root inside is nobody in particular outside. The user namespace is made in the
//! same clone3(2) as the others and owns them, so from here on nothing needs sudo.
//! The parent writes the maps, the child becomes root in them, the files follow.

mod files;
mod maps;
mod subid;

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result};
use chroot::HintExt;
use mount::{Mount, Source};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::{self, Gid, Uid};

pub use files::Files;
pub use maps::{IdMap, Maps};

/// See user_namespaces(7).
pub const NAMESPACE: CloneFlags = CloneFlags::CLONE_NEWUSER;

/// Who the command is.
#[derive(clap::Args, Default)]
#[group(skip)]
pub struct Args {
    /// The command's user and group id inside; the group is UID if it is left out
    #[arg(long, value_name = "UID[:GID]")]
    pub user: Option<User>,

    /// Its supplementary groups: none, unless a later step knows of some.
    #[arg(skip)]
    pub groups: Vec<Gid>,
}

/// Ids as the container knows them.
#[derive(Clone, Copy, PartialEq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

const ROOT: User = User { uid: 0, gid: 0 };

impl FromStr for User {
    type Err = String;

    fn from_str(text: &str) -> Result<User, String> {
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        match (id(uid), id(gid)) {
            (Some(uid), Some(gid)) => Ok(User { uid, gid }),
            _ => Err("a user is UID or UID:GID, in numbers".into()),
        }
    }
}

/// A user or group id. The highest number is none: setresuid(2) takes it, -1, for "leave this one as
/// it is", and who asked for it would stay root.
pub fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|it| *it != u32::MAX)
}

/// The mounts that this user namespace may make.
///
/// sysfs shows the network interfaces of one network namespace, and only its owner may mount it.
/// With the host's network that is not the container: it gets a copy of the host's mount.
pub fn mountable(mut mounts: Vec<Mount>, network: CloneFlags) -> Vec<Mount> {
    for mount in mounts.iter_mut().filter(|mount| mount.target == Path::new("/sys")) {
        if network.is_empty() {
            mount.source = Source::Bind("/sys".into());
        }
    }
    mounts
}

/// Takes the ids with which the container is set up: `ROOT`'s, or the only ones that are mapped.
///
/// Whoever enters a user namespace keeps the ids from outside until then, and shows up as
/// `nobody` if they are not mapped, user_namespaces(7). All capabilities are there from the start.
/// Where one id is mapped it is the process's own already: then there is nothing to take.
///
/// Exercise 6.2
pub fn become_root(maps: &Maps) -> Result<()> {
    match maps.one_id() {
        Some(_) => Ok(()),
        None => take(ROOT, &[]),
    }
}

/// Takes the ids that `--user` asks for. Leaving uid 0 empties the capability sets,
/// capabilities(7), so it comes after all that needs them.
pub fn switch(args: &Args, maps: &Maps) -> Result<()> {
    match args.user {
        Some(user) if maps.one_id().is_none() => take(user, &args.groups),
        _ => Ok(()),
    }
}

/// Makes this process `user`: `groups` as its only supplementary ones, and all three of its group
/// ids and of its user ids (real, effective, saved), by setgroups(2), setresgid(2), setresuid(2).
///
/// In this order: who has given up uid 0 may no longer change groups. EINVAL means that the id
/// is not mapped; a hint says where to see what is.
///
/// Exercise 6.3
fn take(user: User, groups: &[Gid]) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    unistd::setgroups(groups).context("cannot set the supplementary groups")?;
    unistd::setresgid(gid, gid, gid)
        .with_context(|| format!("cannot become group {gid}"))
        .hint(Errno::EINVAL, "this id is not mapped: see /proc/PID/gid_map")?;
    unistd::setresuid(uid, uid, uid)
        .with_context(|| format!("cannot become user {uid}"))
        .hint(Errno::EINVAL, "this id is not mapped: see /proc/PID/uid_map")
}
