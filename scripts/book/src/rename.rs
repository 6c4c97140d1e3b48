//! Names for what differs from run to run: `uts:[4026531838]` becomes `uts:[A]`, process 4711 `PID a`.
//! Within a chapter the same thing has the same name, and another thing another one.

use std::{collections::HashMap, ops::RangeInclusive, sync::LazyLock};

use regex::{Captures, Regex};

/// The names that were given so far, by kind and by what was there.
#[derive(Default)]
pub struct Names {
    given: HashMap<(&'static str, String), usize>,
    counts: HashMap<&'static str, usize>,
}

/// Which kinds of namespaces there are.
const NAMESPACES: &str = "cgroup|ipc|mnt|net|pid|time|user|uts";

/// The kind of what is named by its content.
const DIGEST: &str = "digest";

/// What is looked for; the kinds in the order in which they are tried.
static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    let parts = [
        &format!(r"\b(?<ns>{NAMESPACES}):\[(?<inode>\d+)\]"),
        // As lsns(8) has it.
        &format!(r"\b(?<listed>40265\d{{5}})(?<gap> +)(?<kind>{NAMESPACES})\b"),
        r"\b(?<bare>40265\d{5})\b",
        r"\bsecret (?<secret>[0-9a-f]{8})\b",
        r"\b(?<digest>[0-9a-f]{64}|[0-9a-f]{12})\b",
        r"/tmp/(?<stem>[a-z-]+)-(?<made>[0-9A-Za-z]{6})\b",
        r"\b(?<mac>(?:[0-9a-f]{2}:){5}[0-9a-f]{2})\b",
        r"(?<address>127\.0\.0\.1|\[::1\]):(?<port>\d{5})\b",
        r"\b(?<time>\d\d:\d\d:\d\d)\b",
        r"\b(?<date>(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2} +\d\d:?\d\d)\b",
        r"^(?<mount>\d+) (?<parent>\d+) (?<device>\d+:\d+) /",
        r"\b(?:(?:PID|pid) )?(?<pid>\d+)\b",
        r"\b(?<prefix>c|workshop-c)(?<named>\d+)\b",
    ];
    Regex::new(&parts.join("|")).expect("the pattern is one")
});

static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\d+").expect("the pattern is one"));

impl Names {
    /// A line of output, from a machine on which processes had these numbers.
    pub fn line(&mut self, line: &str, pids: &RangeInclusive<u32>) -> String {
        PATTERN.replace_all(line, |found: &Captures| self.replaced(found, pids)).into_owned()
    }

    /// A text in which every number is renamed.
    pub fn numbers(&mut self, text: &str) -> String {
        let renamed = NUMBER.replace_all(text, |it: &Captures| self.upper("number", &it[0]));
        renamed.into_owned()
    }

    fn replaced(&mut self, found: &Captures, pids: &RangeInclusive<u32>) -> String {
        let part = |name: &str| found.name(name).map(|it| it.as_str());
        if let Some(name) = self.namespace(&part).or_else(|| self.made_up(&part)) {
            return name;
        }
        if let (Some(mount), Some(parent), Some(device)) =
            (part("mount"), part("parent"), part("device"))
        {
            let [mount, parent] = [mount, parent].map(|it| self.upper("mount", it));
            return format!("[{mount}] [{parent}] [{}] /", self.lower("device", device));
        }
        match part("pid").or(part("named")) {
            Some(pid) => self.process(&found[0], part("prefix"), pid, pids),
            None => found[0].into(),
        }
    }

