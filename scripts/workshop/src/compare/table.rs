//! The comparison for people: a row a wall, then the rights, then what only one of the two has.

use evidence::{
    Answer, calls,
    capability::Set,
    paint::Paint,
    walls::{Wall, Whose},
};

use super::{Comparison, difference::Pair, specimen::Specimen};

/// Names beyond these are counted only; --json has all.
const MOUNTS: usize = 12;

pub fn draw(it: &Comparison, paint: Paint) -> String {
    let (ours, theirs) = (&it.ours, &it.theirs);
    let title = paint.bold(&columns("", &ours.xray.title, &theirs.xray.title));
    let walls = ours.xray.walls.iter().zip(&theirs.xray.walls);
    let walls: String = walls.map(|(ours, theirs)| wall(ours, theirs, paint)).collect();
    let count = |one: &Specimen| format!("{} of {}", one.xray.own(), one.xray.walls.len());
    let count = paint.dim(&columns("own walls", &count(ours), &count(theirs)));
    let rights = rights(it);
    format!("\n{title}\n\n{walls}{count}\n\n{rights}\n{}", only(it, paint))
}

fn columns(name: &str, ours: &str, theirs: &str) -> String {
    format!("  {name:17}{ours:28}{theirs}").trim_end().to_string()
}

/// Padding comes before paint: escape sequences have a length too.
fn wall(ours: &Wall, theirs: &Wall, paint: Paint) -> String {
    let word = |wall: &Wall, width: usize| match wall.whose {
        Whose::Own => paint.green(&format!("{:width$}", "━━━━ own")),
        Whose::Host => paint.yellow(&format!("{:width$}", "╌╌╌╌ host's")),
        Whose::Unknown => paint.red(&format!("{:width$}", "???? ?")),
    };
    let row = format!("  {:17}{}{}\n", ours.name, word(ours, 28), word(theirs, 0));
    let (left, right) = (telling(&ours.evidence), telling(&theirs.evidence));
    if ours.whose == theirs.whose && left == right {
        return row;
    }
    let (left, right) = if left.is_empty() || right.is_empty() {
        (ours.evidence.as_str(), theirs.evidence.as_str())
    } else {
        (left, right)
    };
    row + &paint.dim(&format!("      ours    {left}\n      theirs  {right}")) + "\n"
}

/// Evidence without the numbers that are never the same twice: `net:[4026532280] ≠ net:[…], lo`.
fn telling(evidence: &str) -> &str {
    match evidence.contains(":[") || evidence.starts_with("root ") {
        true => evidence.split_once(", ").map_or("", |(_, rest)| rest),
        false => evidence,
    }
}

fn rights(it: &Comparison) -> String {
    let row =
        |name: &str, of: fn(&Specimen) -> String| columns(name, &of(&it.ours), &of(&it.theirs));
    let rows = [
        row("effective", |one| set(one, |sets| sets.effective)),
        row("permitted", |one| set(one, |sets| sets.permitted)),
        row("bounding", |one| set(one, |sets| sets.bounding)),
        row("inheritable", |one| set(one, |sets| sets.inheritable)),
        row("ambient", |one| set(one, |sets| sets.ambient)),
        row("no_new_privs", |one| one.probe.no_new_privs.clone().map(yes).to_string()),
        row("seccomp mode", |one| one.probe.seccomp.to_string()),
        columns("uid map", &it.differences.uid_map.ours, &it.differences.uid_map.theirs),
    ];
    rows.map(|row| row + "\n").concat()
}

fn yes(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn set(one: &Specimen, which: fn(&evidence::capability::Capabilities) -> Set) -> String {
    match &one.probe.capabilities {
        Answer::Is(sets) => format!("{} capabilities", which(sets).len()),
        Answer::Unreadable { unreadable } => unreadable.clone(),
    }
}

/// What only one has: capabilities of the bounding set, open system calls, mounts.
fn only(it: &Comparison, paint: Paint) -> String {
    let different = &it.differences;
    let bounding = different.capabilities.get("bounding");
    let refused = |answer: fn(&Pair<String>) -> &String| {
        let calls = different.calls.iter().map(|(name, pair)| (name, answer(pair)));
        let calls = calls.filter(|(_, answer)| calls::refused(answer));
        calls.map(|(name, answer)| format!("{name} {answer}")).collect::<Vec<_>>()
    };
    let lists = [
        ("capabilities only in ours", bounding.map_or(vec![], |it| it.ours.clone())),
        ("capabilities only in theirs", bounding.map_or(vec![], |it| it.theirs.clone())),
        ("system calls refused only in ours", refused(|pair| &pair.ours)),
        ("system calls refused only in theirs", refused(|pair| &pair.theirs)),
        ("mounts only in ours", few(&different.mounts.ours)),
        ("mounts only in theirs", few(&different.mounts.theirs)),
    ];
    let lists = lists.iter().filter(|(_, names)| !names.is_empty());
    lists.map(|(title, names)| format!("  {}\n{}\n", paint.bold(title), wrap(names))).collect()
}

fn few(names: &[String]) -> Vec<String> {
    let more = names.len().saturating_sub(MOUNTS);
    let more = (more > 0).then(|| format!("and {more} more"));
    names.iter().take(MOUNTS).cloned().chain(more).collect()
}

fn wrap(names: &[String]) -> String {
    let options = textwrap::Options::new(98).initial_indent("    ").subsequent_indent("    ");
    textwrap::fill(&names.join(", "), options)
}
