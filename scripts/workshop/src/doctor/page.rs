//! What doctor prints for people: the plan in a few lines, the table of what was tried, the faults.
//! As wide as the terminal, in ASCII where the locale has no UTF-8.

use std::env;

use evidence::paint::Paint;
use textwrap::{Options, WordSplitter::NoHyphenation, termwidth, wrap};

use super::{
    Report, Row,
    fault::Fault,
    plan::Planned,
    side::Side,
    trial::Outcome,
    trials::{BEYOND, BUILD},
};
use crate::{
    steps::Step,
    tour::{capital, steps_text},
};

/// No line is longer, however wide the terminal.
const WIDEST: usize = 100;

/// A place to print on.
pub struct Page {
    paint: Paint,
    width: usize,
    unicode: bool,
}

impl Page {
    /// For this terminal, or for what takes its place.
    pub fn new(paint: Paint) -> Page {
        let columns = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let width = columns.unwrap_or_else(termwidth).clamp(30, WIDEST);
        Page { paint, width, unicode: is_unicode() }
    }

    /// All of it.
    pub fn show(&self, report: &Report) {
        println!();
        self.say("  ", &self.paint.bold(&report.host.describe()));
        println!();
        self.plan(report);
        self.table(report);
        self.faults(&report.faults);
    }

    fn plan(&self, report: &Report) {
        for (place, steps) in groups(&report.plan) {
            let steps: Vec<Step> =
                Step::all().filter(|step| steps.contains(&step.number())).collect();
            let text = format!("{}: {}.", capital(&steps_text(&steps)), place_text(place));
            let text =
                if place == "nowhere" { self.paint.red(&text) } else { self.paint.green(&text) };
            self.say("  ", &text);
        }
        for (why, steps) in reasons(&report.plan) {
            self.say("  ", &format!("{}: {why}.", capital(&numbers(&steps))));
        }
        for one in &report.plan {
            for part in &one.without {
                self.say("  ", &self.paint.yellow(&format!("Step {}, without: {part}.", one.step)));
            }
        }
        if let Some(note) = &report.lab {
            self.say("  ", &format!("The lab: {note}."));
        }
        println!();
    }

    fn table(&self, report: &Report) {
        let sides: Vec<Side> = [Side::Root, Side::User, Side::Lab]
            .into_iter()
            .filter(|side| report.trials.iter().any(|row| row.outcomes.contains_key(side)))
            .collect();
        let heads: Vec<String> = sides.iter().map(|side| format!("{:4}", side.name())).collect();
        println!("  {}  {}", heads.join(" "), self.legend());
        let steps = Step::all().map(Step::number);
        for step in [BUILD].into_iter().chain(steps).chain([BEYOND]) {
            let rows = report.trials.iter().filter(|row| row.step == step);
            println!("  {}  {}", " ".repeat(5 * sides.len() - 1), self.paint.bold(&heading(step)));
            rows.for_each(|row| self.row(row, &sides));
        }
        println!();
    }

    fn legend(&self) -> String {
        let [works, fails, untried] = self.marks();
        self.paint.dim(&format!("{works} works  {fails} fails  {untried} not tried"))
    }

    fn marks(&self) -> [&'static str; 3] {
        if self.unicode { ["✓", "✗", "–"] } else { ["+", "x", "-"] }
    }

    fn row(&self, row: &Row, sides: &[Side]) {
        let marks: Vec<String> = sides.iter().map(|side| self.mark(row, *side)).collect();
        let indent = " ".repeat(2 + 5 * sides.len() + 1);
        let what = self.fit(&row.what, indent.len());
        println!("  {}  {}", marks.join(" "), what.join(&format!("\n{indent}")));
        let mut told: Vec<&str> = Vec::new();
        for (side, outcome) in &row.outcomes {
            let words = outcome.words();
            if words.is_empty() || told.contains(&words) {
                continue;
            }
            told.push(words);
            let text = format!("{}: {words}", side.name());
            let text = if row.outcomes.len() == 1 { words.to_string() } else { text };
            for line in self.fit(&text, indent.len() + 2) {
                println!("{indent}  {}", self.paint.dim(&line));
            }
        }
    }

