//! Brings up to date what the book keeps of real runs: the x-rays of the steps and the transcripts. What
//! differs in nothing but numbers that differ each time is left as it is.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use evidence::{
    Process, Xray,
    walls::{Wall, Whose},
};
use workshop::steps::Step;

use crate::{
    chapter::Chapter,
    picture,
    place::{Place, programs, read, write},
    rename::Names,
    transcript::{self, Kit, Outcome},
};

/// Runs the transcripts of a chapter and writes what was seen, where it is not what is written. Returns
/// how many were run and how many were written.
pub fn transcripts(place: &Place, kit: &Kit, chapter: &Chapter) -> Result<(usize, usize)> {
    let outcomes = transcript::run(place, kit, chapter)?;
    let wrong: Vec<&Outcome> = outcomes.iter().filter(|it| !it.holds()).collect();
    if !wrong.is_empty() {
        let file = place.chapters().join(&chapter.path);
        write(&file, &rewritten(&read(&file)?, &wrong)?)?;
    }
    Ok((outcomes.len(), wrong.len()))
}

/// The text with other outputs, from the last to the first.
fn rewritten(text: &str, wrong: &[&Outcome]) -> Result<String> {
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    for Outcome { command, seen } in wrong.iter().rev() {
        let prompt = &lines[command.line - 1];
        let indent = prompt[..prompt.len() - prompt.trim_start().len()].to_string();
        let start = command.line - 1 + command.text.len();
        let taken = seen.iter().find(|it| it.starts_with("# ") || it.starts_with("$ "));
        if let Some(line) = taken {
            bail!("line {}: what is printed looks like a prompt: {line}", command.line);
        }
        let new = seen.iter().map(|line| format!("{indent}{line}").trim_end().to_string());
        lines.splice(start..start + command.output.len(), new);
    }
    Ok(lines.join("\n") + "\n")
}

/// Draws anew what is outdated.
pub fn pictures(place: &Place) -> Result<()> {
    for (step, now) in outdated(place)? {
        let file = picture::xray_file(place, step);
        write(&file, &now.svg())?;
        println!("{}: drawn", place.named(&file));
    }
    Ok(())
}

/// The x-rays, of a process without walls and of each step, that are others now.
pub fn outdated(place: &Place) -> Result<Vec<(Option<Step>, Xray)>> {
    let mut outdated = Vec::new();
    for step in [None].into_iter().chain(Step::all().map(Some)) {
        let now = taken(step)?;
        if !picture::kept(place, step).is_ok_and(|kept| same(&kept, &now)) {
            outdated.push((step, now));
        }
    }
    Ok(outdated)
}

/// The x-ray of a step from a real run, or of ourselves.
pub fn taken(step: Option<Step>) -> Result<Xray> {
    let Some(step) = step else {
        let own = Process::own().context("cannot read /proc/self")?;
        return Ok(Xray { command: "sleep 3599".into(), ..Xray::of("a process", &own, &own) });
    };
    let mut workshop = Command::new(programs()?.join("workshop"));
    let output = workshop.args(["xray", step.name(), "--json"]).output();
    let output = output.context("cannot run the workshop: `cargo build -p workshop`")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cannot take the x-ray of {step}: {}", said.trim());
    serde_json::from_slice(&output.stdout).context("cannot understand the x-ray")
}

/// Whether two x-rays say the same. What the kernel says of a wall that is the machine's is of that machine:
/// there it only counts whose it is.
pub fn same(one: &Xray, other: &Xray) -> bool {
    said(one) == said(other)
}

fn said(xray: &Xray) -> Vec<String> {
    let mut names = Names::default();
    let mut evidence = |wall: &Wall| {
        let own = wall.step.is_some() && wall.whose == Whose::Own;
        own.then(|| names.numbers(&wall.evidence))
    };
    let walls = xray
        .walls
        .iter()
        .map(|wall| format!("{} {:?} {:?}", wall.name, wall.whose, evidence(wall)));
    [xray.title.clone()].into_iter().chain(walls).collect()
}
