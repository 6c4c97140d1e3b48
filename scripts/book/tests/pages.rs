//! The pages in a real browser: axe-core finds nothing wrong with any of them, in both themes, on a phone
//! and on a desk; and the book prints as one PDF. Without Chromium this is skipped, with a word.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use anyhow::{Context, Result, ensure};
use book::{
    build,
    place::{Place, write},
};
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use tempfile::TempDir;

/// Widths at which pages are looked at.
const WIDTHS: [u32; 2] = [390, 1400];

/// What axe-core found on one page.
#[derive(Deserialize)]
struct Looked {
    page: String,
    width: u32,
    /// The theme that the page was in.
    theme: String,
    violations: Vec<String>,
}

fn main() -> ExitCode {
    let args = Arguments::from_args();
    if chromium(&[]).is_err() {
        println!("skipped: pages: there is no chromium: apt-get install chromium");
        return libtest_mimic::run(&args, Vec::new()).exit_code();
    }
    let test = |name: &str, run: fn() -> Result<()>| {
        Trial::test(name, move || run().map_err(|error| Failed::from(format!("{error:#}"))))
    };
    let trials = vec![
        test("axe/light", || axe("light")),
        test("axe/dark", || axe("dark")),
        test("print", print),
    ];
    libtest_mimic::run(&args, trials).exit_code()
}

/// A copy of the built book, which nobody builds again meanwhile.
fn book() -> Result<TempDir> {
    let place = Place::here()?;
    let copy = TempDir::with_prefix("book-pages-")?;
    build::build(&Place { book: with_output(&place, copy.path())?, ..place })?;
    Ok(copy)
}

/// The book's directory anew, with an output of its own.
fn with_output(place: &Place, directory: &Path) -> Result<PathBuf> {
    for part in ["src", "theme", "book.toml", "man-pages.txt", "other-flags.txt"] {
        let done = Command::new("cp").arg("-r").arg(place.book.join(part)).arg(directory).status();
        ensure!(done.context("cannot run cp")?.success(), "cannot copy {part}");
    }
    Ok(directory.to_owned())
}

fn axe(theme: &str) -> Result<()> {
    let book = book()?;
    let output = book.path().join("book");
    let pages = pages(&output)?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages");
    fs::copy(here.join("axe/axe.min.js"), output.join("axe.min.js")).context("no axe-core")?;
    let harness = fs::read_to_string(here.join("harness.html")).context("no harness")?;
    let harness = harness.replace("THEME", theme).replace("PAGES", &serde_json::to_string(&pages)?);
    write(&output.join("harness.html"), &harness.replace("WIDTHS", &format!("{WIDTHS:?}")))?;
    let address = format!("file://{}", output.join("harness.html").display());
    let done = chromium(&["--dump-dom", "--virtual-time-budget=1000000000", &address])?;
    let dom = String::from_utf8_lossy(&done.stdout)
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    let json = dom.split("<pre>").nth(1).and_then(|it| it.split("</pre>").next());
    let looked: Vec<Looked> = serde_json::from_str(json.context("axe-core said nothing")?)
        .with_context(|| format!("cannot understand axe-core: {dom:.2000}"))?;
    judge(theme, &pages, &looked)
}

/// Every page was looked at, in the right theme, and nothing was found.
fn judge(theme: &str, pages: &[String], looked: &[Looked]) -> Result<()> {
    ensure!(looked.len() == pages.len() * WIDTHS.len(), "{} of the pages", looked.len());
    let class = if theme == "dark" { "navy" } else { "light" };
    let mut wrong = Vec::new();
    for it in looked {
        let source = it.page.starts_with("source/");
        ensure!(source || it.theme == class, "{} is in the theme {:?}", it.page, it.theme);
        wrong.extend(
            it.violations.iter().map(|what| format!("{} at {}: {what}", it.page, it.width)),
        );
    }
    ensure!(wrong.is_empty(), "axe-core found:\n  {}", wrong.join("\n  "));
    Ok(())
}

/// All pages; of the source files, which are all alike, one.
fn pages(output: &Path) -> Result<Vec<String>> {
    let mut pages = Vec::new();
    for directory in ["", "appendix"] {
        for entry in fs::read_dir(output.join(directory))? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "html") {
                pages.push(path.strip_prefix(output)?.display().to_string());
            }
        }
    }
    pages.retain(|it| it != "harness.html" && it != "toc.html");
    pages.sort();
    pages.push("source/04-mount/src/lib.rs.html".into());
    Ok(pages)
}

/// One PDF, in which every chapter begins on a page of its own.
fn print() -> Result<()> {
    let book = book()?;
    let (page, pdf) = (book.path().join("book/print.html"), book.path().join("book.pdf"));
    let to = format!("--print-to-pdf={}", pdf.display());
    let address = format!("file://{}", page.display());
    chromium(&["--no-pdf-header-footer", "--virtual-time-budget=60000", &to, &address])?;
    let bytes = fs::read(&pdf).context("there is no PDF")?;
    ensure!(
        bytes.starts_with(b"%PDF-") && bytes.len() > 200_000,
        "the PDF has {} bytes",
        bytes.len()
    );
    Ok(())
}

/// Chromium, with a profile of its own and without a network.
fn chromium(arguments: &[&str]) -> Result<Output> {
    let profile = TempDir::with_prefix("book-chromium-")?;
    let mut command = Command::new("chromium");
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
    ]);
    command.arg("--allow-file-access-from-files").arg("--window-size=1440,900");
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    let arguments = if arguments.is_empty() { &["--version"] } else { arguments };
    let output = command.args(arguments).output().context("cannot run chromium")?;
    ensure!(output.status.success(), "chromium: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output)
}
