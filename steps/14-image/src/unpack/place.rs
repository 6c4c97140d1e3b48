//! Where an entry of an archive goes: always below the layer's own directory. Names have no `..`,
//! and openat2(2) with RESOLVE_BENEATH refuses every way out that a symbolic link could be. The
//! last component is never resolved: it is made, in a directory that is held by its descriptor.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, XattrFlags, fsetxattr};
use rustix::fs::{mkdirat, openat2, statat};
use rustix::io::Errno;

use super::remove;

/// PATH_MAX, the longest that the kernel takes at once.
const LONGEST: usize = 4096;

/// Of the directories that are kept in mind until the layers below are there.
const MOST_KEPT: usize = 100_000;

/// The directory of a layer, while it is filled.
pub struct Place {
    root: OwnedFd,
    /// The parent of the entry before: files of one directory come together.
    last: Option<(PathBuf, Arc<OwnedFd>)>,
    /// Parents that the archive did not describe: their owners and modes are those below.
    pub implied: Vec<PathBuf>,
    /// Directories that have whiteouts in them.
    pub marked: Vec<PathBuf>,
}

/// A name of an archive as a path below the layer: `/a`, `./a` and `a/` are all `a`.
pub fn clean(name: &[u8]) -> Result<PathBuf> {
    ensure!(name.len() < LONGEST, "its name has {} bytes", name.len());
    ensure!(!name.contains(&0), "its name holds a NUL byte");
    let parts = name.split(|&byte| byte == b'/').filter(|part| !matches!(part, [] | [b'.']));
    let mut path = PathBuf::new();
    for part in parts {
        ensure!(part != b"..", "its name has a `..`");
        path.push(OsStr::from_bytes(part));
    }
    Ok(path)
}

impl Place {
    pub fn new(root: OwnedFd) -> Place {
        Place { root, last: None, implied: Vec::new(), marked: Vec::new() }
    }

    pub fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// The directory that `path` is in, made if need be, and its name there.
    pub fn parent(&mut self, path: &Path) -> Result<(Arc<OwnedFd>, OsString)> {
        let parent = path.parent().context("it has no name")?;
        let name = path.file_name().context("it has no name")?.to_os_string();
        if let Some((last, directory)) = &self.last
            && last == parent
        {
            return Ok((directory.clone(), name));
        }
        let directory = Arc::new(match find(&self.root, parent)? {
            None => self.make_parents(parent)?,
            Some(found) => found,
        });
        self.last = Some((parent.into(), directory.clone()));
        Ok((directory, name))
    }

    /// An existing directory, for what a hard link points to.
    pub fn existing_parent(&self, path: &Path) -> Result<(OwnedFd, OsString)> {
        let parent = path.parent().context("it is the layer itself")?;
        let name = path.file_name().context("it is the layer itself")?;
        let directory = find(&self.root, parent)?.ok_or(Errno::NOENT)?;
        Ok((directory, name.to_os_string()))
    }

    fn make_parents(&mut self, path: &Path) -> Result<OwnedFd> {
        let mut reached = PathBuf::new();
        let mut directory = self.root.try_clone().context("cannot copy a descriptor")?;
        for name in path {
            reached.push(name);
            directory = match find(&self.root, &reached)? {
                None => {
                    self.imply(&directory, name, &reached)?;
                    find(&self.root, &reached)?.ok_or(Errno::NOENT)?
                }
                Some(found) => found,
            };
        }
        Ok(directory)
    }

    fn imply(&mut self, parent: &OwnedFd, name: &OsStr, path: &Path) -> Result<()> {
        ensure!(self.implied.len() < MOST_KEPT, "more than {MOST_KEPT} parents are missing");
        make_directory(parent, name)?;
        self.implied.push(path.into());
        Ok(())
    }

    /// Keeps in mind that there is a whiteout beside `path`.
    pub fn marked(&mut self, path: &Path) -> Result<()> {
        let parent = path.parent().context("it has no name")?;
        if self.marked.last().is_none_or(|last| last != parent) {
            ensure!(
                self.marked.len() < MOST_KEPT,
                "more than {MOST_KEPT} directories have whiteouts"
            );
            self.marked.push(parent.into());
        }
        Ok(())
    }

    /// Removes what is in the way of a new file called `name`.
    pub fn clear(&mut self, parent: &OwnedFd, name: &OsStr) -> Result<()> {
        // Behind that name could have been the directory of the last entry.
        self.last = None;
        remove::tree(parent.as_fd(), name).context("cannot remove what was there before")
    }
}

/// Opens the directory `path` below `root`, which is `""`, too; `None`: there is none.
///
/// The archive may have made any symbolic link on the way. The kernel follows them as long as they
/// stay below `root`, openat2(2): RESOLVE_BENEATH, and no magic links, no other file system. ENOENT
/// and ENOTDIR mean that there is no such directory. EAGAIN means that something was renamed
/// meanwhile, anywhere on the host: ask again. For all other errors there is `explain`.
///
/// Exercise 14.3
pub fn find(root: &OwnedFd, path: &Path) -> Result<Option<OwnedFd>> {
    let path = if path == Path::new("") { Path::new(".") } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    loop {
        match openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            opened => return opened.map(Some).map_err(explain),
        }
    }
}

/// What the kernel means by these, when it says them of a path below a layer.
fn explain(errno: Errno) -> anyhow::Error {
    match errno {
        Errno::XDEV => anyhow::anyhow!("a symbolic link leads out of the layer"),
        Errno::LOOP => anyhow::anyhow!("symbolic links lead in a circle"),
        errno => errno.into(),
    }
}

/// Makes the directory `name`, or takes the one that is there. In the place of a whiteout of this
/// layer it hides what the layers below have there.
pub fn make_directory(parent: &OwnedFd, name: &OsStr) -> Result<()> {
    match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) => {}
        made => return made.context("cannot make a directory"),
    }
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Ok(()),
        _ if is_whiteout(&stat) => {
            remove::tree(parent.as_fd(), name)?;
            mkdirat(parent, name, Mode::from_raw_mode(0o755)).context("cannot make a directory")?;
            hide_below(parent, name)
        }
        _ => bail!("a parent of it is no directory"),
    }
}

/// The mark of a deleted file, overlayfs(5).
pub fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Marks a directory as opaque, overlayfs(5): step 8 mounts with `userxattr`.
pub fn hide_below(parent: &OwnedFd, name: &OsStr) -> Result<()> {
    let directory = open_directory(parent, name)?;
    fsetxattr(&directory, "user.overlay.opaque", b"y", XattrFlags::empty())
        .context("cannot mark an opaque directory: the store's filesystem has no user.* attributes")
}

/// The directory `name` itself, never what a link of that name points to.
pub fn open_directory(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// The names in a directory.
pub fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(&name).to_os_string());
        }
    }
    Ok(names)
}
