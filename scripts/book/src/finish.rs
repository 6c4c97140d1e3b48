//! What is put right in the pages that mdBook made. For those who hear them: a table's empty corner is no
//! heading, and a box to tick off on paper no field. For those with a phone: a long name in a table may be
//! broken where it has a joint.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::place::{read, write};

/// What is put in place of what.
const CHANGES: [(&str, &str); 2] = [
    ("<th></th>", "<td></td>"),
    (
        "<input disabled=\"\" type=\"checkbox\">",
        "<span class=\"box\" aria-hidden=\"true\">☐</span>",
    ),
];

/// A name up to this length stays whole on a phone too.
const SHORT: usize = 12;

/// A flag of this length may be broken all the same, or a phone could not show it.
const LONGEST_FLAG: usize = 28;

/// All pages in a directory and below.
pub fn pages(dir: &Path) -> Result<()> {
    let act = || format!("cannot list {}", dir.display());
    for entry in fs::read_dir(dir).with_context(act)? {
        let path = entry.with_context(act)?.path();
        if path.is_dir() {
            pages(&path)?;
        } else if path.extension().is_some_and(|it| it == "html") {
            let text = read(&path)?;
            let changed = CHANGES
                .iter()
                .fold(flags(&jointed(&text)), |text, (old, new)| text.replace(old, new));
            if changed != text {
                write(&path, &changed)?;
            }
        }
    }
    Ok(())
}

/// Long names in the tables of a page get a place to break after each of their joints.
fn jointed(page: &str) -> String {
    each(page, "<td", "</td>", |cell| {
        each(cell, "<code", "</code>", |code| {
            let (tag, text) = code.split_once('>').unwrap_or(("", code));
            let words: Vec<_> = text.split(' ').map(breakable).collect();
            format!("{tag}>{}", words.join(" "))
        })
    })
}

/// Flags in running text are not broken after their dashes: `--` at the end of a line means something else.
fn flags(page: &str) -> String {
    each(page, "<code>", "</code>", |code| {
        let whole = |word: &str| match word.starts_with('-') && word.len() < LONGEST_FLAG {
            true => format!("<span class=\"flag\">{word}</span>"),
            false => word.into(),
        };
        code.split(' ').map(whole).collect::<Vec<_>>().join(" ")
    })
}

/// The page with all that stands between `open` and `close` changed.
fn each(page: &str, open: &str, close: &str, change: impl Fn(&str) -> String) -> String {
    let mut parts = page.split(open);
    let mut changed = parts.next().unwrap_or_default().to_string();
    for part in parts {
        changed += open;
        match part.split_once(close) {
            Some((inside, after)) => changed += &[&change(inside), close, after].concat(),
            None => changed += part,
        }
    }
    changed
}

/// `cgroup.subtree_control` may be broken before `subtree` and before `control`.
fn breakable(word: &str) -> String {
    let mut broken = String::new();
    for letter in word.chars() {
        let joint = broken.len() > 1 && broken.ends_with(['/', '_', ':', '.', '=', ',', '|']);
        if word.len() > SHORT && joint && letter.is_alphanumeric() {
            broken += "<wbr>";
        }
        broken.push(letter);
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_in_a_table_can_be_broken_at_its_joints() {
        let page = "<p><code>cgroup.subtree_control</code></p><td><a href=\"a_b_c_d_e_f_g\"><code \
                    class=\"a\">/proc/self/ns uts::set_hostname --env</code></a></td>";
        let wanted = page
            .replace("/proc/self/ns", "/proc/<wbr>self/<wbr>ns")
            .replace("uts::set_hostname", "uts::<wbr>set_<wbr>hostname");
        assert_eq!(jointed(page), wanted);
    }

    #[test]
    fn a_flag_stays_in_one_line() {
        let wanted = "<code>unshare <span class=\"flag\">--user</span> a-b</code>";
        assert_eq!(flags("<code>unshare --user a-b</code>"), wanted);
    }
}
