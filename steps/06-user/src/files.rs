//! Files follow their owners. Root's container gets ids that own nothing on the host, so the
//! root directory's files, which belong to the host's root, would be nobody's inside. An
//! idmapped mount shows them as the container's root's, mount_setattr(2).

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::Maps;

/// Directories whose owners are to be mapped, as copies of their mounts. The parent makes them
/// before the child exists, so that both have the descriptors.
#[derive(Default)]
pub struct Files(Vec<(PathBuf, OwnedFd)>);

impl Files {
    /// Adds `directory`, if the container's ids are others than its files' owners.
    pub fn add(&mut self, directory: &Path, maps: &Maps) -> Result<()> {
        if maps.is_foreign() {
            let tree = mount::tree::copy(directory)?;
            mount::tree::make_private(tree.as_fd())?;
            self.0.push((directory.into(), tree));
        }
        Ok(())
    }

    /// The parent, which has the rights to, maps the copies by the child's user namespace.
    ///
    /// A filesystem that cannot do it (hostfs, some network ones) is used as it is: its files
    /// can be read inside, but not changed.
    pub fn map(&self, child: Pid) -> Result<()> {
        for (directory, tree) in &self.0 {
            let path = format!("/proc/{child}/ns/user");
            let namespace = File::open(&path).with_context(|| format!("cannot open {path}"))?;
            let attributes = libc::mount_attr {
                attr_set: libc::MOUNT_ATTR_IDMAP,
                attr_clr: 0,
                propagation: 0,
                userns_fd: namespace.as_raw_fd() as u64,
            };
            match mount::tree::set_attributes(tree.as_fd(), &attributes, false) {
                Ok(()) | Err(Errno::EINVAL | Errno::ENOSYS) => {}
                Err(errno) => {
                    let act = format!("cannot map the owners of {}", directory.display());
                    return Err(errno).context(act);
                }
            }
        }
        Ok(())
    }

    /// The child, in its mount namespace, puts each copy in the place of its original.
    pub fn attach(&self) -> Result<()> {
        for (directory, tree) in &self.0 {
            mount::tree::attach(tree.as_fd(), mount::tree::open(directory)?.as_fd()).with_context(
                || format!("cannot mount {} with its owners mapped", directory.display()),
            )?;
        }
        Ok(())
    }
}
