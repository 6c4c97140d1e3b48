//! Links in the built pages: each must lead to a file that is there, and to a place in it that is there.
//! What leads out of the book is not asked for: man pages are on a list, and the rest is for a reader.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use regex::Regex;

use crate::place::{Place, read};

/// A page: the ids in it, and where it links to.
struct Page {
    ids: BTreeSet<String>,
    links: Vec<String>,
}

/// All pages that were built. The error names every link that leads nowhere.
pub fn check(place: &Place) -> Result<()> {
    let output = place.output();
    let mut pages = BTreeMap::new();
    collect(&output, &mut pages)?;
    let mut dead = Vec::new();
    for (path, page) in &pages {
        let name = path.strip_prefix(&output)?;
        // The printed page has all chapters once more.
        if name != Path::new("print.html") {
            let faults =
                page.links.iter().filter_map(|link| Some((link, fault(path, link, &pages)?)));
            dead.extend(
                faults
                    .map(|(link, fault)| format!("{}: {link}: {fault}", origin(place, name, link))),
            );
        }
    }
    match dead.is_empty() {
        true => Ok(()),
        false => bail!("links that lead nowhere:\n  {}", dead.join("\n  ")),
    }
}

/// The chapter that a page is made of, with the line of the link, or else the page.
fn origin(place: &Place, page: &Path, link: &str) -> String {
    let chapter = page.with_extension("md");
    let written = link.replace(".html", ".md");
    let text = read(&place.chapters().join(&chapter)).unwrap_or_default();
    let line = text.lines().position(|line| line.contains(&format!("({written})")));
    match line {
        Some(at) => format!("book/src/{}:{}", chapter.display(), at + 1),
        None => page.display().to_string(),
    }
}

fn collect(dir: &Path, pages: &mut BTreeMap<PathBuf, Page>) -> Result<()> {
    let act = || format!("cannot list {}", dir.display());
    for entry in fs::read_dir(dir).with_context(act)? {
        let path = entry.with_context(act)?.path();
        if path.is_dir() {
            collect(&path, pages)?;
        } else if path.extension().is_some_and(|it| it == "html") {
            pages.insert(path.clone(), page(&read(&path)?)?);
        }
    }
    Ok(())
}

fn page(html: &str) -> Result<Page> {
    let id = Regex::new(r#"\sid="?([^"\s>]*)"#)?;
    let link = Regex::new(r#"\s(?:href|src)="([^"]*)""#)?;
    let all = |regex: &Regex| -> Vec<String> {
        regex.captures_iter(html).map(|it| it[1].replace("&amp;", "&")).collect()
    };
    Ok(Page { ids: all(&id).into_iter().collect(), links: all(&link) })
}

/// What is wrong with a link; nothing, if it leads somewhere or out of the book.
fn fault(from: &Path, link: &str, pages: &BTreeMap<PathBuf, Page>) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") || link.starts_with("data:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => from.to_owned(),
        file => normal(&from.parent()?.join(file)),
    };
    if !target.is_file() {
        return Some("there is no such file".into());
    }
    let there =
        pages.get(&target).is_none_or(|page| anchor.is_empty() || page.ids.contains(anchor));
    (!there).then(|| format!("there is no #{anchor} in it"))
}

/// The path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_ids_and_links() {
        let page =
            page("<h2 id=\"a\"><a href=\"b.html#c&amp;d\">x</a> <img src=\"e.svg\"><span id=L1>")
                .unwrap();
        assert!(page.ids.contains("a") && page.ids.contains("L1"), "{:?}", page.ids);
        assert_eq!(page.links, ["b.html#c&d", "e.svg"]);
        assert_eq!(normal(Path::new("/a/b/../c.html")), Path::new("/a/c.html"));
    }
}
