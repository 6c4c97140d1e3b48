//! User namespaces and who is who in them: step 6's own maps, written by its own functions.

use std::{env, os::fd::AsFd};

use anyhow::{Context, Result, bail, ensure};
use evidence::checks::{granted, installed};
use nix::unistd::{Pid, Uid, geteuid};
use user::{Args, Files, Maps};

use super::super::{side::enter_user_namespace, trial::untried};

/// A user namespace of which we are root and where nobody else is.
pub fn namespace() -> Result<String> {
    enter_user_namespace()?;
    ensure!(geteuid().is_root(), "we are not root in it");
    Ok(String::new())
}

/// The maps that step 6 would write for us.
pub fn maps() -> Result<String> {
    let maps = Maps::plan(&Args::default());
    with_maps(&maps, |_| Ok(()))?;
    Ok(match maps.one_id() {
        Some(_) => "one id".into(),
        None => format!("{} ids", maps.uids.iter().map(|map| map.count).sum::<u32>()),
    })
}

/// More than one id without root, by the setuid helpers.
pub fn range() -> Result<String> {
    for helper in ["newuidmap", "newgidmap"] {
        ensure!(installed(helper), "{helper} is not installed");
    }
    for file in ["/etc/subuid", "/etc/subgid"] {
        let us = geteuid();
        if us == Uid::from_raw(evidence::checks::ORDINARY) {
            return untried("only a real user has ids in /etc/subuid");
        }
        ensure!(granted(file).is_some(), "{file} grants nothing to uid {us}");
    }
    let maps = Maps::plan(&Args::default());
    if maps.one_id().is_some() {
        bail!("step 6 finds no range for us");
    }
    with_maps(&maps, |_| Ok(()))?;
    Ok(format!("{} ids", maps.uids.iter().map(|map| map.count).sum::<u32>()))
}

/// A mount of the temporary directory whose owners are those of a container.
pub fn idmapped() -> Result<String> {
    let maps = Maps::plan(&Args::default());
    if !maps.is_foreign() {
        return untried("root's range is not in this user namespace");
    }
    // Files::map takes what cannot be mapped as it is: so ask the mount itself.
    let directory = mount::tree::copy(&env::temp_dir())?;
    mount::tree::make_private(directory.as_fd())?;
    with_maps(&maps, |child| {
        let mut files = Files::default();
        files.add(&env::temp_dir(), &maps)?;
        files.map(child)?;
        let namespace = std::fs::File::open(format!("/proc/{child}/ns/user"))?;
        let attributes = libc::mount_attr {
            attr_set: libc::MOUNT_ATTR_IDMAP,
            attr_clr: 0,
            propagation: 0,
            userns_fd: std::os::fd::AsRawFd::as_raw_fd(&namespace) as u64,
        };
        mount::tree::set_attributes(directory.as_fd(), &attributes, false)
            .with_context(|| format!("cannot map the owners of {}", env::temp_dir().display()))
    })?;
    Ok(String::new())
}

/// A child in a user namespace with these maps, as step 6 makes it; `look` sees it while it waits.
fn with_maps(maps: &Maps, look: impl FnOnce(Pid) -> Result<()>) -> Result<()> {
    let mut clone = pid::Clone3::default();
    clone.namespace(user::NAMESPACE);
    let mut child = clone.spawn(|gate| {
        gate.wait()?;
        user::become_root(maps)?;
        Ok(u8::from(!geteuid().is_root()))
    })?;
    maps.write(child.pid())?;
    look(child.pid())?;
    child.release()?;
    ensure!(child.wait()? == 0, "the ids are mapped, but root's cannot be taken");
    Ok(())
}
