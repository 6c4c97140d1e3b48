//! A class as one page for the projector: no script, nothing from elsewhere, light or dark as the
//! browser is. Whatever others wrote is escaped.

use std::fmt::Write;

use super::{Class, Learner};
use crate::steps::Step;

const STYLE: &str = "
:root { color-scheme: light dark; font: 1.3rem/1.4 system-ui, sans-serif; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .5rem; border-bottom: 1px solid #8886; }
td.step { width: 2.2rem; text-align: center; padding: .25rem .1rem; }
td.step span { display: block; border-radius: .3rem; border: 2px solid #8886; }
td.done span { background: light-dark(#2a7f3f, #3fa85a); color: light-dark(#fff, #000); border-color: transparent; }
td.at span { border: 2px solid light-dark(#b35900, #ffb454); font-weight: bold; }
code { overflow-wrap: anywhere; }
@media print { td.done span { border-color: #000; } }
";

pub fn page(class: &Class) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Who is where</title>\n<style>{STYLE}</style>\n<h1>Who is where</h1>\n<table>\n<tr><th>"
    );
    for step in Step::all() {
        let _ = write!(page, "<th title=\"{}\">{}", step.name(), step.number());
    }
    page += "<th>holds<th>stopped by\n";
    class.learners.iter().for_each(|learner| row(&mut page, learner));
    page += "</table>\n";
    list(
        &mut page,
        "What stops most",
        class.stops().iter().map(|(what, n)| format!("{n} × {what}")),
    );
    let broken = class.broken.iter().map(|(file, why)| format!("{file}: {why}"));
    list(&mut page, "Left out", broken);
    page + "</html>\n"
}

fn row(page: &mut String, learner: &Learner) {
    let _ = write!(page, "<tr><th scope=\"row\">{}", escaped(&learner.name));
    for step in Step::all() {
        let done = step < learner.step || (step == learner.step && learner.outcome.passed);
        let (class, said) = match (done, step == learner.step) {
            (true, _) => ("step done", "done"),
            (false, true) => ("step at", "here"),
            (false, false) => ("step", "not yet"),
        };
        let number = step.number();
        let _ = write!(page, "<td class=\"{class}\"><span title=\"{said}\">{number}</span>");
    }
    let (held, all) = learner.held();
    let stop = escaped(&learner.stopped_by().unwrap_or_default());
    let _ = writeln!(page, "<td>{held} of {all}<td><code>{stop}</code>");
}

fn list(page: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let items: String = lines.map(|line| format!("<li>{}\n", escaped(&line))).collect();
    if !items.is_empty() {
        let _ = write!(page, "<h2>{title}</h2>\n<ul>\n{items}</ul>\n");
    }
}

/// What HTML would take for its own, and what turns the writing round, as characters that do nothing.
fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            c if c.is_control() || crate::check::turns(c) => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_names() {
        let page = page(&super::super::tests::made_up());
        assert!(page.contains("&lt;b&gt;&quot;&amp;&#39;"), "{page}");
        assert!(!page.contains("<b>") && !page.contains('\x1b') && !page.contains('\u{202e}'));
        assert!(page.contains("cleo") && page.contains("2 × 04-mount/a") && page.contains("empty"));
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        let page = page(&super::super::tests::made_up());
        for foreign in ["<script", "http:", "https:", "src=", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
}
