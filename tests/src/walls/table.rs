//! The x-ray in a terminal: a row a wall, solid or dashed, and the evidence.

use std::fmt::Write;

use super::{Wall, Whose, Xray};

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";

pub fn draw(xray: &Xray, colour: bool) -> String {
    let paint = |style: &str, text: &str| match colour {
        true => format!("\x1b[{style}m{text}\x1b[0m"),
        false => text.to_string(),
    };
    let mut all = format!("{}\n", paint(BOLD, &xray.title));
    let subtitle = format!(
        "{} of {} walls are its own · PID {} · {}",
        xray.own(),
        xray.walls.len(),
        xray.pid,
        xray.command
    );
    all += &format!("{}\n\n", paint(DIM, &subtitle));
    for wall in &xray.walls {
        all += &row(wall, &paint);
    }
    all
}

/// One row. Padding is done before painting: escape sequences have a length too.
fn row(wall: &Wall, paint: &dyn Fn(&str, &str) -> String) -> String {
    let (line, style, whose) = match wall.whose {
        Whose::Own => ("━━━━", GREEN, "own"),
        Whose::Host => ("╌╌╌╌", YELLOW, "host's"),
        Whose::Unknown => ("????", RED, "unknown"),
    };
    let name = format!("{:12}", wall.name);
    let name = match wall.whose {
        Whose::Own => paint(BOLD, &name),
        _ => name,
    };
    let mut text = String::new();
    let (line, whose) = (paint(style, line), paint(style, &format!("{whose:7}")));
    let evidence = paint(DIM, &wall.evidence);
    writeln!(text, "  {line}  {name}  {whose}  {evidence}").expect("a string takes it");
    text
}
