//! Paths as the reader would type them: below the working directory where they are below it.

use std::{env, path::Path};

/// `my/steps/05-net/src/lib.rs`
pub fn shown(path: &Path) -> String {
    let here = env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
