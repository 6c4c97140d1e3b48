//! The flags of this step and the list of mounts that they ask for.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use crate::defaults;
use crate::list::{Flags, Mount, Source};

/// What the container's file tree holds besides the root directory.
#[derive(clap::Args)]
#[group(skip)]
pub struct Args {
    /// Show a file or directory of the host inside
    #[arg(short = 'v', long = "volume", value_name = "SRC:DST[:ro]")]
    pub volumes: Vec<Volume>,

    /// Mount an empty tmpfs; options are ro, noexec, size=64m, mode=755 and tmpfs(5)'s others
    #[arg(long, value_name = "DST[:OPTION,…]")]
    pub tmpfs: Vec<Tmpfs>,

    /// Make the root directory read-only
    #[arg(long)]
    pub read_only: bool,
}

impl Args {
    /// The defaults, then what was asked for, then what protects /proc and /sys.
    pub fn mounts(&self) -> Vec<Mount> {
        let mut mounts = defaults::filesystems();
        mounts.extend(self.volumes.iter().map(Volume::mount));
        mounts.extend(self.tmpfs.iter().map(Tmpfs::mount));
        mounts.extend(defaults::protections());
        mounts
    }
}

/// `SRC:DST[:ro]`: a path of the host, a path inside, and whether it may be written.
#[derive(Clone)]
pub struct Volume {
    source: PathBuf,
    target: PathBuf,
    read_only: bool,
}

impl Volume {
    fn mount(&self) -> Mount {
        let mut flags = Flags::MOUNT_ATTR_NODEV;
        flags.set(Flags::MOUNT_ATTR_RDONLY, self.read_only);
        Mount::new(Source::Bind(self.source.clone()), &self.target).flags(flags)
    }
}

impl FromStr for Volume {
    type Err = String;

    fn from_str(text: &str) -> Result<Volume, String> {
        let (text, read_only) = match text.rsplit_once(':') {
            Some((rest, "ro")) => (rest, true),
            Some((rest, "rw")) => (rest, false),
            _ => (text, false),
        };
        match text.rsplit_once(':') {
            Some((source, target)) if !source.is_empty() => {
                Ok(Volume { source: source.into(), target: absolute(target)?, read_only })
            }
            _ => Err("a volume is SRC:DST, SRC:DST:ro or SRC:DST:rw".into()),
        }
    }
}

/// `DST[:OPTION,…]`, options as mount(8) has them.
#[derive(Clone)]
pub struct Tmpfs {
    target: PathBuf,
    flags: Flags,
    options: Vec<(String, String)>,
}

impl Tmpfs {
    fn mount(&self) -> Mount {
        let mount = Mount::filesystem("tmpfs", &self.target).option("mode", "1777");
        let given = self.options.iter();
        given.fold(mount, |mount, (key, value)| mount.option(key, value)).flags(self.flags)
    }

    /// A flag of the mount, or else an option of the filesystem.
    fn set(&mut self, option: &str) {
        let (flag, on) = match option {
            "ro" => (Flags::MOUNT_ATTR_RDONLY, true),
            "rw" => (Flags::MOUNT_ATTR_RDONLY, false),
            "noexec" => (Flags::MOUNT_ATTR_NOEXEC, true),
            "exec" => (Flags::MOUNT_ATTR_NOEXEC, false),
            "nosuid" => (Flags::MOUNT_ATTR_NOSUID, true),
            "suid" => (Flags::MOUNT_ATTR_NOSUID, false),
            "nodev" => (Flags::MOUNT_ATTR_NODEV, true),
            _ => {
                let (key, value) = option.split_once('=').unwrap_or((option, ""));
                return self.options.push((key.into(), value.into()));
            }
        };
        self.flags.set(flag, on);
    }
}

impl FromStr for Tmpfs {
    type Err = String;

    fn from_str(text: &str) -> Result<Tmpfs, String> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let flags = Flags::MOUNT_ATTR_NOSUID | Flags::MOUNT_ATTR_NODEV;
        let mut tmpfs = Tmpfs { target: absolute(target)?, flags, options: Vec::new() };
        let options = options.split(',').filter(|option| !option.is_empty());
        options.for_each(|option| tmpfs.set(option));
        Ok(tmpfs)
    }
}

fn absolute(path: &str) -> Result<PathBuf, String> {
    let climbs = Path::new(path).components().any(|part| part == Component::ParentDir);
    match Path::new(path).is_absolute() && path != "/" && !climbs {
        true => Ok(path.into()),
        false => Err(format!("{path:?} is not an absolute path below / without `..`")),
    }
}
