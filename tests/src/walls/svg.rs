//! The x-ray as a picture: a room of as many walls as there are questions, seen from above.
//! Solid: the container's own answer. Dashed: the host's. Readable on light and on dark pages,
//! and by a screen reader through `<title>` and `<desc>`; all text is text.

use std::{f64::consts::TAU, fmt::Write};

use super::{Wall, Whose, Xray};

const WIDTH: f64 = 920.0;
const HEIGHT: f64 = 640.0;
const CENTRE: (f64, f64) = (WIDTH / 2.0, 302.0);
/// From the centre to a corner.
const RADIUS: f64 = 205.0;
/// From the centre to where a label begins.
const LABELS: f64 = 228.0;
/// A line of evidence is not longer, if it has a space to break at.
const LINE: usize = 27;

const STYLE: &str = "\
.page{fill:#fbfaf7}.floor{fill:#e3f1ec}.own{stroke:#0b7a5b;stroke-width:11;stroke-linecap:round}\
.host{stroke:#b9722a;stroke-width:3;stroke-dasharray:5 8;stroke-linecap:round}\
.unknown{stroke:#c0392b;stroke-width:3;stroke-dasharray:1 8;stroke-linecap:round}\
text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#1d2b28}\
.name{font-size:16px;font-weight:600}.shared{fill:#8a5a26}\
.evidence{font-family:ui-monospace,'SF Mono','DejaVu Sans Mono',monospace;font-size:11.5px;fill:#55635f}\
.number{font-size:13px;fill:#5b7d72;text-anchor:middle}\
.middle{text-anchor:middle}.count{font-size:58px;font-weight:700;fill:#0b7a5b}\
.title{font-size:19px;font-weight:600}.small{font-size:13.5px;fill:#55635f}\
@media (prefers-color-scheme:dark){.page{fill:#12181a}.floor{fill:#18302a}.own{stroke:#3fc79a}\
.host{stroke:#d99a55}.unknown{stroke:#ff7b6b}text{fill:#e6ecea}.shared{fill:#e0ae76}\
.evidence,.small{fill:#a0b0ab}.number{fill:#7fa99b}.count{fill:#3fc79a}}";

/// A file that stands for itself, with what it shows in it as JSON too.
pub fn draw(xray: &Xray) -> String {
    let json = serde_json::to_string(xray).expect("an x-ray is text and numbers");
    let head = format!(
        "<metadata>{}</metadata>\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"14\"/>\n",
        escape(&json)
    );
    drawn(xray, "xray", &head)
}

/// A part of a page whose style sheet gives it its colours; `id` is what no other part is called.
pub fn draw_inline(xray: &Xray, id: &str) -> String {
    drawn(xray, id, "")
}

/// What is in the file that [`draw`] made.
pub fn read(svg: &str) -> Option<Xray> {
    let (_, rest) = svg.split_once("<metadata>")?;
    let (json, _) = rest.split_once("</metadata>")?;
    let json = json.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&json).ok()
}

fn drawn(xray: &Xray, id: &str, head: &str) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"xray\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n\
         <title id=\"{id}-title\">{}: {} of {} walls are its own</title>\n\
         <desc id=\"{id}-desc\">{}</desc>\n{head}",
        escape(&xray.title),
        xray.own(),
        xray.walls.len(),
        escape(&describe(xray)),
    );
    svg += &floor(xray.walls.len());
    for (i, wall) in xray.walls.iter().enumerate() {
        svg += &draw_wall(wall, i, xray.walls.len());
    }
    svg + &middle(xray) + "<g class=\"legend\">\n" + &legend() + "</g>\n</svg>\n"
}

/// The same in a sentence a wall, for those who hear it.
fn describe(xray: &Xray) -> String {
    let sentence = |wall: &Wall| {
        let whose = match wall.whose {
            Whose::Own => "the container's own",
            Whose::Host => "the host's",
            Whose::Unknown => "unknown",
        };
        format!("{}: {whose} ({}).", wall.name, wall.evidence)
    };
    let all: Vec<String> = xray.walls.iter().map(sentence).collect();
    format!("A container as a room seen from above, a wall a question. {}", all.join(" "))
}

/// A point at `radius` from the centre; the angle counts clockwise from the top, in walls.
fn point(radius: f64, wall: f64, walls: usize) -> (f64, f64) {
    let angle = wall / walls as f64 * TAU;
    (CENTRE.0 + radius * angle.sin(), CENTRE.1 - radius * angle.cos())
}

fn floor(walls: usize) -> String {
    let corner = |i: usize| {
        let (x, y) = point(RADIUS, i as f64 + 0.5, walls);
        format!("{x:.1},{y:.1}")
    };
    let corners: Vec<String> = (0..walls).map(corner).collect();
    format!("<polygon class=\"floor\" points=\"{}\"/>\n", corners.join(" "))
}