    /// A mark in the middle of its column. Red: a step cannot do without.
    fn mark(&self, row: &Row, side: Side) -> String {
        let [works, fails, untried] = self.marks();
        let mark = match row.outcomes.get(&side) {
            None => " ".to_string(),
            Some(Outcome::Works { .. }) => self.paint.green(works),
            Some(Outcome::Fails { .. }) if row.needed => self.paint.red(fails),
            Some(Outcome::Fails { .. }) => self.paint.yellow(fails),
            Some(Outcome::Untried { .. }) => self.paint.dim(untried),
        };
        format!(" {mark}  ")
    }

    fn faults(&self, faults: &[Fault]) {
        for fault in faults {
            let who = format!("{}, {}", capital(&numbers(&fault.steps)), fault.side.name());
            let text = format!("{who}: {}", fault.advice.reason);
            let paint = |text: &str| match fault.blocks {
                true => self.paint.red(text),
                false => self.paint.yellow(text),
            };
            self.fit(&text, 2).iter().for_each(|line| println!("  {}", paint(line)));
            if !fault.advice.reason.contains(&fault.answer) {
                self.say("    found: ", &self.ascii(&fault.answer));
            }
            self.say("    mend:  ", &fault.advice.fix);
            self.say("    undo:  ", &fault.advice.undo);
            println!();
        }
    }

    /// Prints text, wrapped; the lines after the first stand under it.
    fn say(&self, first: &str, text: &str) {
        let rest = " ".repeat(first.len());
        let options = Options::new(self.width).initial_indent(first).subsequent_indent(&rest);
        let options = options.break_words(false).word_splitter(NoHyphenation);
        wrap(&self.ascii(text), options).iter().for_each(|line| println!("{line}"));
    }

    /// Text in lines that leave `indent` free.
    fn fit(&self, text: &str, indent: usize) -> Vec<String> {
        let options = Options::new(self.width.saturating_sub(indent).max(20));
        let options = options.break_words(false).word_splitter(NoHyphenation);
        wrap(&self.ascii(text), options).into_iter().map(String::from).collect()
    }

    fn ascii(&self, text: &str) -> String {
        match self.unicode {
            true => text.into(),
            false => {
                text.chars().map(|letter| if letter.is_ascii() { letter } else { '?' }).collect()
            }
        }
    }
}

/// The first of these that is set decides, locale(7).
fn is_unicode() -> bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"];
    let locale =
        names.iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
    let locale = locale.unwrap_or_default().to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

fn heading(step: u32) -> String {
    match Step::all().find(|one| one.number() == step) {
        Some(one) => format!("{} {}", step, one.name()),
        None if step == BUILD => "to build".into(),
        None => "later".into(),
    }
}

fn place_text(place: &str) -> &'static str {
    match place {
        "here" => "here",
        "sudo" => "here, with sudo",
        "lab" => "in the lab, a machine of your own",
        _ => "cannot be done as things are",
    }
}

/// The steps of each place, in the order in which the places come.
fn groups(plan: &[Planned]) -> Vec<(&str, Vec<u32>)> {
    gather(plan.iter().map(|one| (one.place.as_str(), one.step)))
}

/// The steps of each reason.
fn reasons(plan: &[Planned]) -> Vec<(&str, Vec<u32>)> {
    gather(plan.iter().filter_map(|one| Some((one.why.as_deref()?, one.step))))
}

fn gather<'a>(all: impl Iterator<Item = (&'a str, u32)>) -> Vec<(&'a str, Vec<u32>)> {
    let mut groups: Vec<(&str, Vec<u32>)> = Vec::new();
    for (key, step) in all {
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, steps)) => steps.push(step),
            None => groups.push((key, vec![step])),
        }
    }
    groups
}

/// As [`steps_text`], also for the group before the first step.
fn numbers(steps: &[u32]) -> String {
    let known: Vec<Step> = Step::all().filter(|step| steps.contains(&step.number())).collect();
    match steps.contains(&BUILD) {
        true => "building".into(),
        false => steps_text(&known),
    }
}