    /// A namespace, however it is written.
    fn namespace<'a>(&mut self, part: &impl Fn(&str) -> Option<&'a str>) -> Option<String> {
        if let (Some(kind), Some(inode)) = (part("ns"), part("inode")) {
            return Some(format!("{kind}:[{}]", self.upper(namespace(kind), inode)));
        }
        if let (Some(inode), Some(gap), Some(kind)) = (part("listed"), part("gap"), part("kind")) {
            return Some(format!("[{}]{gap}{kind}", self.upper(namespace(kind), inode)));
        }
        part("bare").map(|inode| format!("[{}]", self.known(inode)))
    }

    /// What somebody made up by chance, and what a clock says.
    fn made_up<'a>(&mut self, part: &impl Fn(&str) -> Option<&'a str>) -> Option<String> {
        if let Some(secret) = part("secret") {
            return Some(format!("secret [{}]", self.upper("secret", secret)));
        }
        if let Some(digest) = part("digest") {
            return self.digest(digest);
        }
        if let (Some(stem), Some(made)) = (part("stem"), part("made")) {
            // Letters of both cases or digits: no word of ours.
            let word = made.chars().all(|it| it.is_ascii_lowercase());
            return (!word).then(|| format!("/tmp/{stem}-[{}]", self.upper("directory", made)));
        }
        if let Some(mac) = part("mac") {
            let fixed = ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"].contains(&mac);
            return (!fixed).then(|| format!("MAC {}", self.lower("mac", mac)));
        }
        if let (Some(address), Some(port)) = (part("address"), part("port")) {
            return Some(format!("{address}:[{}]", self.upper("port", port)));
        }
        part("time").map(|_| "HH:MM:SS".into()).or(part("date").map(|_| "DATE".into()))
    }

    /// The name of content: `sha256:[A]`. Its first twelve digits, as people are shown them, are the same
    /// thing if all of it was seen before; else they are any number.
    fn digest(&mut self, digits: &str) -> Option<String> {
        // So many zeros are no digest.
        if digits.bytes().all(|it| it == b'0') {
            return None;
        }
        let mut seen = self.given.keys().filter(|(kind, _)| *kind == DIGEST).map(|(_, it)| it);
        let whole = seen.find(|it| it.starts_with(digits)).cloned();
        let whole = whole.or_else(|| (digits.len() == 64).then(|| digits.into()))?;
        Some(format!("[{}]", self.upper(DIGEST, &whole)))
    }

    /// A number is a process if it is one of those that were given to processes meanwhile.
    fn process(
        &mut self,
        all: &str,
        prefix: Option<&str>,
        pid: &str,
        pids: &RangeInclusive<u32>,
    ) -> String {
        if !pid.parse().is_ok_and(|pid| pids.contains(&pid)) {
            return all.into();
        }
        // Of another machine the same number is another process.
        let name = self.lower("process", &format!("{pid} since {}", pids.start()));
        match prefix {
            Some(prefix) => format!("{prefix}[{name}]"),
            None => format!("PID {name}"),
        }
    }

    /// An inode whose kind the line does not tell: it may have been seen with its kind.
    fn known(&mut self, inode: &str) -> String {
        let seen = self.given.keys().find(|(_, it)| it == inode).map(|(kind, _)| *kind);
        self.upper(seen.unwrap_or("namespace"), inode)
    }

    fn upper(&mut self, kind: &'static str, what: &str) -> String {
        letters(self.number(kind, what), b'A')
    }

    fn lower(&mut self, kind: &'static str, what: &str) -> String {
        letters(self.number(kind, what), b'a')
    }

    fn number(&mut self, kind: &'static str, what: &str) -> usize {
        let count = self.counts.entry(kind).or_default();
        *self.given.entry((kind, what.to_string())).or_insert_with(|| {
            *count += 1;
            *count - 1
        })
    }
}

/// The same kind as one that lives as long as we.
fn namespace(kind: &str) -> &'static str {
    NAMESPACES.split('|').find(|it| *it == kind).unwrap_or("namespace")
}

/// 0 is A, 25 Z, 26 AA.
fn letters(number: usize, first: u8) -> String {
    let last = char::from(first + (number % 26) as u8);
    match number / 26 {
        0 => last.to_string(),
        more => letters(more - 1, first) + &last.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_stays_equal_and_different_stays_different() {
        let mut names = Names::default();
        let mut line = |text: &str| names.line(text, &(27000..=27100));
        assert_eq!(line("uts:[4026531838] pid:[4026531836]"), "uts:[A] pid:[A]");
        assert_eq!(line("uts:[4026532450] uts:[4026531838]"), "uts:[B] uts:[A]");
        assert_eq!(line("4026531836 pid 3 27004 root"), "[A] pid 3 PID a root");
        assert_eq!(
            line("/proc/27005/cwd, PID 27004, 27200, c27005"),
            "/proc/PID b/cwd, PID a, 27200, c[b]"
        );
        assert_eq!(line("secret 9e3e7426 /tmp/attack-fqqRzt/x"), "secret [A] /tmp/attack-[A]/x");
        assert_eq!(line("31 22 0:28 / /proc rw"), "[A] [B] [a] / /proc rw");
        assert_eq!(line("127.0.0.1:42749"), "127.0.0.1:[A]");
        assert_eq!(line("at 12:30:01, Nov 25 18:57"), "at HH:MM:SS, DATE");
    }

    #[test]
    fn a_digest_is_known_by_its_first_digits() {
        let mut names = Names::default();
        let mut line = |text: &str| names.line(text, &(27000..=27100));
        let [one, other] =
            ["12ab34cd56ef", "aaaaaaaaaaaa"].map(|it| it.repeat(6)[..64].to_string());
        assert_eq!(line(&format!("sha256:{one} {other}")), "sha256:[A] [B]");
        assert_eq!(line("layer 12ab34cd56ef, not 123456123456"), "layer [A], not 123456123456");
    }

    #[test]
    fn there_are_more_names_than_letters() {
        let all = [0, 25, 26, 27, 52].map(|it| letters(it, b'A'));
        assert_eq!(all, ["A", "Z", "AA", "AB", "BA"]);
    }
}
