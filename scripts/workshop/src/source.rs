//! Rust text and the functions in it: where each body begins and ends, byte for byte. Changes are
//! made in the text, so comments and formatting outside of what is changed survive.

pub mod items;

use std::{ops::Range, path::Path};

use anyhow::{Error, Result, anyhow};
use proc_macro2::Span;
use syn::{
    Attribute, Expr, ExprLit, ImplItemFn, Item, ItemFn, ItemImpl, ItemMod, Lit, Meta, Signature,
    Type, spanned::Spanned, visit::Visit,
};

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A function or a method with a body.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// With the modules and the type that it is in: `inner::Root::pivot`.
    pub path: String,
    /// Its doc comment, a line a line.
    pub docs: Vec<String>,
    /// `pub fn pivot(self) -> Result<()>`
    pub signature: String,
    /// Where the signature starts.
    pub start: usize,
    /// The line of its name, from 1.
    pub line: usize,
    /// From brace to brace, both included.
    pub body: Range<usize>,
    /// All of it, with its doc comment and attributes.
    pub whole: Range<usize>,
}

impl Function {
    /// `pivot`
    pub fn name(&self) -> &str {
        self.path.rsplit("::").next().unwrap_or(&self.path)
    }
}

/// All functions of a text, in its order. An error names `file`, line and column.
pub fn functions(file: &Path, text: &str) -> Result<Vec<Function>> {
    let parsed = parse(file, text)?;
    let mut finder = Finder { text, offset: offset(text), within: Vec::new(), found: Vec::new() };
    finder.visit_file(&parsed);
    Ok(finder.found)
}

/// Parses a text, which stands in `file`.
pub fn parse(file: &Path, text: &str) -> Result<syn::File> {
    syn::parse_str(&text[offset(text)..]).map_err(|error| located(file, &error))
}

/// The text with `with` in place of a range.
pub fn replace(text: &str, range: &Range<usize>, with: &str) -> String {
    [&text[..range.start], with, &text[range.end..]].concat()
}

/// The text without what is compiled for tests alone.
pub fn without_tests(file: &Path, text: &str) -> Result<String> {
    let parsed = parse(file, text)?;
    let mut left = text.to_string();
    for item in parsed.items.iter().rev().filter(|item| attributes(item).iter().any(is_test)) {
        let range = item.span().byte_range();
        let start = range.start + offset(text);
        left.replace_range(start..range.end + offset(text), "");
        let before = left[..start].trim_end().len();
        left.replace_range(before..start, "");
    }
    Ok(format!("{}\n", left.trim_end()))
}

/// A range of the parsed text counts from after a byte order mark.
fn offset(text: &str) -> usize {
    if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 }
}

/// `my/steps/04-mount/src/lib.rs:12:5: expected …`, as rustc has it.
fn located(file: &Path, error: &syn::Error) -> Error {
    let start = error.span().start();
    let column = start.column + 1;
    anyhow!("{}:{}:{column}: this is not Rust: {error}", file.display(), start.line)
}

/// `#[cfg(test)]`
fn is_test(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else { return false };
    list.path.is_ident("cfg") && list.tokens.to_string() == "test"
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Mod(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        _ => &[],
    }
}

/// Walks through a file and remembers which module and type it is in.
struct Finder<'a> {
    text: &'a str,
    offset: usize,
    within: Vec<String>,
    found: Vec<Function>,
}

impl Finder<'_> {
    fn range(&self, span: Span) -> Range<usize> {
        let range = span.byte_range();
        range.start + self.offset..range.end + self.offset
    }

    /// `spans`: of all of it, and of its body.
    fn add(&mut self, docs: &[Attribute], start: Span, signature: &Signature, spans: [Span; 2]) {
        let name = signature.ident.to_string();
        let [whole, body] = spans.map(|span| self.range(span));
        let start = self.range(start).start;
        self.found.push(Function {
            path: self.within.iter().cloned().chain([name]).collect::<Vec<_>>().join("::"),
            docs: docs.iter().filter_map(doc).flat_map(|it| lines(&it)).collect(),
            signature: self.text[start..body.start].trim().to_string(),
            start,
            line: signature.ident.span().start().line,
            body,
            whole,
        });
    }

    /// Visits what is in something with a name.
    fn inside(&mut self, name: String, visit: impl FnOnce(&mut Self)) {
        self.within.push(name);
        visit(self);
        self.within.pop();
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.inside(item.ident.to_string(), |us| syn::visit::visit_item_mod(us, item));
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        self.inside(type_name(&item.self_ty), |us| syn::visit::visit_item_impl(us, item));
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        let start = visible(&item.vis, &item.sig);
        self.add(&item.attrs, start, &item.sig, [item.span(), item.block.span()]);
        let name = item.sig.ident.to_string();
        self.inside(name, |us| syn::visit::visit_item_fn(us, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        let start = visible(&item.vis, &item.sig);
        self.add(&item.attrs, start, &item.sig, [item.span(), item.block.span()]);
        let name = item.sig.ident.to_string();
        self.inside(name, |us| syn::visit::visit_impl_item_fn(us, item));
    }
}

/// Where a signature starts: at its `pub`, if it has one.
fn visible(visibility: &syn::Visibility, signature: &Signature) -> Span {
    match visibility {
        syn::Visibility::Inherited => signature.span(),
        _ => visibility.span(),
    }
}

/// The last name of a type: `Root` of `crate::Root<'a>`.
fn type_name(it: &Type) -> String {
    match it {
        Type::Path(it) => it.path.segments.last().map_or("_".into(), |it| it.ident.to_string()),
        Type::Reference(it) => type_name(&it.elem),
        _ => "_".into(),
    }
}

/// The text of a `///` line, or of a `/** … */` comment.
fn doc(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    match &pair.value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if pair.path.is_ident("doc") => {
            Some(text.value())
        }
        _ => None,
    }
}

fn lines(doc: &str) -> Vec<String> {
    let line = |line: &str| line.strip_prefix(' ').unwrap_or(line).trim_end().to_string();
    if doc.is_empty() { vec![String::new()] } else { doc.lines().map(line).collect() }
}

#[cfg(test)]
mod tests;
