//! Where checks play: the programs, a root directory with `act` in it, and, as root, a stand-in for
//! the host. That one has mounts, links and names of its own, so that the machine's are left alone.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;
use tempfile::TempDir;

use super::need::{ROOTS_RANGE, granted, maps_owners};
use crate::steps::{self, LAST, LAST_WITH_ROOT};
use crate::{image, mountinfo, tree};

/// What all checks share. Dropped, its directory is removed.
pub struct Scene {
    /// Where the steps' programs are.
    pub steps: PathBuf,
    dir: TempDir,
    count: AtomicUsize,
}

impl Scene {
    /// Builds it; `act` is the program that acts inside. This process must have one thread.
    pub fn set(steps: PathBuf, act: &Path) -> Result<Scene> {
        umask(Mode::from_bits_truncate(0o022));
        if geteuid().is_root() {
            leave_the_host()?;
        }
        let dir = open_to_all(TempDir::with_prefix("checks-").context("cannot make a directory")?)?;
        let scene = Scene { steps, dir, count: AtomicUsize::new(0) };
        let copy = scene.dir.path().join("act");
        fs::copy(act, &copy).with_context(|| format!("cannot copy {}", act.display()))?;
        symlink("act", scene.dir.path().join("host"))?;
        build_root(&scene.root(), &copy)?;
        Ok(scene)
    }

    /// The stand-in for the host once more, for the calling process alone: what a broken step does to it
    /// there, no other check sees. This process must have one thread.
    pub fn apart(&self) -> Result<()> {
        if geteuid().is_root() {
            leave_the_host()?;
        }
        Ok(())
    }

    /// The program of a step. That of step 0 runs a command without any container.
    pub fn program(&self, step: usize) -> PathBuf {
        match step {
            0 => self.dir.path().join("host"),
            _ => self.steps.join(steps::name(step)),
        }
    }

    /// Where no image is: the store of a step that is told of none.
    pub(super) fn nowhere(&self) -> PathBuf {
        self.dir.path().join("nowhere")
    }

    /// The root directory that all share; nobody changes it.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// What a step's program is given before the command: `[FLAGS] ROOT`; where the root directory comes
    /// as an image, `--store DIR run [FLAGS] IMAGE`. What is no directory is an image's name already. As
    /// another user than root, whose images are his own, if one is named.
    pub fn arguments(
        &self,
        step: usize,
        flags: &[String],
        root: &Path,
        user: Option<u32>,
    ) -> Result<Vec<OsString>> {
        let flags = flags.iter().map(OsString::from);
        if step <= LAST_WITH_ROOT {
            return Ok(flags.chain([root.into()]).collect());
        }
        if !root.is_dir() {
            return Ok([OsString::from("run")]
                .into_iter()
                .chain(flags)
                .chain([root.into()])
                .collect());
        }
        let (store, name) = self.image(root, user)?;
        let run = ["--store".into(), store.into(), "run".into()];
        Ok(run.into_iter().chain(flags).chain([name.into()]).collect())
    }

    /// The store of this user, and the name of a root directory in it, as an image for step 14. That of
    /// all is imported once; one's own each time, because it may have changed.
    fn image(&self, root: &Path, user: Option<u32>) -> Result<(PathBuf, String)> {
        let shared = root == self.root();
        let name = if shared { "shared".into() } else { self.name() };
        let images = self.dir.path().join(format!("images-{}", user.unwrap_or(0)));
        let _alone = Flock::lock(File::open(&self.dir)?, FlockArg::LockExclusive);
        let _alone = _alone.map_err(|(_, errno)| errno).context("cannot lock the scene")?;
        if images.join(&name).exists() {
            return Ok((images.join("store"), name));
        }
        // What cannot import any image is asked once, not by each of a hundred checks.
        let failed = images.join("failed");
        if let Ok(said) = fs::read_to_string(&failed) {
            bail!("{said}");
        }
        fs::create_dir_all(&images).context("cannot make a directory for images")?;
        chown(&images, user, user).context("cannot give it to who runs the step")?;
        let saved = TempDir::new_in(&self.dir).context("cannot make a directory")?;
        let saved = open_to_all(saved)?;
        image::save(root, saved.path())?;
        let mut program = Command::new(self.program(LAST));
        if let Some(user) = user {
            program.uid(user).gid(user);
        }
        let imported = image::import(program, saved.path(), &images.join("store"), &name)
            .with_context(|| format!("{} as an image", root.display()));
        if let (true, Err(error)) = (shared, &imported) {
            fs::write(failed, format!("{error:#}")).context("cannot note the error")?;
        }
        imported?;
        fs::write(images.join(&name), "").context("cannot note the image")?;
        Ok((images.join("store"), name))
    }

