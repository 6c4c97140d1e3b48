//! The x-ray in a terminal: a row a wall, solid or dashed, and the evidence.

use super::{Wall, Whose, Xray};
use crate::paint::Paint;

pub fn draw(xray: &Xray, paint: Paint) -> String {
    let (own, all) = (xray.own(), xray.walls.len());
    let title = paint.bold(&xray.title);
    let process = paint.dim(&format!("PID {} on the host · {}", xray.pid, xray.command));
    let rows: String = xray.walls.iter().map(|wall| row(wall, paint) + "\n").collect();
    let count = paint.dim(&format!("{own} of {all} walls are its own."));
    format!("{title}  {process}\n\n{rows}\n{count}\n")
}

/// One row, without its newline. Padding comes before paint: escape sequences have a length too.
pub fn row(wall: &Wall, paint: Paint) -> String {
    let name = format!("{:12}", wall.name);
    let evidence = paint.dim(&wall.evidence);
    match wall.whose {
        Whose::Own => {
            let (line, whose) = (paint.green("━━━━"), paint.green("own   "));
            format!("  {line}  {}  {whose}  {evidence}", paint.bold(&name))
        }
        Whose::Host => {
            let (line, whose) = (paint.yellow("╌╌╌╌"), paint.yellow("host's"));
            format!("  {line}  {name}  {whose}  {evidence}")
        }
        Whose::Unknown => {
            let (line, whose) = (paint.red("????"), paint.red("?     "));
            format!("  {line}  {name}  {whose}  {evidence}")
        }
    }
}
