//! Directories with all that is in them: what one call of the standard library does not do.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Does something to a directory and then to all that is in it.
pub fn walk(path: &Path, act: &mut impl FnMut(&Path) -> io::Result<()>) -> Result<()> {
    act(path).with_context(|| format!("cannot change {}", path.display()))?;
    if path.symlink_metadata()?.is_dir() {
        for entry in fs::read_dir(path)? {
            walk(&entry?.path(), act)?;
        }
    }
    Ok(())
}

/// Lets its owner into every directory, and so remove it. The kernel leaves some in overlay's work
/// directory that even they may not read.
pub fn make_removable(path: &Path) -> Result<()> {
    walk(path, &mut |path| match path.symlink_metadata()?.is_dir() {
        true => fs::set_permissions(path, Permissions::from_mode(0o700)),
        false => Ok(()),
    })
}
