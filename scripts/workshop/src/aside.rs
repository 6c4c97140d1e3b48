//! Nothing of the learner's is overwritten: what would be is moved to `my/aside/`, under a name that
//! says when and what.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{shown::shown, steps::Step};

/// Moves `what` below `my/aside/` and returns where it is now.
pub fn move_there(my: &Path, what: &Path) -> Result<PathBuf> {
    let to = place(my, what)?;
    fs::rename(what, &to)
        .with_context(|| format!("cannot move {} to {}", what.display(), to.display()))?;
    Ok(to)
}

/// Copies a file there, for what is only to be changed in part.
pub fn copy_there(my: &Path, what: &Path) -> Result<PathBuf> {
    let to = place(my, what)?;
    fs::copy(what, &to)
        .with_context(|| format!("cannot copy {} to {}", what.display(), to.display()))?;
    Ok(to)
}

/// Moves a whole step there to make room for another, and says where it is and how to have it back.
pub fn make_room(my: &Path, step: Step, package: &Path) -> Result<()> {
    let kept = move_there(my, package)?;
    let (kept, package) = (shown(&kept), shown(package));
    println!("  your {step}, as it was, is kept in {kept}");
    println!("  to have it back: rm -r {package} && mv {kept} {package}");
    Ok(())
}

/// `my/aside/2026-11-21-15.04.05-steps-05-net-src-lib.rs`, with a number if there is one already.
fn place(my: &Path, what: &Path) -> Result<PathBuf> {
    let aside = my.join("aside");
    fs::create_dir_all(&aside).with_context(|| format!("cannot make {}", aside.display()))?;
    let what = what.strip_prefix(my).unwrap_or(what);
    let words = what.iter().map(|it| it.to_string_lossy()).collect::<Vec<_>>();
    let name = format!("{}-{}", now()?, words.join("-"));
    let numbered = |number| match number {
        1 => aside.join(&name),
        _ => aside.join(format!("{name}-{number}")),
    };
    let free = (1..).map(numbered).find(|path| missing(path));
    free.context("my/aside has no free name")
}

fn missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The local time. date(1) knows the time zone; the C library's would be loaded, which a static
/// program cannot.
fn now() -> Result<String> {
    let output = Command::new("date").arg("+%Y-%m-%d-%H.%M.%S").output();
    let output = output.context("cannot run date")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}
