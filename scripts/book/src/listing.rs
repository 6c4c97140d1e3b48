//! Code in a chapter: a block with a caption that names file and line, and leads there.

use anyhow::{Result, bail};
use similar::{ChangeTag, TextDiff};
use workshop::steps::Step;

use crate::{
    chapter::Chapter,
    code::{self, Kind},
    fence,
    place::{Place, read},
};

/// `{{#fn …}}` and `{{#item …}}`.
pub fn code(place: &Place, chapter: &Chapter, path: &str, kind: Kind) -> Result<String> {
    let found = code::find(place, path, kind)?;
    Ok(block(chapter, "rust", &found.text, &[(found.file, found.line)]))
}

/// `{{#main 1}}`: all of it.
pub fn main(place: &Place, chapter: &Chapter, step: Step) -> Result<String> {
    let file = main_of(place, step);
    let text = read(&place.checkout.join(&file))?;
    Ok(block(chapter, "rust", &text, &[(file, 1)]))
}

/// `{{#attack 4}}`: without the part of the file that is about the harness.
pub fn attack(place: &Place, chapter: &Chapter, step: Step) -> Result<String> {
    let file = format!("steps/{}/attack.rs", step.directory());
    let text = read(&place.checkout.join(&file))?;
    if text.trim().is_empty() {
        bail!("{file} is empty");
    }
    Ok(block(chapter, "rust", &text, &[(file, 1)]))
}

/// `{{#diff 3 4}}`: what the lesson is.
pub fn diff(place: &Place, chapter: &Chapter, old: Step, new: Step) -> Result<String> {
    let files = [main_of(place, old), main_of(place, new)];
    let [old, new] =
        [read(&place.checkout.join(&files[0]))?, read(&place.checkout.join(&files[1]))?];
    let text = difference(&old, &new);
    if text.is_empty() {
        bail!("{} and {} are the same", files[0], files[1]);
    }
    let [old, new] = files;
    Ok(block(chapter, "diff", &text, &[(old, 1), (new, 1)]))
}

fn main_of(place: &Place, step: Step) -> String {
    place.named(&place.package(step).join("src/main.rs"))
}

/// The changed lines with three of context; a gap where some are left out.
fn difference(old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut text = String::new();
    for (number, group) in diff.grouped_ops(3).iter().enumerate() {
        if number > 0 {
            text += "  ⋮\n";
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            text += format!("{sign} {}", change.value().trim_end()).trim_end();
            text.push('\n');
        }
    }
    text
}

/// A block of code under a caption that links the files it is from.
pub fn block(chapter: &Chapter, language: &str, text: &str, from: &[(String, usize)]) -> String {
    let fence = fence::around(text);
    let links: Vec<String> = from.iter().map(|(file, line)| link(chapter, file, *line)).collect();
    let caption = links.join(" → ");
    format!(
        "<figure class=\"listing\">\n<figcaption>\n\n{caption}\n\n</figcaption>\n\n\
         {fence}{language}\n{text}{fence}\n\n</figure>\n"
    )
}

/// `[steps/04-mount/src/root.rs:12](source/…#L12)`: the book has a page for each file.
pub fn link(chapter: &Chapter, file: &str, line: usize) -> String {
    let name = if line > 1 { format!("{file}:{line}") } else { file.to_string() };
    format!("[{name}]({}{}#L{line})", chapter.to_root(), crate::source_pages::page(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_signs_and_gaps() {
        let old = "a\n1\n2\n3\n4\n5\n6\n7\n8\nz\n";
        let new = "b\n1\n2\n3\n4\n5\n6\n7\n8\ny\n";
        let expected = "- a\n+ b\n  1\n  2\n  3\n  ⋮\n  6\n  7\n  8\n- z\n+ y\n";
        assert_eq!(difference(old, new), expected);
    }
}
