//! Step 8, overlay: the root directory becomes a layer that nobody can change. What the command
//! writes goes to an upper directory on top, thrown away at the end or kept.
//! `Layers::mount` puts them together, `Layers::changes` says what the command did.

mod diff;
mod hand_over;
mod lower;
mod upper;

use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chroot::HintExt;
use mount::{Flags, Root, tree};
use nix::unistd;
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, fsconfig_set_flag, fsconfig_set_string, fsopen};
use user::{Files, Maps};

pub use diff::{Change, Kind};

use hand_over::HandOver;

/// What lies over the root directory.
#[derive(clap::Args)]
#[group(skip)]
pub struct Args {
    /// Put a layer over the root directory; each lies over the one before
    #[arg(long = "layer", value_name = "DIR")]
    pub layers: Vec<PathBuf>,

    /// Keep the changes in DIR/upper; a later run goes on from there
    #[arg(long, value_name = "DIR")]
    pub upper: Option<PathBuf>,

    /// When the command has ended, list what it added (A), changed (C) and deleted (D)
    #[arg(long)]
    pub diff: bool,
}

/// The layers of one container.
pub struct Layers {
    /// From the top down, as overlayfs counts them.
    lower: Vec<PathBuf>,
    upper: Option<PathBuf>,
    diff: Option<HandOver>,
}

impl Layers {
    /// Looks at the directories and has the owners of their `files` mapped; makes those that
    /// `--upper` needs, for the container's root.
    pub fn prepare(root: &Path, args: &Args, maps: &Maps, files: &mut Files) -> Result<Layers> {
        let mut lower: Vec<PathBuf> = args.layers.iter().rev().cloned().collect();
        lower.push(root.into());
        for layer in &lower {
            fs::read_dir(layer).with_context(|| format!("cannot use layer {}", layer.display()))?;
            files.add(layer, maps)?;
        }
        if let Some(upper) = &args.upper {
            upper::check_apart(upper, &lower)?;
            upper::prepare(upper, maps)?;
        }
        let diff = args.diff.then(HandOver::new).transpose()?;
        Ok(Layers { lower, upper: args.upper.clone(), diff })
    }

    /// In the container's mount namespace, while we still are who we are on the host and may go
    /// where that user may: opens all that overlayfs is told about.
    pub fn open(&self, root: &Path) -> Result<Opened<'_>> {
        let directory = |kept: &PathBuf, name| upper::open_directory(&kept.join(name));
        let kept = self.upper.as_ref().map(|kept| {
            Ok::<_, anyhow::Error>((directory(kept, "upper")?, directory(kept, "work")?))
        });
        let (lower, place) = (self.open_lower()?, tree::open(root)?);
        Ok(Opened { lower, kept: kept.transpose()?, place, diff: self.diff.as_ref() })
    }

    /// The parent, when the command has ended: prints what it did, if `--diff` asks for it.
    pub fn print_changes(&self) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        for change in self.changes()? {
            writeln!(stdout, "{change}").context("cannot print the changes")?;
        }
        Ok(())
    }

    /// What the command did, in the order of the paths; nothing unless `--diff` asks for it.
    fn changes(&self) -> Result<Vec<Change>> {
        let Some(diff) = &self.diff else { return Ok(Vec::new()) };
        let Some(upper) = diff.receive()? else { return Ok(Vec::new()) };
        diff::changes(upper, self.open_lower()?).context("cannot read the upper directory")
    }

    fn open_lower(&self) -> Result<Vec<OwnedFd>> {
        self.lower.iter().map(|layer| tree::open(layer)).collect()
    }
}

/// The directories of one container, by descriptor.
pub struct Opened<'a> {
    lower: Vec<OwnedFd>,
    /// Upper and work directory, if `--upper` names them.
    kept: Option<(OwnedFd, OwnedFd)>,
    /// The directory in whose place the layers go.
    place: OwnedFd,
    diff: Option<&'a HandOver>,
}

