//! Step 4, mount: a file tree of the container's own. `Root` binds the root directory, `fill`
//! mounts on it what a Linux program expects, `pivot` makes it / and lets the host's tree go.
//! Everything happens in the container's mount namespace; the host sees none of it.

mod args;
mod defaults;
mod in_root;
mod list;
pub mod tree;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::sched::CloneFlags;
use nix::unistd;

pub use args::{Args, Tmpfs, Volume};
pub use list::{Flags, Mount, Source};

/// See mount_namespaces(7).
pub const NAMESPACE: CloneFlags = CloneFlags::CLONE_NEWNS;

/// Cuts this mount namespace off from the host's: no mount event crosses, in either direction.
///
/// A new namespace is a copy whose mounts are still peers of the originals: on most hosts / is
/// shared, and what is mounted here would appear there, mount_namespaces(7). mount(2) changes the
/// propagation of / and of all below it (MS_REC); source, type and data play no part.
///
/// Exercise 4.1
pub fn make_private() -> Result<()> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    nix::mount::mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
        .context("cannot make the mounts below / private")
}

/// The container's file tree while it is put together: a mount of its own, not yet /.
pub struct Root {
    tree: OwnedFd,
    scratch: OwnedFd,
}

impl Root {
    /// Binds the directory `path` on itself, with all that is mounted below it: pivot_root(2)
    /// wants a mount point, and a bind mount makes any directory one.
    ///
    /// Copy the mount, `tree::copy`, before the `scratch` tmpfs goes on its place, and attach it
    /// there last, `Root::attach`. Errors name `path`. See open_tree(2).
    ///
    /// Exercise 4.2
    pub fn bind(path: &Path) -> Result<Root> {
        let act = || format!("cannot bind {} on itself", path.display());
        let (tree, place) = (tree::copy(path).with_context(act)?, tree::open_directory(path)?);
        let scratch = scratch(place.as_fd())?;
        Root::attach(tree, scratch, place.as_fd()).with_context(act)
    }

    /// The same with any mount that is not attached anywhere yet, in the place of a directory.
    pub fn attach(tree: OwnedFd, scratch: OwnedFd, place: BorrowedFd) -> Result<Root> {
        // A device node that somebody put into the root directory is not to be opened.
        tree::set_flags(tree.as_fd(), Flags::MOUNT_ATTR_NODEV, true)?;
        tree::attach(tree.as_fd(), place)?;
        Ok(Root { tree, scratch })
    }

    /// Mounts `mounts` in their order, then makes the links in /dev.
    pub fn fill(&self, mounts: &[Mount]) -> Result<()> {
        for mount in mounts {
            mount.attach(self)?;
        }
        defaults::link_devices(self)
    }

    /// Puts files of ours in the place of the root's own, which stay as they are.
    pub fn place(&self, files: impl IntoIterator<Item = (&'static str, String)>) -> Result<()> {
        for (path, text) in files {
            Mount::new(Source::Contents(text.into_bytes()), path).attach(self)?;
        }
        Ok(())
    }

    /// Makes this tree /, read-only itself if asked for, and detaches the host's, umount2(2).
    ///
    /// pivot_root(2) with "." twice stacks the old root on the new one, at the very place where
    /// we stand: stand on the tree first, fchdir(2). What `.` then unmounts is the old one, and no
    /// directory for it is needed. The working directory ends up at the new /.
    ///
    /// Exercise 4.5
    pub fn pivot(self, read_only: bool) -> Result<()> {
        if read_only {
            tree::set_flags(self.fd(), Flags::MOUNT_ATTR_RDONLY, false)
                .context("cannot make the root directory read-only")?;
        }
        unistd::fchdir(&self.tree).context("cannot change to the new root directory")?;
        unistd::pivot_root(".", ".").context("cannot pivot_root to the new root directory")?;
        umount2(".", MntFlags::MNT_DETACH).context("cannot detach the host's file tree")?;
        unistd::chdir("/").context("cannot change to / in the new root directory")
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.tree.as_fd()
    }

    fn scratch(&self) -> BorrowedFd<'_> {
        self.scratch.as_fd()
    }
}

/// A tmpfs under the root directory (`place`) for what we make ourselves. The root is mounted
/// over it, so nobody sees it, and it goes when the host's tree is detached.
pub fn scratch(place: BorrowedFd) -> Result<OwnedFd> {
    let flags = Flags::MOUNT_ATTR_NOSUID | Flags::MOUNT_ATTR_NODEV;
    // For everyone, because step 6 changes who we are in between.
    let scratch = tree::filesystem("tmpfs", &[("mode".into(), "777".into())], flags)?;
    tree::attach(scratch.as_fd(), place)
        .context("cannot mount a tmpfs under the root directory")?;
    Ok(scratch)
}

/// Copies what is to be bound from the host, so that no path of the host is needed later.
pub fn copy_sources(mut mounts: Vec<Mount>) -> Result<Vec<Mount>> {
    mounts.iter_mut().try_for_each(Mount::copy_source)?;
    Ok(mounts)
}
