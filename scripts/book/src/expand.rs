//! A chapter as it is written becomes the one that mdBook gets: directives are replaced by what they
//! stand for, transcripts and questions by HTML. Each line remembers the line that it comes from.

use anyhow::{Context, Result, anyhow, bail, ensure};
use workshop::{exercise::Id, steps::Step};

use crate::{
    chapter::Chapter,
    code::Kind as What,
    console, exercises,
    fence::{self, Kind, Line},
    flags, listing, man, picture,
    place::{self, Place},
    quiz, tables,
};

/// The text of a chapter and, line by line, where it comes from.
#[derive(Default)]
pub struct Expanded {
    pub text: String,
    from: Vec<usize>,
}

impl Expanded {
    /// Lines, of which an empty one is one too.
    fn push(&mut self, from: usize, text: &str) {
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            self.text += line;
            self.text.push('\n');
            self.from.push(from);
        }
    }

    /// The chapter's line that a byte of the text comes from.
    pub fn line(&self, offset: usize) -> usize {
        let line = self.text[..offset].matches('\n').count();
        self.from.get(line).copied().unwrap_or(1)
    }
}

/// What mdBook is to see of a chapter.
pub fn chapter(place: &Place, chapter: &Chapter, text: &str) -> Result<String> {
    let expanded = directives(place, chapter, text)?;
    man::link(place, chapter, &expanded)
}

fn directives(place: &Place, chapter: &Chapter, text: &str) -> Result<Expanded> {
    let lines = fence::lines(text);
    let mut expanded = Expanded::default();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let end = at + length(&lines[at..]);
        let replaced = replacement(place, chapter, &lines[at..end]);
        let replaced = replaced.map_err(|error| place::at(&chapter.path, line.number, error))?;
        match replaced {
            Some(text) => expanded.push(line.number, &text),
            None => lines[at..end].iter().for_each(|it| expanded.push(it.number, it.text)),
        }
        at = end;
    }
    Ok(expanded)
}

/// How many lines belong together: a fenced block, a question, or one line.
fn length(lines: &[Line]) -> usize {
    let end = match lines[0].kind {
        Kind::Open(_) => lines.iter().position(|it| it.kind == Kind::Close),
        Kind::Prose if quiz::opens(lines[0].text) => {
            lines.iter().position(|it| it.kind == Kind::Prose && it.text.trim() == "</div>")
        }
        _ => Some(0),
    };
    end.map_or(lines.len(), |it| it + 1)
}

/// What stands in a chapter instead of these lines; nothing, if they stay.
fn replacement(place: &Place, chapter: &Chapter, lines: &[Line]) -> Result<Option<String>> {
    let line = lines[0].text;
    match lines[0].kind {
        Kind::Open(info) if console::is_console(info) => console::html(lines).map(Some),
        Kind::Prose if quiz::opens(line) => quiz::html(lines).map(Some),
        Kind::Prose if line.contains("{{#") => {
            let inside = line.trim().strip_prefix("{{#").and_then(|it| it.strip_suffix("}}"));
            let inside =
                inside.context("a directive stands alone on its line: {{#fn mount::pivot}}")?;
            let text = directive(place, chapter, inside)?;
            ensure!(!text.trim().is_empty(), "{{{{#{inside}}}}} gives nothing");
            Ok(Some(text))
        }
        _ => Ok(None),
    }
}

fn directive(place: &Place, chapter: &Chapter, inside: &str) -> Result<String> {
    let words: Vec<&str> = inside.split_whitespace().collect();
    match words.as_slice() {
        ["fn", path] => listing::code(place, chapter, path, What::Function),
        ["item", path] => listing::code(place, chapter, path, What::Item),
        ["main", step] => listing::main(place, chapter, parsed(step)?),
        ["diff", old, new] => listing::diff(place, chapter, parsed(old)?, parsed(new)?),
        ["attack", step] => listing::attack(place, chapter, parsed(step)?),
        ["flags", step] => flags::table(parsed(step)?),
        ["exercises", step] => exercises::of_step(place, parsed(step)?),
        ["exercise", one] => match one.contains('.') {
            true => exercises::one(place, parsed::<Id>(one)?),
            false => exercises::wiring(parsed(one)?),
        },
        ["xray", "host"] => picture::xray(place, chapter, None),
        ["xray", step] => picture::xray(place, chapter, Some(parsed::<Step>(step)?)),
        ["svg", name] => picture::drawing(place, name),
        ["matrix"] => tables::matrix(place),
        ["attacks"] => tables::attacks(place),
        _ => bail!("no directive is called {{{{#{inside}}}}}"),
    }
}

fn parsed<T: std::str::FromStr<Err = String>>(word: &str) -> Result<T> {
    word.parse().map_err(|error: String| anyhow!(error))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn expand(text: &str) -> Result<String> {
        let here = Place::here().unwrap();
        directives(&here, &Chapter::new(Path::new("04-mount.md")), text).map(|it| it.text)
    }

    #[test]
    fn a_directive_is_replaced_and_a_block_is_left_alone() {
        let text = expand("a\n\n{{#fn chroot::exec}}\n\n```text\n{{#fn x}}\n```\n").unwrap();
        assert!(text.starts_with("a\n\n<figure"), "{text}");
        assert!(
            text.contains("pub fn exec(") && text.contains("```text\n{{#fn x}}\n```"),
            "{text}"
        );
    }

    #[test]
    fn what_is_missing_is_an_error_with_its_line() {
        for (line, error) in [
            ("{{#fn mount::gone}}", "there is no function gone in steps/04-mount/src"),
            ("{{#nothing}}", "no directive is called {{#nothing}}"),
            ("see {{#fn mount::x}}", "a directive stands alone on its line: {{#fn mount::pivot}}"),
            ("{{#flags 10}}", "there are steps 1 to 9 and 14, from chroot to image"),
        ] {
            let found = expand(&format!("a\n\n{line}\n")).unwrap_err().to_string();
            assert_eq!(found, format!("book/src/04-mount.md:3: {error}"));
        }
    }
}
