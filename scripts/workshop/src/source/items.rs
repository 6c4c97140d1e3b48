//! The things with a name in a Rust text that are no functions: structs, enums, constants and the like.

use std::{ops::Range, path::Path};

use anyhow::Result;
use syn::{Ident, Item, spanned::Spanned};

use super::{offset, parse};

/// A struct, an enum, a constant, a static, a type or a trait.
pub struct Named {
    /// With the modules that it is in: `inner::Root`.
    pub path: String,
    /// The line of its name, from 1.
    pub line: usize,
    /// All of it, with its doc comment and attributes.
    pub whole: Range<usize>,
}

/// All of a text, in its order. An error names `file`, line and column.
pub fn items(file: &Path, text: &str) -> Result<Vec<Named>> {
    let mut found = Vec::new();
    collect("", &parse(file, text)?.items, offset(text), &mut found);
    Ok(found)
}

fn collect(within: &str, items: &[Item], offset: usize, found: &mut Vec<Named>) {
    for item in items {
        if let Item::Mod(module) = item {
            let inside = module.content.as_ref().map_or(&[][..], |(_, items)| items);
            collect(&format!("{within}{}::", module.ident), inside, offset, found);
        }
        let Some(name) = name(item) else { continue };
        let range = item.span().byte_range();
        found.push(Named {
            path: format!("{within}{name}"),
            line: name.span().start().line,
            whole: range.start + offset..range.end + offset,
        });
    }
}

fn name(item: &Item) -> Option<&Ident> {
    match item {
        Item::Struct(it) => Some(&it.ident),
        Item::Enum(it) => Some(&it.ident),
        Item::Union(it) => Some(&it.ident),
        Item::Const(it) => Some(&it.ident),
        Item::Static(it) => Some(&it.ident),
        Item::Type(it) => Some(&it.ident),
        Item::Trait(it) => Some(&it.ident),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_found_with_its_docs() {
        let text = "\u{feff}mod a {\n    /// One.\n    #[must_use]\n    pub struct It(u8);\n}\nconst B: u8 = 1;\n";
        let found = items(Path::new("a.rs"), text).unwrap();
        let whole: Vec<_> =
            found.iter().map(|it| (&*it.path, it.line, &text[it.whole.clone()])).collect();
        let first = "/// One.\n    #[must_use]\n    pub struct It(u8);";
        assert_eq!(whole, [("a::It", 4, first), ("B", 6, "const B: u8 = 1;")]);
    }
}
