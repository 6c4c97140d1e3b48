//! What is put right in the pages that mdBook made, for those who hear them: a table's empty corner is no
//! heading, and a box to tick off on paper no field.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::place::{read, write};

/// What is put in place of what.
const CHANGES: [(&str, &str); 2] = [
    ("<th></th>", "<td></td>"),
    (
        "<input disabled=\"\" type=\"checkbox\">",
        "<span class=\"box\" aria-hidden=\"true\">☐</span>",
    ),
];

/// All pages in a directory and below.
pub fn pages(dir: &Path) -> Result<()> {
    let act = || format!("cannot list {}", dir.display());
    for entry in fs::read_dir(dir).with_context(act)? {
        let path = entry.with_context(act)?.path();
        if path.is_dir() {
            pages(&path)?;
        } else if path.extension().is_some_and(|it| it == "html") {
            let text = read(&path)?;
            let changed =
                CHANGES.iter().fold(text.clone(), |text, (old, new)| text.replace(old, new));
            if changed != text {
                write(&path, &changed)?;
            }
        }
    }
    Ok(())
}
