//! `{{#matrix}}`, every exercise with its checks, and `{{#attacks}}`, every attack with its step.

use std::fmt::Write;

use anyhow::Result;
use evidence::checks::{self, Check};
use syn::{Expr, ExprStruct, Lit, visit::Visit};
use workshop::{source, steps::Step};

use crate::{
    exercises,
    flags::cell,
    place::{Place, read},
};

/// A row an exercise: its function, the checks that are its own, and those that turn red with it.
pub fn matrix(place: &Place) -> Result<String> {
    let mut table =
        String::from("| exercise | function | its checks | red with it |\n|---|---|---|---|\n");
    for step in Step::all() {
        for it in exercises::all(place, step)?.iter() {
            let function = format!("`{}::{}`", step.name(), it.function.path);
            let _ = writeln!(table, "| {} | {function} |{}", it.id, checks_of(&it.id.to_string()));
        }
        let main = format!("`{}`, `src/main.rs`", step.name());
        let _ = writeln!(
            table,
            "| {} | {main} |{}",
            step.number(),
            checks_of(&step.number().to_string())
        );
    }
    Ok(table)
}

/// More than this many checks are counted, not named.
const NAMED: usize = 4;

fn checks_of(exercise: &str) -> String {
    let own = checks::all().filter(|check| check.exercise == exercise);
    let own: Vec<String> = own.map(|check| format!("`{}`", check.name)).collect();
    let listed = checks::knock_ons(exercise);
    let is_listed = |check: &&Check| listed.iter().any(|it| it.is_of(check));
    let others = checks::all().filter(|check| check.exercise != exercise).filter(is_listed);
    let others: Vec<String> = others.map(|check| format!("`{}`", check.name)).collect();
    let others = match others.len() > NAMED {
        true => format!("{} others", others.len()),
        false => others.join(", "),
    };
    format!(" {} | {others} |", own.join(", "))
}

/// A row an attack.
pub fn attacks(place: &Place) -> Result<String> {
    let mut table = String::from(
        "| step | attack | what it does | works in | stopped in |\n|---|---|---|---|---|\n",
    );
    for step in Step::all() {
        let file = place.package(step).join("attack.rs");
        let mut finder = Attacks::default();
        finder.visit_file(&source::parse(&file, &read(&file)?)?);
        for (name, claim) in finder.found {
            let before = match step.before() {
                // Nothing before it unpacks anything.
                _ if !step.takes_root() => "a plain loop",
                before => before.map_or("no container", |step| step.name()),
            };
            let number = step.number();
            let _ = writeln!(
                table,
                "| {number} | `{name}` | {} | {before} | {} |",
                cell(&claim),
                step.name()
            );
        }
    }
    Ok(table)
}

/// The `Attack { name: "…", claim: "…", … }` of a file.
#[derive(Default)]
struct Attacks {
    found: Vec<(String, String)>,
}

impl<'ast> Visit<'ast> for Attacks {
    fn visit_expr_struct(&mut self, it: &'ast ExprStruct) {
        if it.path.is_ident("Attack")
            && let (Some(name), Some(claim)) = (text(it, "name"), text(it, "claim"))
        {
            self.found.push((name, claim));
        }
        syn::visit::visit_expr_struct(self, it);
    }
}

/// The text of a field.
fn text(it: &ExprStruct, field: &str) -> Option<String> {
    let field = it
        .fields
        .iter()
        .find(|value| matches!(&value.member, syn::Member::Named(name) if name == field))?;
    match &field.expr {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_attacks_and_exercises() {
        let here = Place::here().unwrap();
        let attacks = attacks(&here).unwrap();
        assert!(attacks.contains("| 4 | `double-chroot` | leaves a chroot by"), "{attacks}");
        assert!(attacks.contains("| 14 | `dots` | names a file above"), "{attacks}");
        let matrix = matrix(&here).unwrap();
        for step in Step::all() {
            assert!(attacks.contains(&format!("\n| {} | `", step.number())), "{attacks}");
            assert!(matrix.contains(&format!("\n| {}.1 | `", step.number())), "{matrix}");
        }
    }
}
