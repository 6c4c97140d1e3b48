//! What a chapter must have: each step's the same sections in the same order and all of its exercises;
//! no chapter is missing, and none is forgotten in SUMMARY.md.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use workshop::steps::Step;

use crate::{
    chapter::{self, Chapter},
    exercises,
    fence::{self, Kind},
    place::{self, Place},
};

/// The sections of a step's chapter.
pub const SECTIONS: [&str; 12] = [
    "Predict first",
    "What the kernel does",
    "See it by hand",
    "Build it",
    "The finished code",
    "Check it",
    "Break it",
    "What Docker, Podman and systemd do",
    "What is still open",
    "Questions",
    "Go further",
    "Sources",
];

/// All chapters, before anything is built.
pub fn check(place: &Place) -> Result<()> {
    let chapters = chapter::all(place)?;
    for step in Step::all() {
        if !chapters.iter().any(|it| it.step == Some(step)) {
            bail!("book/src/SUMMARY.md:1: {step} has no chapter {}.md", step.directory());
        }
    }
    let mut seen = BTreeSet::new();
    for chapter in &chapters {
        if !seen.insert(&chapter.path) {
            bail!("book/src/SUMMARY.md:1: {} is in it twice", chapter.path.display());
        }
        check_one(place, chapter)?;
    }
    Ok(())
}

fn check_one(place: &Place, chapter: &Chapter) -> Result<()> {
    let text = chapter.text(place)?;
    let lines = fence::lines(&text);
    let prose = lines.iter().filter(|line| line.kind == Kind::Prose);
    let Some(step) = chapter.step else { return Ok(()) };
    let headings: Vec<(usize, &str)> =
        prose.clone().filter_map(|it| Some((it.number, it.text.strip_prefix("## ")?))).collect();
    sections(chapter, lines.len(), &headings)?;
    let prose: Vec<&str> = prose.map(|line| line.text.trim()).collect();
    title(chapter, step, &prose)?;
    exercises(place, chapter, step, &prose)
}

/// The same ones in the same order.
fn sections(chapter: &Chapter, last: usize, found: &[(usize, &str)]) -> Result<()> {
    for (at, section) in SECTIONS.iter().enumerate() {
        match found.get(at) {
            Some((_, heading)) if heading == section => {}
            Some((line, heading)) => {
                let error = format!("the section here is {section:?}, not {heading:?}");
                return Err(place::at(&chapter.path, *line, error));
            }
            None => {
                let error = format!("the chapter has no section {section:?}");
                return Err(place::at(&chapter.path, last, error));
            }
        }
    }
    match found.get(SECTIONS.len()) {
        Some((line, heading)) => {
            Err(place::at(&chapter.path, *line, format!("no section of a step is {heading:?}")))
        }
        None => Ok(()),
    }
}

/// `# Step 4: mount — …`, how long it takes, and the x-ray of the step before.
fn title(chapter: &Chapter, step: Step, prose: &[&str]) -> Result<()> {
    let title = format!("# Step {}: {} — ", step.number(), step.name());
    let before = step.before().map_or("host".into(), |step| step.number().to_string());
    let first = prose.first().copied().unwrap_or_default();
    let wanted = [
        (first.starts_with(&title), format!("the first line is not `{title}…`")),
        (
            prose.iter().take(6).any(|it| it.starts_with('*') && it.contains(" minutes")),
            "nothing under the title says how long it takes: `*45 minutes. New: …*`".to_string(),
        ),
        (
            prose.contains(&format!("{{{{#xray {before}}}}}").as_str()),
            format!("the x-ray of the step before, {{{{#xray {before}}}}}, is missing"),
        ),
    ];
    match wanted.into_iter().find(|(there, _)| !there) {
        Some((_, error)) => Err(place::at(&chapter.path, 1, error)),
        None => Ok(()),
    }
}

/// Every one is in the chapter, all at once or each by itself.
fn exercises(place: &Place, chapter: &Chapter, step: Step, prose: &[&str]) -> Result<()> {
    let number = step.number();
    if prose.contains(&format!("{{{{#exercises {number}}}}}").as_str()) {
        return Ok(());
    }
    for exercise in exercises::all(place, step)?.iter() {
        let directive = format!("{{{{#exercise {}}}}}", exercise.id);
        if !prose.contains(&directive.as_str()) {
            let error = format!("exercise {} is missing: {directive}", exercise.id);
            return Err(place::at(&chapter.path, 1, error));
        }
    }
    Ok(())
}
