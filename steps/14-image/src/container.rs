//! From an image to a container: its layers become those of step 8, and its config says what was
//! not said on the command line. Nothing is copied, so an image of a gigabyte starts like a small
//! one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use chroot::Hint;

use crate::commands;
use crate::passwd;
use crate::store::{Image, Store, use_directory};

/// What an image says in the place of flags.
#[derive(clap::Args)]
#[group(skip)]
pub struct Args {
    /// Run this in the place of the image's entrypoint
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<OsString>,
    #[command(flatten)]
    pub pull: commands::PullArgs,
}

/// The layers of a container are not pruned while this is held.
pub struct InUse {
    _layers: Vec<File>,
}

/// What an image has a say in.
type Flags<'a> = (&'a mut chroot::Args, &'a mut user::Args, &'a mut overlay::Args);

/// Finds the image, pulls it if it is missing, and fills in what the command line leaves open.
/// Where the pull has failed, and said why, there is its exit code.
pub fn prepare(store: &Path, args: &Args, flags: Flags) -> Result<Result<InUse, u8>> {
    let name = flags.0.root.to_string_lossy().into_owned();
    match commands::bring(store, &name, &args.pull)? {
        Ok((store, image)) => fill(&store, &image, args, flags).map(Ok),
        Err(code) => Ok(Err(code)),
    }
}

fn fill(store: &Store, image: &Image, args: &Args, flags: Flags) -> Result<InUse> {
    let (chroot, user, overlay) = flags;
    let layers = stack(store, image, &mut chroot.root, &mut overlay.layers)?;
    let open = |it: &File| Ok(OwnedFd::from(it.try_clone().context("cannot copy a descriptor")?));
    let top_down = layers.iter().rev().map(open).collect::<Result<Vec<_>>>()?;
    let run = &image.config.config;
    // `KEY` alone would be given the value that it has on the host.
    let own = run.env.iter().filter(|it| it.contains('=')).map(OsString::from);
    let mut env: Vec<OsString> = own.collect();
    if user.user.is_none() && !run.user.is_empty() {
        let account = passwd::look_up(&run.user, &top_down)?;
        user.user = Some(account.user());
        env.extend(account.home.map(|home| format!("HOME={home}").into()));
    }
    chroot.env.splice(0..0, env);
    chroot.command = command(image, args, std::mem::take(&mut chroot.command))?;
    // What `main` has for no `-w`.
    if chroot.workdir == Path::new(".") {
        chroot.workdir = Path::new("/").join(&run.working_dir);
    }
    Ok(InUse { _layers: layers })
}

/// Puts the layers of the image in the place of ROOT, and below those of `--layer`; gives them
/// open.
///
/// Nothing is copied: step 8 takes directories, and each name in the image's `chain`, from the
/// bottom up, is that of an unpacked one, `Store::layer`. The lowest is `root`; the others come
/// before all that `layers` has, for the last there is the uppermost, overlayfs.rst. What
/// `use_directory` opens is locked, flock(2): `prune` leaves it alone for as long as it is held.
///
/// Exercise 14.5
fn stack(
    store: &Store,
    image: &Image,
    root: &mut PathBuf,
    layers: &mut Vec<PathBuf>,
) -> Result<Vec<File>> {
    let mut paths: Vec<PathBuf> = image.chain.iter().map(|chain| store.layer(chain)).collect();
    let held = paths.iter().map(|path| use_directory(path)).collect::<Result<Vec<_>>>()?;
    *root = paths.remove(0);
    layers.splice(0..0, paths);
    Ok(held)
}

/// image-spec, config.md: Entrypoint is what always runs, Cmd its arguments unless there are
/// others.
fn command(image: &Image, args: &Args, given: Vec<OsString>) -> Result<Vec<OsString>> {
    let run = &image.config.config;
    let words = |list: &[String]| list.iter().map(OsString::from).collect::<Vec<_>>();
    let (mut command, default) = match &args.entrypoint {
        Some(entrypoint) => (vec![entrypoint.clone()], Vec::new()),
        None => (words(&run.entrypoint), words(&run.cmd)),
    };
    command.extend(if given.is_empty() { default } else { given });
    let hint = || Hint("give one after the name of the image".into());
    ensure!(!command.is_empty(), anyhow::anyhow!("the image names no command").context(hint()));
    Ok(command)
}

/// In the container: the working directory is made if the image has none, as Docker does.
pub fn make_workdir(workdir: &Path) -> Result<()> {
    match fs::create_dir_all(workdir) {
        // The change to it will say what is wrong.
        Err(error) if error.raw_os_error().is_none() => {
            Err(error).context("cannot make the working directory")
        }
        _ => Ok(()),
    }
}
