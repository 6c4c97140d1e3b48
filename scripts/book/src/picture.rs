//! Pictures in a page: the x-rays, drawn from what was seen in a real run, and diagrams made by hand.
//! Both are part of the page, so that its theme gives them their colours.

use std::{fmt::Write, path::PathBuf};

use anyhow::{Context, Result, ensure};
use evidence::{Xray, walls::Whose};
use workshop::steps::Step;

use crate::{
    chapter::Chapter,
    flags::cell,
    place::{Place, read},
};

/// Where the x-ray of a step is kept, or of a process without any wall.
pub fn xray_file(place: &Place, step: Option<Step>) -> PathBuf {
    let name = step.map_or("host".into(), |step| step.number().to_string());
    place.chapters().join(format!("images/xray-{name}.svg"))
}

/// The x-ray that is kept.
pub fn kept(place: &Place, step: Option<Step>) -> Result<Xray> {
    let file = xray_file(place, step);
    let svg = read(&file).context("there is no x-ray: `cargo run -p book -- bless` draws it")?;
    Xray::of_svg(&svg).with_context(|| format!("{} is no x-ray of ours", file.display()))
}

/// `{{#xray 4}}`: the picture, and the same as a table.
pub fn xray(place: &Place, chapter: &Chapter, step: Option<Step>) -> Result<String> {
    let xray = kept(place, step)?;
    let name = step.map_or("host".into(), |step| step.number().to_string());
    let svg = xray.svg_inline(&format!("xray-{name}-{}", chapter.slug()));
    Ok(format!(
        "<figure class=\"picture\">\n{svg}<details>\n<summary>The same as a table: {}</summary>\n\n{}\n\
         </details>\n</figure>\n",
        cell(&xray.title),
        table(&xray)
    ))
}

/// A row a wall.
fn table(xray: &Xray) -> String {
    let mut table = String::from("| wall | whose answer | what /proc says |\n|---|---|---|\n");
    for wall in &xray.walls {
        let whose = match wall.whose {
            Whose::Own => "the container's own",
            Whose::Host => "the host's",
            Whose::Unknown => "unknown",
        };
        let _ = writeln!(table, "| {} | {whose} | `{}` |", cell(&wall.name), wall.evidence);
    }
    table
}

/// `{{#svg NAME}}`: a diagram made by hand, with a text that says the same.
pub fn drawing(place: &Place, name: &str) -> Result<String> {
    let svg = read(&place.chapters().join(format!("images/{name}.svg")))?;
    let start = svg.find("<svg").with_context(|| format!("{name}.svg has no <svg>"))?;
    let label = format!("aria-labelledby=\"{name}-title {name}-desc\"");
    let (title, desc) =
        (format!("<title id=\"{name}-title\">"), format!("<desc id=\"{name}-desc\">"));
    for part in ["viewBox=", "role=\"img\"", &label, &title, &desc] {
        ensure!(svg.contains(part), "images/{name}.svg has no {part}");
    }
    // All pictures are parts of one page when the book is printed.
    let ids = svg.split(" id=\"").skip(1).filter_map(|it| it.split('"').next());
    for id in ids {
        ensure!(
            id.starts_with(&format!("{name}-")),
            "images/{name}.svg: the id {id} is not {name}-…"
        );
    }
    // An empty line would end the HTML in the Markdown.
    let lines = svg[start..].lines().filter(|line| !line.trim().is_empty());
    let svg = lines.collect::<Vec<_>>().join("\n");
    Ok(format!("<figure class=\"picture\">\n{svg}\n</figure>\n"))
}
