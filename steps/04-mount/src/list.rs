//! One entry of the list of mounts: what is mounted where, with which flags.
//! The list is plain data: the defaults, a volume and an OCI bundle's `mounts` all become it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use chroot::HintExt;
use rustix::fs::{FileType, Mode, OFlags, fstat, major, minor, mkdirat, openat};
use rustix::io::{Errno, write};

use crate::in_root::{self, Kind};
use crate::{Root, tree};

/// nosuid, nodev, noexec, ro …: the MOUNT_ATTR_ flags of mount_setattr(2).
pub use rustix::mount::MountAttrFlags as Flags;

const UNWRITABLE: &str = "what is mounted on is missing in the root directory, and the container's \
    root may not write there: make it beforehand";

/// See the kernel's `mount_too_revealing`: the new one would show what was hidden.
const COVERED: &str = "something is mounted over a part of the host's own, as in most containers \
    (findmnt -R /proc /sys shows it): then a user namespace gets no new one";

/// Where the files of a mount come from.
pub enum Source {
    /// A new filesystem of a type, with its options.
    Filesystem { fstype: String, options: Vec<(String, String)> },
    /// A directory or file of the host, with all that is mounted below it.
    Bind(PathBuf),
    /// The same, copied already: a mount that is attached nowhere yet.
    Tree(OwnedFd),
    /// A device of the host, which must have this number.
    Device(u32, u32),
    /// A file with these contents.
    Contents(Vec<u8>),
    /// The target itself, to give it flags of its own.
    Itself,
    /// Nothing: an empty directory, or /dev/null where a file stands.
    Mask,
}

/// One mount; `target` is a path inside the root.
pub struct Mount {
    pub source: Source,
    pub target: PathBuf,
    pub flags: Flags,
}

impl Mount {
    /// A mount without flags.
    pub fn new(source: Source, target: impl Into<PathBuf>) -> Mount {
        Mount { source, target: target.into(), flags: Flags::empty() }
    }

    /// A new filesystem.
    pub fn filesystem(fstype: &str, target: impl Into<PathBuf>) -> Mount {
        Mount::new(Source::Filesystem { fstype: fstype.into(), options: Vec::new() }, target)
    }

    /// With one option more, for a new filesystem.
    pub fn option(mut self, key: &str, value: &str) -> Mount {
        if let Source::Filesystem { options, .. } = &mut self.source {
            options.push((key.into(), value.into()));
        }
        self
    }

    /// With these flags.
    pub fn flags(mut self, flags: Flags) -> Mount {
        self.flags = flags;
        self
    }

    /// Copies the host's mount, if one is to be bound.
    pub(crate) fn copy_source(&mut self) -> Result<()> {
        if let Source::Bind(source) = &self.source {
            self.source = Source::Tree(tree::copy(source).with_context(|| self.act())?);
        }
        Ok(())
    }

    /// Makes the mount, gives it its flags, and attaches it on its target in the root, in this
    /// order: nobody ever sees it without its flags, mount_setattr(2) and move_mount(2).
    ///
    /// If `open_target` finds nothing to protect, nothing is to be done; if it fails with EACCES,
    /// the hint is `UNWRITABLE`. What `is_new` has its flags already; all else gets them
    /// recursively. Every error says which mount: `act`.
    ///
    /// Exercise 4.4
    pub(crate) fn attach(&self, root: &Root) -> Result<()> {
        let target = self.open_target(root).with_context(|| self.act());
        let Some(target) = target.hint(nix::errno::Errno::EACCES, UNWRITABLE)? else {
            return Ok(());
        };
        let tree = self.make(root, &target).with_context(|| self.act())?;
        if !self.is_new() && !self.flags.is_empty() {
            tree::set_flags(tree.as_fd(), self.flags, true).with_context(|| self.act())?;
        }
        tree::attach(tree.as_fd(), target.as_fd()).with_context(|| self.act())
    }

