//! The flags of this step and the list of mounts that they ask for.

use std::path::{Path, PathBuf};
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

    /// Mount an empty tmpfs
    #[arg(long, value_name = "DST", value_parser = absolute)]
    pub tmpfs: Vec<PathBuf>,

    /// Make the root directory read-only
    #[arg(long)]
    pub read_only: bool,
}

impl Args {
    /// The defaults, then what was asked for, then what protects /proc and /sys.
    pub fn mounts(&self) -> Vec<Mount> {
        let mut mounts = defaults::filesystems();
        mounts.extend(self.volumes.iter().map(Volume::mount));
        mounts.extend(self.tmpfs.iter().map(|target| {
            let flags = Flags::MOUNT_ATTR_NOSUID | Flags::MOUNT_ATTR_NODEV;
            Mount::filesystem("tmpfs", target).option("mode", "1777").flags(flags)
        }));
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

fn absolute(path: &str) -> Result<PathBuf, String> {
    match Path::new(path).is_absolute() && path != "/" {
        true => Ok(path.into()),
        false => Err(format!("{path:?} is not an absolute path below /")),
    }
}
