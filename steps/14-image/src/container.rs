//! From an image to a container: its layers become those of step 8, and its config says what was
//! not said on the command line. Nothing is copied, so an image of a gigabyte starts like a small
//! one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use chroot::Hint;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::Gid;
use user::User;

use crate::bring::bring;
use crate::commands;
use crate::passwd;
use crate::store::{Image, Store, use_directory};

/// What an image says in the place of flags.
#[derive(clap::Args)]
#[group(skip)]
pub struct Args {
    /// Who the command is: numbers, or names that the image's /etc/passwd and /etc/group know
    #[arg(long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,

    /// Run this in the place of the image's entrypoint
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<OsString>,

    /// What reaches the command when we get SIGTERM; by default the image says it
    #[arg(long, value_name = "SIGNAL", value_parser = signal)]
    pub stop_signal: Option<Signal>,

    #[command(flatten)]
    pub pull: commands::PullArgs,
}

/// The image of a container that runs. Its layers are not pruned while this is held.
pub struct InUse {
    pub stop_signal: Signal,
    _layers: Vec<File>,
}

/// What an image has a say in.
type Flags<'a> = (&'a mut chroot::Args, &'a mut user::Args, &'a mut overlay::Args);

/// Finds the image, pulls it if it is missing, and fills in what the command line leaves open.
pub fn prepare(store: &Path, args: &Args, flags: Flags) -> Result<InUse> {
    let (chroot, user, overlay) = flags;
    let name = chroot.root.to_string_lossy().into_owned();
    let (store, image) = bring(store, &name, &args.pull)?;
    allow_descriptors(image.chain.len()).context("cannot raise the limit of descriptors")?;
    let layers = stack(&store, &image, &mut chroot.root, &mut overlay.layers)?;
    // `KEY` alone would be given the value that it has on the host.
    let own = image.config.config.env.iter().filter(|it| it.contains('='));
    let mut env: Vec<OsString> = own.map(OsString::from).collect();
    env.extend(become_user(&image, args, user, &layers)?);
    chroot.env.splice(0..0, env);
    chroot.command = command(&image, args, std::mem::take(&mut chroot.command))?;
    // What `main` has for no `-w`.
    if chroot.workdir == Path::new(".") {
        chroot.workdir = Path::new("/").join(&image.config.config.working_dir);
    }
    Ok(InUse { stop_signal: stop_signal(&image, args), _layers: layers })
}

/// A layer is open up to four times while a container is set up: more than getrlimit(2) allows most
/// processes, if there are hundreds. Then, and only then, the command has the higher limit too.
fn allow_descriptors(layers: usize) -> nix::Result<()> {
    let needed = 4 * layers as u64 + 64;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    match soft < needed.min(hard) {
        true => setrlimit(Resource::RLIMIT_NOFILE, needed.min(hard), hard),
        false => Ok(()),
    }
}

/// Says in `flags` who the command is; gives the HOME of whoever was looked up. Numbers on the
/// command line mean what they do in step 6.
fn become_user(
    image: &Image,
    args: &Args,
    flags: &mut user::Args,
    layers: &[File],
) -> Result<Option<OsString>> {
    let name = args.user.as_ref().unwrap_or(&image.config.config.user);
    flags.user = args.user.as_ref().and_then(|it| it.parse().ok());
    if flags.user.is_some() || (name.is_empty() && args.user.is_none()) {
        return Ok(None);
    }
    let account = passwd::look_up(name, layers)?;
    flags.user = Some(User { uid: account.uid, gid: account.gid });
    flags.groups = account.groups.into_iter().map(Gid::from_raw).collect();
    Ok(account.home.map(|home| format!("HOME={home}").into()))
}

/// A signal by its name, with or without SIG, or by its number.
fn signal(text: &str) -> Result<Signal, String> {
    let name = format!("SIG{}", text.to_uppercase().trim_start_matches("SIG"));
    let number = || Signal::try_from(text.parse::<i32>().ok()?).ok();
    name.parse().ok().or_else(number).ok_or("there is no such signal".into())
}

fn stop_signal(image: &Image, args: &Args) -> Signal {
    let named = image.config.config.stop_signal.as_deref().filter(|it| !it.is_empty());
    let known = args.stop_signal.or_else(|| signal(named?).ok());
    if let (None, Some(named)) = (known, named) {
        let note =
            format!("note: the image is to be stopped by {named:?}, which is not known here");
        chroot::tell(&note);
    }
    known.unwrap_or(Signal::SIGTERM)
}

/// Puts the layers of the image in the place of ROOT, and below those of `--layer`; gives them
/// open, from the bottom up.
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
    ensure!(!command.is_empty(), anyhow!("the image names no command").context(hint()));
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