impl Opened<'_> {
    /// All layers as one tree, in the place of the root directory, overlayfs.rst.
    ///
    /// Upper and work directory are those that are kept, or new ones, `directory`, on the `scratch`
    /// tmpfs of step 4. If there is to be a diff, the upper one is sent. Then `overlay` makes the
    /// mount and `Root::attach` puts it in its place. ELOOP gets a hint: a layer is given twice.
    ///
    /// Exercise 8.1
    pub fn mount(self) -> Result<Root> {
        // What hides a lower directory carries a `user.*` attribute. A tmpfs has those since Linux
        // 6.6: before, to remove such a directory is EIO, unless `--upper` is on a disk.
        let scratch = mount::scratch(self.place.as_fd())?;
        let (upper, work) = match self.kept {
            Some(kept) => kept,
            None => (directory(&scratch, "upper")?, directory(&scratch, "work")?),
        };
        if let Some(diff) = self.diff {
            diff.send(upper.as_fd())?;
        }
        let overlay = overlay(&self.lower, upper.as_fd(), work.as_fd())
            .hint(nix::errno::Errno::ELOOP, "a layer is given twice, or lies within another")?;
        Root::attach(overlay, scratch, self.place.as_fd()).context("cannot mount the layers")
    }
}

/// One overlay filesystem: Documentation/filesystems/overlayfs.rst of the kernel.
///
/// The layers are named by our descriptors: their paths may be long, hold the `:` and `,` that
/// separate options, and are nothing that the container should read in its mountinfo.
fn overlay(lower: &[OwnedFd], upper: BorrowedFd, work: BorrowedFd) -> Result<OwnedFd> {
    let separate: Vec<String> = lower.iter().map(|layer| name(layer.as_fd())).collect();
    let separate: Vec<(&str, &str)> =
        separate.iter().map(|name| ("lowerdir+", &name[..])).collect();
    match create(&separate, upper, work) {
        Err(error) if error.root_cause().downcast_ref() == Some(&Errno::INVAL) => {}
        created => return created,
    }
    // Before Linux 6.8 all lower layers are one option, of 255 bytes at most. To one that stands
    // in /proc/self/fd their names are mere numbers.
    unistd::chdir("/proc/self/fd").context("cannot change to /proc/self/fd")?;
    let numbers: Vec<String> = lower.iter().map(|layer| layer.as_raw_fd().to_string()).collect();
    create(&[("lowerdir", &numbers.join(":"))], upper, work)
        .hint(nix::errno::Errno::EINVAL, "Linux before 6.8 takes about 80 layers, newer ones 500")
}

/// Makes one overlay filesystem: a mount that is attached nowhere yet.
///
/// fsopen(2) gives a context. `set` its `source`, each pair of `lower`, and `upperdir` and
/// `workdir` by the `name` of the descriptor. The flag `userxattr` has it keep its marks where we
/// may write them, overlayfs.rst. `tree::create` of step 4 makes the mount.
///
/// Exercise 8.2
fn create(lower: &[(&str, &str)], upper: BorrowedFd, work: BorrowedFd) -> Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).context("cannot open overlay")?;
    set(&context, "source", "overlay")?;
    for (key, value) in lower {
        set(&context, key, value)?;
    }
    set(&context, "upperdir", &name(upper))?;
    set(&context, "workdir", &name(work))?;
    // The marks of opaque directories as user.* attributes: trusted.* is for the host's root.
    fsconfig_set_flag(&context, "userxattr").context("cannot set userxattr of overlay")?;
    tree::create(context, "overlay", Flags::empty())
}

fn set(context: &OwnedFd, key: &str, value: &str) -> Result<()> {
    fsconfig_set_string(context, key, value)
        .with_context(|| format!("cannot set option {key} of overlay"))
}

fn name(file: BorrowedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn directory(scratch: &OwnedFd, name: &str) -> Result<OwnedFd> {
    mkdirat(scratch, name, Mode::from_raw_mode(0o755))
        .with_context(|| format!("cannot make the {name} directory"))?;
    openat(scratch, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .with_context(|| format!("cannot open the {name} directory"))
}
