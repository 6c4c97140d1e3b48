//! A page for each source file that the book links: the file, line by line, each line a place to link
//! to. So the book needs no repository.

use std::{collections::BTreeSet, fmt::Write, path::PathBuf};

use anyhow::Result;
use workshop::{exercise, steps::Step};

use crate::place::{Place, read, write};

/// The page of a file, from the first page: `source/04-mount/src/root.rs.html`.
pub fn page(file: &str) -> String {
    format!("source/{}.html", file.strip_prefix("steps/").unwrap_or(file))
}

/// Writes the pages of all steps' sources.
pub fn write_all(place: &Place) -> Result<()> {
    for file in files(place)? {
        let text = read(&place.checkout.join(&file))?;
        write(&place.output().join(page(&file)), &html(&file, &text))?;
    }
    Ok(())
}

/// Below the checkout: `steps/04-mount/src/root.rs`, `steps/04-mount/attack.rs`.
fn files(place: &Place) -> Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    for step in Step::all() {
        let package = place.package(step);
        let sources = exercise::sources(&package)?.into_keys().chain([PathBuf::from("attack.rs")]);
        files.extend(sources.map(|file| place.named(&package.join(file))));
    }
    Ok(files)
}

fn html(file: &str, text: &str) -> String {
    let to_root = "../".repeat(page(file).matches('/').count());
    let mut lines = String::new();
    for (at, line) in text.lines().enumerate() {
        let _ = writeln!(lines, "<span id=\"L{}\">{}</span>", at + 1, escape(line));
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{file}</title>\n<link rel=\"stylesheet\" href=\"{to_root}source.css\">\n</head>\n\
         <body>\n<main>\n<h1>{file}</h1>\n<p><a href=\"{to_root}index.html\">The book</a></p>\n\
         <pre tabindex=\"0\"><code>{lines}</code></pre>\n</main>\n</body>\n</html>\n"
    )
}

/// Text that HTML cannot mistake for markup.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
