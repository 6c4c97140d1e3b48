//! `workshop hint N.K`: one hint more each time, from `hints.md` of the step; then the man pages that
//! the task names; then the shape of the solution.

use std::{fs, io::stdout};

use anyhow::{Context, Result};
use evidence::paint::{self, Paint};

use crate::{
    checkout,
    exercise::{self, Exercise, Task},
    handout::Handout,
    my::{My, Where},
    shape,
    steps::Step,
};

#[derive(clap::Args)]
pub struct Args {
    /// An exercise, 5.2, or a step: its main.rs
    task: Task,
    #[command(flatten)]
    place: Where,
}

pub fn hint(args: &Args) -> Result<i32> {
    let paint = Paint(paint::wanted(&stdout()));
    let my = My::open(args.place.dir.as_deref())?;
    let (name, what, hints) = match args.task {
        Task::Exercise(id) => {
            let exercise = exercise::find(id)?;
            let hints = of_exercise(&exercise)?;
            (id.to_string(), exercise.function.name().to_string(), hints)
        }
        Task::Wiring(step) => (step.number().to_string(), "main.rs".into(), of_wiring(step)?),
    };
    let mut state = my.state()?;
    let given = (state.hints.get(&name).copied().unwrap_or(0) + 1).min(hints.len());
    println!("\n{}\n", paint.bold(&format!("{name}  {what}")));
    for (number, hint) in (1..=given).zip(&hints) {
        let line = format!("  {number}. {}", hint.replace('\n', "\n     "));
        println!("{}", if number == given { line } else { paint.dim(&line) });
    }
    println!("\n{}\n", paint.dim(&left(&my, &name, hints.len() - given)));
    state.hints.insert(name, given);
    state.save(my.dir())?;
    Ok(0)
}

/// What is left to ask for.
fn left(my: &My, name: &str, hints: usize) -> String {
    let solve = my.command(&format!("solve {name}"));
    match hints {
        0 => format!("That was the last one. {solve} writes it for you."),
        1 => "One more is left.".to_string(),
        more => format!("{more} more are left."),
    }
}

/// All hints for an exercise, in the order in which they are given.
fn of_exercise(exercise: &Exercise) -> Result<Vec<String>> {
    let mut hints = written(exercise.id.step, &exercise.id.to_string())?;
    let pages = pages(&exercise.task());
    if !pages.is_empty() {
        let read = |page: &String| match page.strip_suffix(')').and_then(|it| it.split_once('(')) {
            Some((name, section)) => format!("man {section} {name}"),
            None => page.clone(),
        };
        let commands = pages.iter().map(read).collect::<Vec<_>>().join("\n");
        hints.push(format!("The man pages:\n{commands}"));
    }
    let shape = shape::of_body(&exercise.solution)?;
    hints.push(format!("The shape of it:\n{}", shape.join("\n")));
    Ok(hints)
}

/// For main.rs: what hints.md says, then what `run` calls that it did not call before, then the order.
fn of_wiring(step: Step) -> Result<Vec<String>> {
    let mut hints = written(step, &step.number().to_string())?;
    let old = match step.before() {
        Some(before) => shape::of_function(Handout::reference(before)?.main(), "run")?,
        None => Vec::new(),
    };
    let new = shape::of_function(Handout::reference(step)?.main(), "run")?;
    let is_new = |line: &&String| !old.contains(line);
    let mut calls: Vec<&str> = new.iter().filter(is_new).map(|line| line.trim()).collect();
    calls.sort();
    calls.dedup();
    hints.push(format!("What `run` calls that it did not before:\n{}", calls.join("\n")));
    let mark = |line: &String| format!("{} {line}", if old.contains(line) { " " } else { "+" });
    let order: Vec<String> = new.iter().map(mark).collect();
    hints.push(format!("In this order:\n{}", order.join("\n")));
    if let Some(before) = step.before() {
        let command = format!("cargo workshop diff {} {}", before.number(), step.number());
        hints.push(format!("The lesson itself, which is the solution:\n{command}"));
    }
    Ok(hints)
}

/// The list under `## 5.2` in the step's hints.md.
fn written(step: Step, name: &str) -> Result<Vec<String>> {
    let file = checkout::checkout()?.join("steps").join(step.directory()).join("hints.md");
    let text = fs::read_to_string(&file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(listed(&text, name))
}

/// The items of the list under a heading; a line that is indented goes on with the one before.
fn listed(text: &str, name: &str) -> Vec<String> {
    let heading = format!("## {name}");
    let lines = text.lines().skip_while(|line| line.trim_end() != heading).skip(1);
    let mut items: Vec<String> = Vec::new();
    for line in lines.take_while(|line| !line.starts_with('#')) {
        match (line.strip_prefix("- ").or(line.strip_prefix("* ")), items.last_mut()) {
            (Some(item), _) => items.push(item.trim().to_string()),
            (None, Some(item)) if !line.trim().is_empty() => {
                item.push('\n');
                item.push_str(line.trim());
            }
            _ => {}
        }
    }
    items
}

/// The man pages that a text names, `pivot_root(2)`, each once.
fn pages(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let end = |it: char| !(it.is_alphanumeric() || "_-.()".contains(it));
    for word in text.split(end).map(|word| word.trim_end_matches('.')) {
        let Some((name, section)) = word.split_once('(') else { continue };
        let section = section.trim_end_matches(')');
        let is_page = !name.is_empty() && section.len() == 1 && word.ends_with(')');
        let page = format!("{name}({section})");
        if is_page && section.starts_with(|it: char| it.is_ascii_digit()) && !found.contains(&page)
        {
            found.push(page);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_the_items_under_their_heading() {
        let text = "# Hints\n\n## 5.2\n\n- vague\n- more\n  exact `a`\n\n- last\n\n## 5.20\n- no\n";
        assert_eq!(listed(text, "5.2"), ["vague", "more\nexact `a`", "last"]);
        assert_eq!(listed(text, "5"), Vec::<String>::new());
    }

    #[test]
    fn man_pages_are_found_once_each() {
        let text = "Use pivot_root(2), then `umount2(2)`. See pivot_root(2); not f(x) nor (2).";
        assert_eq!(pages(text), ["pivot_root(2)", "umount2(2)"]);
    }

    #[test]
    fn every_exercise_has_three_hints_or_more_and_a_shape() {
        for step in Step::all() {
            for exercise in exercise::of_step(step).unwrap() {
                let own = written(step, &exercise.id.to_string()).unwrap();
                assert!(own.len() >= 2, "{} has {} hints", exercise.id, own.len());
                assert!(of_exercise(&exercise).unwrap().len() > own.len());
            }
        }
    }
}
