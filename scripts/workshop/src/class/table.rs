//! A class as a table for the terminal.

use super::{Class, Learner};
use crate::check::Text;

pub fn table(class: &Class) -> String {
    let text = Text::of_stdout();
    let names = class.learners.iter().map(|it| text.plain(&it.name).chars().count());
    let width = names.max().unwrap_or(0).clamp(3, 24);
    let mut lines = vec![String::new()];
    lines.extend(class.learners.iter().flat_map(|it| row(text, it, width)));
    let stops = class.stops();
    if !stops.is_empty() {
        lines.extend([String::new(), text.paint.bold("What stops most")]);
    }
    for (what, count) in stops.iter().take(5) {
        lines.extend(text.wrapped(&format!("  {count:3}  "), 7, what));
    }
    for (file, why) in &class.broken {
        lines.extend(text.wrapped("left out: ", 10, &format!("{file}: {why}")));
    }
    lines.push(String::new());
    lines.join("\n") + "\n"
}

fn row(text: Text, learner: &Learner, width: usize) -> Vec<String> {
    let name: String = text.plain(&learner.name).chars().take(width).collect();
    let (held, all) = learner.held();
    let mark = text.mark(Some(learner.outcome.passed));
    let step = format!("{} {}", learner.step.number(), learner.step.name());
    let head = format!("  {mark}{name:width$}  ");
    let stop = learner.stopped_by().unwrap_or_default();
    text.wrapped(
        &head,
        width + 4 + text.mark_width(),
        &format!("{step:10}  {held:2} of {all:2}  {stop}"),
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_learner_is_a_line_without_control_characters() {
        let table = super::table(&super::super::tests::made_up());
        assert!(
            table.contains("cleo") && table.contains("4 mount") && table.contains("empty.json")
        );
        assert!(!table.contains('\x1b') && !table.contains('\u{202e}'), "{table:?}");
        assert!(table.find("04-mount/a") < table.find("02-uts/b"));
    }
}
