//! Images for step 14, whose program takes no root directory. The store is below `.workshop/`, one a user;
//! where nobody can own files there, as on the lab's host file system, it is a temporary directory.

use std::{
    env,
    ffi::OsString,
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use evidence::image;
use nix::{
    sys::statfs::{FsType, statfs},
    unistd::{AccessFlags, eaccess, geteuid},
};

use crate::{checkout, steps::Step};

/// What the default root directory is called as an image.
const NAME: &str = "rootfs";

/// What the store in a temporary directory is called, before the user's number.
pub const TEMPORARY: &str = "workshop-images-";

/// User-Mode Linux's file system, whose owners are the machine's outside.
const HOSTFS: FsType = FsType(0x00c0_ffee);

/// What a step's program is given before the command: `[FLAGS] ROOT`, with the default root directory. Step
/// 14 is given that as an image, which is imported if it is not there yet.
pub fn arguments(step: Step, flags: &[&str]) -> Result<Vec<OsString>> {
    let flags = flags.iter().map(OsString::from);
    if step.takes_root() {
        return Ok(flags.chain([checkout::rootfs()?.into()]).collect());
    }
    let run = ["--store".into(), rootfs(step)?.into(), "run".into()];
    Ok(run.into_iter().chain(flags).chain([NAME.into()]).collect())
}

/// The arguments for step 14's program with this store, unless the reader has chosen another.
pub fn with_store(arguments: &[OsString]) -> Result<Vec<OsString>> {
    let names_one = |it: &OsString| it.to_string_lossy().starts_with("--store");
    if arguments.iter().any(names_one) || env::var_os("IMAGE_STORE").is_some() {
        return Ok(arguments.to_vec());
    }
    Ok([&["--store".into(), store()?.into()], arguments].concat())
}

/// The store, with the default root directory in it.
fn rootfs(step: Step) -> Result<PathBuf> {
    let (store, program) = (store()?, checkout::programs()?.join(step.name()));
    let mut inspect = Command::new(&program);
    inspect.arg("--store").arg(&store).args(["inspect", NAME]).stdin(Stdio::null());
    let known = inspect.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if known.with_context(|| format!("cannot run {}", program.display()))?.success() {
        return Ok(store);
    }
    let layout = tempfile::Builder::new().prefix("workshop-layout-").tempdir();
    let layout = layout.context("cannot make a temporary directory")?;
    image::save(&checkout::rootfs()?, layout.path())?;
    image::import(Command::new(program), layout.path(), &store, NAME)?;
    Ok(store)
}

/// This user's store; its directory is there.
pub fn store() -> Result<PathBuf> {
    let user = geteuid();
    let images = checkout::work()?.join("images");
    let store = images.join(user.to_string());
    if fs::create_dir_all(&images).is_ok() && private(&store).is_ok() && can_own_files(&store) {
        return Ok(store);
    }
    let store = temporary();
    private(&store).with_context(|| format!("cannot make {}", store.display()))?;
    let owner = store.symlink_metadata().context("cannot look at the store")?.uid();
    ensure!(owner == user.as_raw(), "{} is somebody else's", store.display());
    Ok(store)
}

fn temporary() -> PathBuf {
    env::temp_dir().join(format!("{TEMPORARY}{}", geteuid()))
}

/// A file that is setuid in an image must not be within reach of others.
fn private(directory: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Removes this user's store in the temporary directory, if there is one: for a trial that is to leave nothing.
pub fn forget_temporary() {
    let _ = fs::remove_dir_all(temporary());
}

fn can_own_files(directory: &Path) -> bool {
    let kind = statfs(directory).map(|it| it.filesystem_type());
    eaccess(directory, AccessFlags::W_OK).is_ok() && kind.is_ok_and(|kind| kind != HOSTFS)
}

/// Removes what is unpacked in this user's store below `.workshop/`: not all of it need be this user's
/// own, who may have many ids.
pub fn clean() {
    let Ok(work) = checkout::work() else { return };
    let store = work.join("images").join(geteuid().to_string());
    let Ok(program) = checkout::programs().map(|it| it.join("image")) else { return };
    if fs::remove_file(store.join("index.json")).is_ok() {
        let mut prune = Command::new(program);
        prune.arg("--store").arg(store).arg("prune").stdin(Stdio::null());
        let _ = prune.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
