//! The shape of a solution: the calls that it makes, in order and at their depth, without arguments
//! and without what only words an error.

use std::path::Path;

use anyhow::{Context, Result};
use quote::ToTokens;
use syn::{
    Block, Expr, ExprCall, ExprForLoop, ExprIf, ExprMacro, ExprMatch, ExprMethodCall, ExprUnsafe,
    ExprWhile,
    visit::{self, Visit},
};

use crate::source;

/// Calls that any function makes.
const PLAIN: [&str; 14] = [
    "context",
    "with_context",
    "hint",
    "map_err",
    "clone",
    "iter",
    "into_iter",
    "into",
    "collect",
    "as_ref",
    "to_owned",
    "to_string",
    "display",
    "unwrap_or_default",
];

/// Macros that only make text.
const TEXT: [&str; 4] = ["format", "println", "eprintln", "write"];

/// A line for each call in a body.
pub fn of_body(body: &str) -> Result<Vec<String>> {
    let block: Block = syn::parse_str(body).context("cannot read the solution")?;
    let mut shape = Shape::default();
    shape.visit_block(&block);
    Ok(shape.lines)
}

/// The same for a function of a text.
pub fn of_function(text: &str, path: &str) -> Result<Vec<String>> {
    let functions = source::functions(Path::new("main.rs"), text)?;
    let found = functions.into_iter().find(|it| it.path == path);
    of_body(&text[found.with_context(|| format!("there is no {path}"))?.body])
}

#[derive(Default)]
struct Shape {
    depth: usize,
    lines: Vec<String>,
}

impl Shape {
    fn line(&mut self, text: String) {
        self.lines.push(format!("{}{text}", "  ".repeat(self.depth)));
    }

    /// A line, and what is inside it one deeper.
    fn deeper(&mut self, text: &str, visit: impl FnOnce(&mut Self)) {
        self.line(text.to_string());
        self.depth += 1;
        visit(self);
        self.depth -= 1;
    }
}

impl<'ast> Visit<'ast> for Shape {
    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        visit::visit_expr_call(self, call);
        let name = compact(&call.func);
        // `Some(…)`, `Ok(…)` and the like are values, not calls.
        let value = name.rsplit("::").next().is_some_and(|it| it.starts_with(char::is_uppercase));
        if !value {
            self.line(format!("{name}(…)"));
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let name = call.method.to_string();
        self.visit_expr(&call.receiver);
        if PLAIN.contains(&name.as_str()) {
            return;
        }
        let line = format!("{}.{name}(…)", receiver(&call.receiver));
        let arguments = |us: &mut Self| call.args.iter().for_each(|it| us.visit_expr(it));
        if call.args.iter().any(is_block) {
            return self.deeper(&line, arguments);
        }
        arguments(self);
        self.line(line);
    }

    fn visit_expr_macro(&mut self, call: &'ast ExprMacro) {
        let name = compact(&call.mac.path);
        if !TEXT.contains(&name.as_str()) {
            self.line(format!("{name}!(…)"));
        }
    }

    fn visit_expr_for_loop(&mut self, it: &'ast ExprForLoop) {
        self.visit_expr(&it.expr);
        let head = format!("for {} in …", compact(&it.pat));
        self.deeper(&head, |us| us.visit_block(&it.body));
    }

    fn visit_expr_while(&mut self, it: &'ast ExprWhile) {
        self.deeper("while …", |us| visit::visit_expr_while(us, it));
    }

    fn visit_expr_if(&mut self, it: &'ast ExprIf) {
        self.visit_expr(&it.cond);
        self.deeper("if …", |us| us.visit_block(&it.then_branch));
        if let Some((_, otherwise)) = &it.else_branch {
            self.deeper("else", |us| us.visit_expr(otherwise));
        }
    }

    fn visit_expr_match(&mut self, it: &'ast ExprMatch) {
        self.visit_expr(&it.expr);
        self.deeper("match …", |us| it.arms.iter().for_each(|arm| us.visit_arm(arm)));
    }

    fn visit_expr_unsafe(&mut self, it: &'ast ExprUnsafe) {
        self.deeper("unsafe", |us| us.visit_block(&it.block));
    }
}

/// `gate`, or `…` for what is no plain name.
fn receiver(it: &Expr) -> String {
    match it {
        Expr::Path(path) => compact(path),
        _ => "…".into(),
    }
}

/// A closure with a body of several lines.
fn is_block(it: &Expr) -> bool {
    matches!(it, Expr::Closure(closure) if matches!(*closure.body, Expr::Block(_)))
}

/// Tokens without the spaces between them.
fn compact(tokens: &impl ToTokens) -> String {
    tokens.to_token_stream().to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_stand_in_their_order_and_at_their_depth() {
        let body = r#"{
            let all = open(first(path)?).with_context(|| format!("cannot {}", name()))?;
            for it in all.lines() { if it.ready() { a::b(it)?; } else { bail!("x") } }
            // SAFETY: none.
            unsafe { libc::syscall(1) };
            clone.spawn(|gate| { gate.wait()?; go(|| 1) })?;
            Ok(())
        }"#;
        let expected = [
            "first(…)",
            "open(…)",
            "all.lines(…)",
            "for it in …",
            "  it.ready(…)",
            "  if …",
            "    a::b(…)",
            "  else",
            "    bail!(…)",
            "unsafe",
            "  libc::syscall(…)",
            "clone.spawn(…)",
            "  gate.wait(…)",
            "  go(…)",
        ];
        assert_eq!(of_body(body).unwrap(), expected);
    }
}