    /// A root directory of one's own.
    pub fn own_root(&self) -> Result<OwnRoot> {
        let dir = self.directory()?;
        let path = dir.path().join("root");
        build_root(&path, &self.dir.path().join("act"))?;
        let own = OwnRoot { dir, path };
        own.give_to_container()?;
        Ok(own)
    }

    /// A directory of one's own, which everyone may enter.
    pub fn directory(&self) -> Result<TempDir> {
        open_to_all(TempDir::new_in(self.dir.path()).context("cannot make a directory")?)
    }

    /// Removes what it made, when all checks are done, and first what a step mounted there by mistake.
    pub fn remove(&self) -> Result<()> {
        detach_below(self.dir.path())?;
        // ENOENT: a container that is about to end takes away what it made at the same moment.
        while let Err(error) = fs::remove_dir_all(&self.dir) {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error).context("cannot remove the scene's directory");
            }
            if !self.dir.path().exists() {
                break;
            }
        }
        Ok(())
    }

    /// A number that nobody else gets.
    pub fn count(&self) -> usize {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// A name that no other container has.
    pub fn name(&self) -> String {
        format!("k{}-{}", std::process::id(), self.count())
    }
}

/// A root directory for one check, next to other things that it may need.
pub struct OwnRoot {
    dir: TempDir,
    pub path: PathBuf,
}

impl OwnRoot {
    /// A path beside the root directory: outside, for the container.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where the owners of its files cannot be mapped they become the container's root's, so that
    /// he can change them. For who adds files to the root directory.
    pub fn give_to_container(&self) -> Result<()> {
        if !geteuid().is_root() || maps_owners() {
            return Ok(());
        }
        let (uid, gid) = (granted("/etc/subuid"), granted("/etc/subgid"));
        let first = |ids: Option<(u32, u32)>| Some(ids.unwrap_or(ROOTS_RANGE).0);
        tree::walk(&self.path, &mut |path| lchown(path, first(uid), first(gid)))
    }

    /// Makes a directory beside the root directory that everyone may write to.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.beside(name);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o777))?;
        Ok(path)
    }
}

impl Drop for OwnRoot {
    fn drop(&mut self) {
        let _ = tree::make_removable(self.dir.path());
    }
}

fn open_to_all(dir: TempDir) -> Result<TempDir> {
    fs::set_permissions(&dir, Permissions::from_mode(0o755))?;
    Ok(dir)
}

/// The smallest root directory: `act`, found on the PATH under another name too, and what a
/// container mounts things on.
fn build_root(root: &Path, act: &Path) -> Result<()> {
    for name in
        ["bin", "dev", "etc", "home", "mnt", "proc", "root", "run", "sys", "tmp", "usr/local/bin"]
    {
        fs::create_dir_all(root.join(name)).with_context(|| format!("cannot make {name}"))?;
    }
    fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777))?;
    fs::hard_link(act, root.join("bin/act")).context("cannot link act into the root directory")?;
    symlink("/bin/act", root.join("usr/local/bin/performer"))?;
    for name in ["etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/marker"] {
        fs::write(root.join(name), "of the root directory\n")?;
    }
    Ok(())
}

/// Own mounts, shared among us as systemd has it but not with the machine; own links; own names.
fn leave_the_host() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS)
        .context("cannot make namespaces that stand in for the host")?;
    for how in [MsFlags::MS_PRIVATE, MsFlags::MS_SHARED] {
        mount(None::<&str>, "/", None::<&str>, how | MsFlags::MS_REC, None::<&str>)
            .context("cannot change the propagation of /")?;
    }
    Ok(())
}

/// Lets go of what is mounted at or below `path` in our mount namespace. A step that does not make its
/// mounts private leaves them with its host, and what is mounted there already is doubled each time.
pub(super) fn detach_below(path: &Path) -> Result<()> {
    for mount in mounts_below(path)?.iter().rev() {
        // Another check may have been faster, or it went with the one above it.
        let _ = umount2(mount.as_path(), MntFlags::MNT_DETACH);
    }
    Ok(())
}

/// Only root's steps can mount anything here.
fn mounts_below(path: &Path) -> Result<Vec<PathBuf>> {
    if !geteuid().is_root() {
        return Ok(Vec::new());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read mountinfo")?;
    let points = mountinfo::parse(&mounts).into_iter().map(|mount| PathBuf::from(mount.point));
    Ok(points.filter(|point| point.starts_with(path)).collect())
}

/// A path as text; ours are all plain.
pub fn text(path: impl AsRef<OsStr>) -> String {
    path.as_ref().to_string_lossy().into_owned()
}