/// A wall: its line, the number of its step inside, its name and evidence outside.
fn draw_wall(wall: &Wall, i: usize, walls: usize) -> String {
    let class = match wall.whose {
        Whose::Own => "own",
        Whose::Host => "host",
        Whose::Unknown => "unknown",
    };
    // A little short of the corners, so that each wall is one.
    let (x1, y1) = point(RADIUS, i as f64 - 0.41, walls);
    let (x2, y2) = point(RADIUS, i as f64 + 0.41, walls);
    let (x, y) = point(RADIUS - 34.0, i as f64, walls);
    let number = wall.step.map_or("II".to_string(), |step| step.to_string());
    let mut svg = String::new();
    writeln!(
        svg,
        "<g><line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>\
         <text class=\"number\" x=\"{x:.1}\" y=\"{:.1}\">{number}</text>{}</g>",
        y + 4.5,
        label(wall, i, walls)
    )
    .expect("a string takes it");
    svg
}

/// Name and evidence beside the wall, growing away from the room.
fn label(wall: &Wall, i: usize, walls: usize) -> String {
    let (x, y) = point(LABELS, i as f64, walls);
    let lines = wrap(&wall.evidence);
    let anchor = match x - CENTRE.0 {
        dx if dx > 20.0 => "start",
        dx if dx < -20.0 => "end",
        _ => "middle",
    };
    // At the top a label stands on its point, at the bottom it hangs from it.
    let lean = (y - CENTRE.1) / LABELS;
    let height = 15.0 * lines.len() as f64;
    // The lowest hang lower still: there is more to read beside them.
    let hang = if lean > 0.9 { 10.0 } else { 0.0 };
    let top = y + 5.0 + hang - height * (1.0 - lean) / 2.0;
    let shared = if wall.whose == Whose::Own { "" } else { " shared" };
    let mut svg = format!(
        "<text class=\"name{shared}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{top:.1}\">{}</text>",
        escape(&wall.name)
    );
    for (n, line) in lines.iter().enumerate() {
        let y = top + 16.0 + 15.0 * n as f64;
        svg += &format!(
            "<text class=\"evidence\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
            escape(line)
        );
    }
    svg
}

/// Breaks evidence into lines: before `≠`, after a comma, and where a line would get too long.
fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is always one line");
        let full = last.chars().count() + word.chars().count() >= LINE;
        match !last.is_empty() && (word == "≠" || full || last.ends_with(',')) {
            true => lines.push(word.to_string()),
            false if last.is_empty() => last.push_str(word),
            false => *last += &format!(" {word}"),
        }
    }
    lines
}

fn middle(xray: &Xray) -> String {
    let (x, y) = CENTRE;
    let line = |class: &str, dy: f64, text: &str| {
        let y = y + dy;
        format!("<text class=\"middle {class}\" x=\"{x}\" y=\"{y}\">{}</text>\n", escape(text))
    };
    let count = format!("{} of {}", xray.own(), xray.walls.len());
    line("title", -62.0, &xray.title)
        + &line("count", 8.0, &count)
        + &line("small", 38.0, "walls are its own")
        + &line("evidence", 74.0, &format!("PID {} on the host", xray.pid))
        + &line("evidence", 92.0, &shorten(&xray.command))
}

fn shorten(command: &str) -> String {
    match command.char_indices().nth(36) {
        Some((end, _)) => format!("{}…", &command[..end]),
        None => command.to_string(),
    }
}

fn legend() -> String {
    let y = HEIGHT - 34.0;
    let text = y + 5.0;
    let entry = |class: &str, x: f64, what: &str| {
        let (start, end, words) = (x, x + 34.0, x + 50.0);
        format!(
            "<line class=\"{class}\" x1=\"{start}\" y1=\"{y}\" x2=\"{end}\" y2=\"{y}\"/>\
             <text class=\"small\" x=\"{words}\" y=\"{text}\">{what}</text>\n"
        )
    };
    entry("own", 46.0, "an answer of its own")
        + &entry("host", 290.0, "the same answer as the host's")
        + &format!(
            "<text class=\"small\" text-anchor=\"end\" x=\"{}\" y=\"{text}\">\
             the number: which step builds it; II: part two</text>\n",
            WIDTH - 40.0
        )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_breaks_where_two_answers_meet() {
        let lines = wrap("uts:[4026532450] ≠ uts:[4026531838]");
        assert_eq!(lines, ["uts:[4026532450]", "≠ uts:[4026531838]"]);
        assert_eq!(wrap("one line"), ["one line"]);
        assert_eq!(wrap("two, lines"), ["two,", "lines"]);
    }

    #[test]
    fn what_is_drawn_can_be_read() {
        let own = crate::Process::own().unwrap();
        let xray = Xray::of("<1> & \"2\"", &own, &own);
        assert_eq!(read(&draw(&xray)).as_ref(), Some(&xray));
        assert!(!draw_inline(&xray, "x").contains("<style>"));
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("<a & b>"), "&lt;a &amp; b&gt;");
    }
}
