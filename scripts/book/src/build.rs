//! The build: mdBook as a library, with our chapters. What is wrong in one of them fails it.

use std::{fs, mem, path::Path};

use anyhow::{Context, Result, ensure};
use mdbook_driver::{
    MDBook,
    book::{Book, BookItem},
    config::Config,
};
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};

use crate::{
    chapter::Chapter, expand, finish, flag_check, links, place::Place, source_pages, structure,
    theme,
};

/// Builds the book into `book/book`.
pub fn build(place: &Place) -> Result<()> {
    structure::check(place)?;
    let theme = theme::prepare(place)?;
    let mut book = MDBook::load_with_config(&place.book, config(place, theme.path())?)?;
    book.with_preprocessor(Ours(place.clone()));
    book.build().map_err(unwrapped)?;
    finish::pages(&place.output())?;
    source_pages::write_all(place)?;
    let style = "source.css";
    fs::copy(place.book.join("theme").join(style), place.output().join(style))
        .with_context(|| format!("cannot copy {style}"))?;
    links::check(place)
}

/// `book.toml`, with the theme that was prepared.
fn config(place: &Place, theme: &Path) -> Result<Config> {
    let mut config = Config::from_disk(place.book.join("book.toml"))?;
    config.set("output.html.theme", theme)?;
    Ok(config)
}

/// Our error alone, without mdBook's words about it.
fn unwrapped(error: anyhow::Error) -> anyhow::Error {
    let said = error.chain().map(ToString::to_string).find(|it| it.starts_with("book/src/"));
    said.map_or(error, anyhow::Error::msg)
}

/// All that we do with a chapter before mdBook renders it.
struct Ours(Place);

impl Preprocessor for Ours {
    fn name(&self) -> &str {
        "ours"
    }

    fn run(&self, _: &PreprocessorContext, mut book: Book) -> Result<Book> {
        let mut outcome = Ok(());
        book.for_each_mut(|item| {
            if outcome.is_ok() {
                outcome = self.expand(item);
            }
        });
        outcome.map(|()| book)
    }
}

impl Ours {
    fn expand(&self, item: &mut BookItem) -> Result<()> {
        let BookItem::Chapter(chapter) = item else { return Ok(()) };
        let Some(path) = &chapter.path else { return Ok(()) };
        let ours = Chapter::new(path);
        let text = mem::take(&mut chapter.content);
        ensure!(!text.trim().is_empty(), "book/src/{}:1: this chapter is empty", path.display());
        flag_check::check(&self.0, &ours, &text)?;
        chapter.content = expand::chapter(&self.0, &ours, &text)?;
        Ok(())
    }
}
