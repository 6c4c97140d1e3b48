//! Man pages: `pivot_root(2)` in a text becomes a link to man7.org. Each must be on the list
//! `book/man-pages.txt`, by name and section: what is not there is an error with its line.

use std::{collections::BTreeMap, ops::Range};

use anyhow::{Result, anyhow};
use pulldown_cmark::{Event, Options, Parser, TagEnd};

use crate::{
    chapter::Chapter,
    expand::Expanded,
    place::{self, Place, read},
};

/// The list, below the book's directory: a page a line, `pivot_root(2)`.
pub const LIST: &str = "man-pages.txt";

/// The chapter with its man pages linked.
pub fn link(place: &Place, chapter: &Chapter, expanded: &Expanded) -> Result<String> {
    let list = read(&place.book.join(LIST))?;
    let entries = list.lines().filter(|line| !line.starts_with('#'));
    let known: BTreeMap<&str, Option<&str>> = entries.filter_map(entry).collect();
    let mut text = expanded.text.clone();
    for (range, name, code) in named(&expanded.text).into_iter().rev() {
        let Some(elsewhere) = known.get(name.as_str()) else {
            let error = anyhow!("{name} is not on the list of man pages, book/{LIST}");
            return Err(place::at(&chapter.path, expanded.line(range.start), error));
        };
        let shown = if code { format!("`{name}`") } else { name.clone() };
        let address = elsewhere.map_or_else(|| address(&name), String::from);
        text.replace_range(range, &format!("[{shown}]({address})"));
    }
    Ok(text)
}

/// A page, and its address where man7.org does not have it.
fn entry(line: &str) -> Option<(&str, Option<&str>)> {
    let mut words = line.split_whitespace();
    Some((words.next()?, words.next()))
}

/// `https://man7.org/linux/man-pages/man2/pivot_root.2.html`
fn address(name: &str) -> String {
    let (name, section) = name.trim_end_matches(')').split_once('(').unwrap_or((name, ""));
    let directory = &section[..section.len().min(1)];
    format!("https://man7.org/linux/man-pages/man{directory}/{name}.{section}.html")
}

/// Where pages are named in running text, and whether as code: not in headings, links and blocks.
fn named(text: &str) -> Vec<(Range<usize>, String, bool)> {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH;
    let (mut found, mut closed) = (Vec::new(), 0);
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(tag) if is_closed(&tag.to_end()) => closed += 1,
            Event::End(tag) if is_closed(&tag) => closed -= 1,
            Event::Code(code) if closed == 0 && is_page(&code) => {
                found.push((range, code.to_string(), true));
            }
            Event::Text(_) if closed == 0 => {
                let start = range.start;
                let pages = pages(&text[range]).into_iter();
                found.extend(pages.map(|(at, page)| {
                    (start + at..start + at + page.len(), page.to_string(), false)
                }));
            }
            _ => {}
        }
    }
    found
}

fn is_closed(tag: &TagEnd) -> bool {
    matches!(
        tag,
        TagEnd::Heading(_) | TagEnd::Link | TagEnd::Image | TagEnd::CodeBlock | TagEnd::HtmlBlock
    )
}

/// The pages that a text names, and where.
fn pages(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (open, _) in text.match_indices('(') {
        let start = text[..open]
            .rfind(|it| !is_of_name(it))
            .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
        let end = text[open..].find(')').map_or(open, |at| open + at + 1);
        if is_page(&text[start..end]) {
            found.push((start, &text[start..end]));
        }
    }
    found
}

/// `pivot_root(2)`, `proc_pid_mountinfo(5)`, `PR_SET_PDEATHSIG(2const)`
fn is_page(text: &str) -> bool {
    let Some((name, section)) = text.strip_suffix(')').and_then(|it| it.split_once('(')) else {
        return false;
    };
    let Some(rest) = section.strip_prefix(|it: char| ('1'..='8').contains(&it)) else {
        return false;
    };
    let section_fits = rest.chars().all(|it| it.is_ascii_lowercase());
    section_fits && name.chars().all(is_of_name) && name.starts_with(|it: char| it.is_alphabetic())
}

fn is_of_name(it: char) -> bool {
    it.is_ascii_alphanumeric() || "_-.+:".contains(it)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, bool)> {
        named(text).into_iter().map(|(_, name, code)| (name, code)).collect()
    }

    #[test]
    fn pages_are_found_in_text_and_code_and_nowhere_else() {
        let text = "# a(1)\n\nSee pivot_root(2), `mount(8)`; [b(1)](x) and `c(1) d` or f(x), exit(n).\n\n```\ne(1)\n```\n";
        assert_eq!(found(text), [("pivot_root(2)".into(), false), ("mount(8)".into(), true)]);
    }

    #[test]
    fn an_address_has_name_and_section() {
        let expected = "https://man7.org/linux/man-pages/man7/user_namespaces.7.html";
        assert_eq!(address("user_namespaces(7)"), expected);
    }
}
