//! The theme: ours in `book/theme`, and mdBook's page template with two themes instead of five, and with
//! what a screen reader trips over put right. Each change must apply, or the build says which did not.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use mdbook_driver::config::HtmlConfig;
use mdbook_html::theme::Theme;
use tempfile::TempDir;

use crate::place::{Place, read, write};

/// What of mdBook's template is put how.
const CHANGES: [(&str, &str); 11] = [
    // Two themes are enough, and each is called what it is.
    (
        r#"<li role="none"><button role="menuitem" class="theme" id="mdbook-theme-rust">Rust</button></li>"#,
        "",
    ),
    (
        r#"<li role="none"><button role="menuitem" class="theme" id="mdbook-theme-coal">Coal</button></li>"#,
        "",
    ),
    (
        r#"<li role="none"><button role="menuitem" class="theme" id="mdbook-theme-ayu">Ayu</button></li>"#,
        "",
    ),
    (r#"id="mdbook-theme-navy">Navy<"#, r#"id="mdbook-theme-navy">Dark<"#),
    // A page has one first heading: its chapter's.
    (
        r#"<h1 class="menu-title">{{ book_title }}</h1>"#,
        r#"<p class="menu-title">{{ book_title }}</p>"#,
    ),
    (
        r#"<h2 class="mdbook-help-title">Keyboard shortcuts</h2>"#,
        r#"<p class="mdbook-help-title">Keyboard shortcuts</p>"#,
    ),
    // What stands over every page is a landmark, and what opens the contents a button.
    (
        r#"<div id="mdbook-menu-bar" class="menu-bar sticky">"#,
        r#"<div id="mdbook-menu-bar" class="menu-bar sticky" role="banner">"#,
    ),
    (
        r#"<div id="mdbook-search-wrapper" class="hidden">"#,
        r#"<div id="mdbook-search-wrapper" class="hidden" role="search">"#,
    ),
    (
        r#"<label id="mdbook-sidebar-toggle" class="icon-button" for="mdbook-sidebar-toggle-anchor""#,
        r#"<button id="mdbook-sidebar-toggle" class="icon-button" type="button""#,
    ),
    (
        "</label>",
        r#"</button><noscript><a href="{{ path_to_root }}toc.html">Contents</a></noscript>"#,
    ),
    // The reader prints when they want to.
    (
        "window.setTimeout(window.print, 100);\n        });\n        </script>\n        {{/if}}\n        {{/if}}",
        "});\n        </script>\n        {{/if}}\n        {{/if}}",
    ),
];

/// A directory with all of it, for as long as the build takes.
pub fn prepare(place: &Place) -> Result<TempDir> {
    let theme =
        TempDir::with_prefix("book-theme-").context("cannot make a directory for the theme")?;
    for directory in ["css", "fonts"] {
        fs::create_dir(theme.path().join(directory)).context("cannot make the theme")?;
    }
    let mut config = HtmlConfig::default();
    config.theme = Some(theme.path().into());
    Theme::copy_theme(&config, theme.path())?;
    let template = theme.path().join("index.hbs");
    write(&template, &changed(&read(&template)?)?)?;
    copy(&place.book.join("theme"), theme.path())?;
    // One sheet for code: its colours are the theme's.
    for sheet in ["tomorrow-night.css", "ayu-highlight.css"] {
        fs::copy(theme.path().join("highlight.css"), theme.path().join(sheet))
            .with_context(|| format!("cannot make {sheet}"))?;
    }
    Ok(theme)
}

fn changed(template: &str) -> Result<String> {
    let mut text = template.to_string();
    for (old, new) in CHANGES {
        ensure!(text.contains(old), "mdBook's template has no more {old}");
        text = text.replacen(old, new, 1);
    }
    Ok(text)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let act = || format!("cannot copy {}", from.display());
    for entry in fs::read_dir(from).with_context(act)? {
        let (from, to) = (entry.with_context(act)?.path(), to.to_owned());
        let to = to.join(from.file_name().context("a file has no name")?);
        match from.is_dir() {
            true => copy(&from, &to)?,
            false => fs::copy(&from, &to).map(drop).with_context(act)?,
        }
    }
    Ok(())
}
