//! /proc/PID/mountinfo: the mounts that a process sees, and how they propagate.

use serde::{Deserialize, Serialize};

/// One line of mountinfo; proc_pid_mountinfo(5). Escaped characters are themselves again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub id: u32,
    pub parent: u32,
    /// `major:minor`
    pub device: String,
    /// Which directory of the file system is mounted.
    pub root: String,
    /// Where, as the process sees it.
    pub point: String,
    /// Of this mount: `rw`, `nosuid`, `nodev`, …
    pub options: Vec<String>,
    /// `shared:N`, `master:N`, `propagate_from:N`, `unbindable`; empty: private.
    pub propagation: Vec<String>,
    pub fstype: String,
    pub source: String,
    /// Of the file system as a whole.
    pub super_options: Vec<String>,
}

impl Mount {
    /// Reads one line; `None` if it is none.
    pub fn parse(line: &str) -> Option<Mount> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut words = mount.split(' ');
        let mut next = || words.next();
        let (id, parent) = (next()?.parse().ok()?, next()?.parse().ok()?);
        let (device, root, point) = (next()?, next()?, next()?);
        let options = next()?;
        let mut last = filesystem.splitn(3, ' ');
        Some(Mount {
            id,
            parent,
            device: device.to_string(),
            root: unescape(root),
            point: unescape(point),
            options: list(options),
            propagation: words.map(str::to_string).collect(),
            fstype: last.next()?.to_string(),
            source: unescape(last.next()?),
            super_options: list(last.next().unwrap_or("")),
        })
    }

    /// Whether this mount or its whole file system has the option.
    pub fn has(&self, option: &str) -> bool {
        let mut all = self.options.iter().chain(&self.super_options);
        all.any(|o| o == option)
    }

    /// The number of lower layers, if this is an overlay. The kernel lists them in `lowerdir=`,
    /// with colons between, or one `lowerdir+=` each.
    pub fn layers(&self) -> Option<usize> {
        if self.fstype != "overlay" {
            return None;
        }
        let of = |option: &str| match option.split_once('=') {
            Some(("lowerdir", dirs)) => colons(dirs) + 1,
            Some(("lowerdir+" | "datadir+", _)) => 1,
            _ => 0,
        };
        Some(self.super_options.iter().map(|o| of(o)).sum())
    }
}

/// Reads a mountinfo file.
pub fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(Mount::parse).collect()
}

/// The mount that `/` is: the last one there hides those below.
pub fn root(mounts: &[Mount]) -> Option<&Mount> {
    mounts.iter().rev().find(|mount| mount.point == "/")
}

/// Colons that separate: overlay writes one inside a name as `\:`, itself escaped as `\134:`.
fn colons(dirs: &str) -> usize {
    let dirs = unescape(dirs).replace("\\:", "");
    dirs.matches(':').count()
}

/// Splits at commas that separate; one inside a value is written `\,` by overlay or `\054` by show_options.
fn list(options: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for part in options.split(',') {
        match all.last_mut() {
            Some(last) if last.ends_with("\\134") || last.ends_with('\\') => {
                last.push(',');
                last.push_str(part);
            }
            _ => all.push(part.to_string()),
        }
    }
    all
}

/// Undoes the kernel's octal escapes of space, tab, newline and backslash (`\040` …).
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..3).filter(|_| *first == b'\\').and_then(octal);
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn octal(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_everything() {
        let mount = Mount::parse(
            "36 35 98:0 /mnt1 /my\\040dir\\134x rw,noatime shared:1 master:2 - ext3 /dev/a\\011b rw,errors=continue",
        )
        .unwrap();
        assert_eq!((mount.id, mount.parent), (36, 35));
        assert_eq!(mount.point, "/my dir\\x");
        assert_eq!(mount.propagation, ["shared:1", "master:2"]);
        assert_eq!(mount.source, "/dev/a\tb");
        assert!(mount.has("noatime") && mount.has("errors=continue"));
    }

    #[test]
    fn a_private_mount_with_an_empty_source() {
        let mount = Mount::parse("40 35 0:5 / /proc ro - proc  rw").unwrap();
        assert!(mount.propagation.is_empty());
        assert_eq!((mount.source.as_str(), mount.fstype.as_str()), ("", "proc"));
        assert_eq!(mount.layers(), None);
        assert_eq!(Mount::parse("half a li"), None);
    }

    #[test]
    fn layers_are_counted_whatever_their_names() {
        let layers = |options: &str| {
            let line = format!("1 0 0:9 / / rw - overlay overlay rw,{options},upperdir=/u");
            Mount::parse(&line).unwrap().layers()
        };
        assert_eq!(layers("lowerdir=/a:/b:/c"), Some(3));
        assert_eq!(layers("lowerdir+=/a,lowerdir+=/b"), Some(2));
        assert_eq!(layers(r"lowerdir=/a\134:b:/c\054d"), Some(2));
        assert_eq!(layers(r"lowerdir=/a\134,b:/c"), Some(2));
    }
}