    /// What is to be mounted on; `None` where there is nothing to protect.
    fn open_target(&self, root: &Root) -> Result<Option<OwnedFd>> {
        let (root, path) = (root.fd(), self.target.as_path());
        let target = match &self.source {
            Source::Itself | Source::Mask => match in_root::open(root, path) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => return Ok(None),
                opened => opened,
            },
            Source::Filesystem { .. } => match in_root::open_unlinked(root, path) {
                // Opened anew: meanwhile somebody could have put a symlink in its place.
                Err(Errno::NOENT) => in_root::open_or_create(root, path, Kind::Directory)
                    .and_then(|_| in_root::open_unlinked(root, path)),
                opened => opened,
            },
            Source::Bind(source) => {
                in_root::open_or_create(root, path, kind(&tree::open(source)?)?)
            }
            Source::Tree(tree) => in_root::open_or_create(root, path, kind(tree)?),
            Source::Device(..) | Source::Contents(_) => {
                in_root::open_or_create(root, path, Kind::File)
            }
        };
        Ok(Some(target.with_context(|| format!("cannot open {} in the root", path.display()))?))
    }

    /// The mount, not yet attached.
    fn make(&self, root: &Root, target: &OwnedFd) -> Result<OwnedFd> {
        match &self.source {
            Source::Filesystem { fstype, options } => {
                let made = tree::filesystem(fstype, options, self.flags);
                let shows_the_host = ["proc", "sysfs"].contains(&fstype.as_str());
                if shows_the_host { made.hint(nix::errno::Errno::EPERM, COVERED) } else { made }
            }
            Source::Bind(source) => tree::copy(source),
            Source::Tree(tree) => tree.try_clone().context("cannot copy a descriptor"),
            Source::Device(major, minor) => device(&self.target, *major, *minor),
            Source::Contents(contents) => file(root, &self.target, contents),
            Source::Itself => tree::copy_fd(target.as_fd()),
            Source::Mask if is_directory(target)? => empty_directory(root),
            Source::Mask => device(Path::new("/dev/null"), 1, 3),
        }
    }

    /// A new filesystem is made with its flags; all else is a copy of a mount and gets them after.
    fn is_new(&self) -> bool {
        matches!(self.source, Source::Filesystem { .. })
    }

    fn act(&self) -> String {
        let target = self.target.display();
        match &self.source {
            Source::Filesystem { fstype, .. } => format!("cannot mount {fstype} on {target}"),
            Source::Bind(source) => format!("cannot bind {} on {target}", source.display()),
            Source::Tree(_) => format!("cannot bind a directory or file of the host on {target}"),
            Source::Device(..) => format!("cannot bind the device {target}"),
            Source::Contents(_) => format!("cannot place {target}"),
            Source::Itself => format!("cannot change the flags of {target}"),
            Source::Mask => format!("cannot mask {target}"),
        }
    }
}

fn kind(source: &OwnedFd) -> Result<Kind> {
    Ok(if is_directory(source)? { Kind::Directory } else { Kind::File })
}

fn is_directory(file: &OwnedFd) -> Result<bool> {
    let stat = fstat(file).context("cannot look at a mount's target")?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// A device node of the host at the same path, once it has shown to be that device: a node of
/// our own needs CAP_MKNOD in the first user namespace, a bind mount does not.
fn device(path: &Path, wanted_major: u32, wanted_minor: u32) -> Result<OwnedFd> {
    let node = tree::open(path)?;
    let stat = fstat(&node).with_context(|| format!("cannot look at {}", path.display()))?;
    let number = (major(stat.st_rdev), minor(stat.st_rdev));
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::CharacterDevice || number != (wanted_major, wanted_minor) {
        bail!("{} is not character device {wanted_major}:{wanted_minor}", path.display());
    }
    tree::copy_fd(node.as_fd())
}

/// A file on the scratch tmpfs, named after its target: `/etc/hosts` becomes `etc+hosts`.
fn file(root: &Root, target: &Path, contents: &[u8]) -> Result<OwnedFd> {
    let name = target.to_string_lossy().trim_start_matches('/').replace('/', "+");
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = openat(root.scratch(), &name, flags, Mode::from_raw_mode(0o644))
        .with_context(|| format!("cannot create {name} on the scratch tmpfs"))?;
    write(&file, contents).with_context(|| format!("cannot write {name}"))?;
    tree::copy_fd(file.as_fd())
}

/// A directory of the scratch tmpfs that stays empty because it is read-only.
fn empty_directory(root: &Root) -> Result<OwnedFd> {
    match mkdirat(root.scratch(), "empty", Mode::from_raw_mode(0o555)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno).context("cannot make the empty directory"),
    }
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let empty = openat(root.scratch(), "empty", flags, Mode::empty())
        .context("cannot open the empty directory")?;
    tree::copy_fd(empty.as_fd())
}
