//! The lines of a Markdown text, each known to be prose or inside a fenced block.

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    Prose,
    /// Opens a block; with what stands behind the fence.
    Open(&'a str),
    Inside,
    Close,
}

/// A line of a chapter.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// From 1.
    pub number: usize,
    pub text: &'a str,
    pub kind: Kind<'a>,
}

/// All lines of a text.
pub fn lines(text: &str) -> Vec<Line<'_>> {
    let mut open: Option<&str> = None;
    let mut found = Vec::new();
    for (at, text) in text.lines().enumerate() {
        let (fence, info) = fence(text);
        let kind = match open {
            Some(with) if info.is_empty() && closes(fence, with) => {
                open = None;
                Kind::Close
            }
            Some(_) => Kind::Inside,
            None if fence.len() >= 3 => {
                open = Some(fence);
                Kind::Open(info)
            }
            None => Kind::Prose,
        };
        found.push(Line { number: at + 1, text, kind });
    }
    found
}

/// The fence that a line begins with, and what follows it.
fn fence(line: &str) -> (&str, &str) {
    let text = line.trim_start();
    let mark = if text.starts_with('~') { '~' } else { '`' };
    let end = text.find(|it| it != mark).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

fn closes(fence: &str, open: &str) -> bool {
    fence.len() >= open.len() && fence.starts_with(&open[..1])
}

/// A fence that nothing in the text closes.
pub fn around(text: &str) -> String {
    let longest = text.lines().map(|line| fence(line).0.len()).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_ends_at_a_fence_as_long_as_its_own() {
        let text = "a\n````console,x\n```\n{{#fn}}\n````\nb\n";
        let kinds: Vec<Kind> = lines(text).iter().map(|it| it.kind).collect();
        let expected = [
            Kind::Prose,
            Kind::Open("console,x"),
            Kind::Inside,
            Kind::Inside,
            Kind::Close,
            Kind::Prose,
        ];
        assert_eq!(kinds, expected);
        assert_eq!(around("x\n````\n"), "`````");
    }
}
