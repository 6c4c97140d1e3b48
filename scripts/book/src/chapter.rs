//! A chapter, as SUMMARY.md names it: which step it is of, if of one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pulldown_cmark::{Event, Parser, Tag};
use workshop::steps::Step;

use crate::place::{Place, read};

/// One chapter.
#[derive(Clone, Debug, PartialEq)]
pub struct Chapter {
    /// Below `src`: `04-mount.md`.
    pub path: PathBuf,
    /// The step that it is the chapter of.
    pub step: Option<Step>,
}

impl Chapter {
    pub fn new(path: &Path) -> Chapter {
        let stem = path.with_extension("").display().to_string();
        let step = Step::all().find(|step| step.directory() == stem);
        Chapter { path: path.to_owned(), step }
    }

    /// From its page to the first page's directory: `../` for each directory that it is in.
    pub fn to_root(&self) -> String {
        "../".repeat(self.path.components().count() - 1)
    }

    /// `04-mount`, `appendix-glossary`: for what must be called otherwise in each chapter.
    pub fn slug(&self) -> String {
        self.path.with_extension("").display().to_string().replace('/', "-")
    }

    pub fn text(&self, place: &Place) -> Result<String> {
        read(&place.chapters().join(&self.path))
    }
}

/// All chapters that SUMMARY.md links, in its order.
pub fn all(place: &Place) -> Result<Vec<Chapter>> {
    let summary = read(&place.chapters().join("SUMMARY.md"))?;
    let links = Parser::new(&summary).filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. }) => Some(dest_url.to_string()),
        _ => None,
    });
    Ok(links.map(|link| Chapter::new(Path::new(&link))).collect())
}

/// One chapter by its name: `04-mount` or `04-mount.md`.
pub fn named(place: &Place, name: &str) -> Result<Chapter> {
    let name = name.strip_suffix(".md").unwrap_or(name);
    let found = all(place)?.into_iter().find(|it| it.path.with_extension("") == Path::new(name));
    found.with_context(|| format!("SUMMARY.md has no chapter {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steps_chapter_is_called_as_its_package() {
        assert_eq!(Chapter::new(Path::new("04-mount.md")).step, "4".parse().ok());
        let appendix = Chapter::new(Path::new("appendix/glossary.md"));
        assert_eq!((appendix.step, &*appendix.to_root()), (None, "../"));
    }
}
