//! Where a path leads for another process: from its root or working directory, component by
//! component, links included, as path_resolution(7) tells. Absolute links start at *its* root.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use rustix::fs::{AtFlags, StatxFlags, fstatfs, statx};

use super::failed::Failed;
use crate::mountinfo::Mount;

/// What a path leads to.
pub struct Place {
    file: File,
    /// Its name without links, as the process has it.
    pub path: String,
    /// The directories on the way, with their names.
    pub way: Vec<(String, Metadata)>,
}

/// The path leads nowhere.
#[derive(Debug)]
pub struct Stuck {
    /// How far it leads, and one component more.
    pub at: String,
    pub errno: Errno,
    /// The directory before that.
    pub way: Vec<(String, Metadata)>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.at, crate::answer::describe(self.errno))
    }
}

impl std::error::Error for Stuck {}

impl Place {
    pub fn metadata(&self) -> Result<Metadata> {
        self.file.metadata().context("cannot look at it")
    }

    /// The same file, open for reading: this is ours to do, whatever the process may.
    pub fn open(&self) -> std::io::Result<File> {
        File::open(self.magic())
    }

    /// A name for it that we can use.
    pub fn magic(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }

    /// The number of the mount that it is on.
    pub fn mount_id(&self) -> Result<u32> {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.file.as_raw_fd()))?;
        let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
        id.and_then(|id| id.trim().parse().ok()).context("fdinfo names no mount")
    }

    /// The line of the process's mountinfo for that mount.
    pub fn mount<'a>(&self, mounts: &'a [Mount]) -> Result<&'a Mount> {
        let id = self.mount_id()?;
        let mount = mounts.iter().find(|mount| mount.id == id);
        mount.with_context(|| format!("{} is on a mount that it cannot see", self.path))
    }

    /// Whether a mount begins here.
    pub fn is_mount_point(&self) -> Result<bool> {
        let all = statx(&self.file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
        Ok(all.stx_attributes.contains(rustix::fs::StatxAttributes::MOUNT_ROOT))
    }

    /// Whether both are the same file.
    pub fn is(&self, other: &Place) -> Result<bool> {
        let (one, two) = (self.metadata()?, other.metadata()?);
        Ok((one.dev(), one.ino()) == (two.dev(), two.ino()))
    }

    /// Whether this is `above` or below it.
    pub fn is_within(&self, above: &Place) -> bool {
        Path::new(&self.path).starts_with(&above.path)
    }
}

impl Failed {
    /// Where the path in an argument leads.
    pub fn place(&self, path: usize) -> Result<Place> {
        Ok(self.walk(libc::AT_FDCWD, &self.text(path)?, true)?)
    }

    /// The same for a descriptor of a directory and a path from there.
    pub fn place_at(&self, directory: usize, path: usize) -> Result<Place> {
        Ok(self.walk(self.int(directory), &self.text(path)?, true)?)
    }

    /// What the process calls `/`.
    pub fn root(&self) -> Result<Place> {
        Ok(self.walk(libc::AT_FDCWD, "/", true)?)
    }

    /// Goes along `path`. An empty one is the descriptor itself.
    pub fn walk(&self, directory: i32, path: &str, follow: bool) -> Result<Place, Stuck> {
        let root = self.enter("root", "/", &[])?;
        let mut at = match (path.starts_with('/'), directory) {
            (true, _) => self.enter("root", "/", &[])?,
            (_, libc::AT_FDCWD) => self.enter("cwd", &self.link("cwd").unwrap_or_default(), &[])?,
            (_, fd) => {
                let name = self.open_on(fd).unwrap_or_default();
                self.enter(&format!("fd/{fd}"), &name, &[])?
            }
        };
        let mut rest: VecDeque<String> = components(path).collect();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            let next = self.step(&at, &root, &name)?;
            let is_link = next.metadata().is_ok_and(|it| it.is_symlink());
            if !is_link || (rest.is_empty() && !follow) {
                at = next;
                continue;
            }
            links += 1;
            if links > 40 {
                return Err(Stuck { at: next.path, errno: Errno::ELOOP, way: at.way });
            }
            match self.magic(&at, &name)? {
                Some(there) => at = there,
                None => {
                    let target = link_target(&next)?;
                    if target.starts_with('/') {
                        at = self.enter("root", "/", &at.way)?;
                    }
                    components(&target).rev().for_each(|name| rest.push_front(name));
                }
            }
        }
        Ok(at)
    }

    /// One component further, links not followed.
    fn step(&self, at: &Place, root: &Place, name: &str) -> Result<Place, Stuck> {
        let up = name == "..";
        if up && at.is(root).unwrap_or(false) {
            return self.enter("root", "/", &at.way);
        }
        let path = match up {
            true => Path::new(&at.path).parent().unwrap_or(Path::new("/")).display().to_string(),
            false => format!("{}/{name}", at.path.trim_end_matches('/')),
        };
        let mut way = at.way.clone();
        if let Ok(metadata) = at.metadata() {
            way.push((at.path.clone(), metadata));
        }
        open(&at.magic().join(name), &path, way, libc::O_NOFOLLOW)
    }

    /// Links of proc(5) that no text describes. Ours would say `self` of us.
    fn magic(&self, at: &Place, name: &str) -> Result<Option<Place>, Stuck> {
        let is_proc = fstatfs(&at.file).is_ok_and(|it| it.f_type == libc::PROC_SUPER_MAGIC);
        match (is_proc, name) {
            (false, _) => Ok(None),
            (true, "self" | "thread-self") => {
                self.enter("", &format!("/proc/{}", self.pid), &at.way).map(Some)
            }
            (true, "mounts" | "net") => Ok(None),
            (true, _) => {
                let target = fs::read_link(at.magic().join(name)).unwrap_or_default();
                let target = target.display().to_string();
                open(&at.magic().join(name), &target, at.way.clone(), 0).map(Some)
            }
        }
    }

    /// A link of /proc/PID, followed.
    fn enter(&self, link: &str, path: &str, way: &[(String, Metadata)]) -> Result<Place, Stuck> {
        open(&self.proc(link), path, way.to_vec(), 0)
    }
}

fn components(path: &str) -> impl DoubleEndedIterator<Item = String> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".").map(String::from)
}

fn link_target(link: &Place) -> Result<String, Stuck> {
    let stuck = |errno| Stuck { at: link.path.clone(), errno, way: link.way.clone() };
    let target = rustix::fs::readlinkat(&link.file, "", Vec::new());
    let target = target.map_err(|errno| stuck(Errno::from_raw(errno.raw_os_error())))?;
    Ok(target.to_string_lossy().into_owned())
}

fn open(at: &Path, path: &str, way: Vec<(String, Metadata)>, flags: i32) -> Result<Place, Stuck> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_PATH | flags).open(at);
    match opened {
        Ok(file) => Ok(Place { file, path: path.into(), way }),
        Err(error) => {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
            Err(Stuck { at: path.into(), errno, way })
        }
    }
}
