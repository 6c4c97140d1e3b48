//! What a person sees meanwhile: a bar for each layer on a terminal, plain lines elsewhere. All of
//! it on stderr; stdout is the container's.

use std::io::IsTerminal;

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};

use crate::digest::Digest;
use crate::unpack::Notes;

pub struct Progress {
    bars: Option<MultiProgress>,
}

/// One layer.
pub struct Bar {
    bar: Option<ProgressBar>,
    name: String,
    size: u64,
}

impl Progress {
    pub fn new() -> Progress {
        Progress { bars: std::io::stderr().is_terminal().then(MultiProgress::new) }
    }

    /// One line.
    pub fn say(&self, line: &str) {
        match &self.bars {
            Some(bars) => drop(bars.println(line)),
            None => chroot::tell(line),
        }
    }

    pub fn layer(&self, digest: &Digest, size: u64) -> Bar {
        let name = digest.short().to_string();
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template(
                "{prefix} {msg:20} [{wide_bar}] {bytes:>11}/{total_bytes:11}",
            );
            let bar =
                bars.add(ProgressBar::new(size).with_prefix(name.clone()).with_message("fetching"));
            bar.set_style(
                style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "),
            );
            bar
        });
        Bar { bar, name, size }
    }

    /// What could not be made as it is in the image.
    pub fn notes(&self, notes: Notes) {
        if notes.owners > 0 {
            self.say(&format!(
                "note: root owns {} here: their owners' ids are not mapped (/etc/subuid and \
                /etc/subgid grant ids)",
                counted(notes.owners, "file")
            ));
        }
        if notes.devices > 0 {
            let devices = counted(notes.devices, "device node");
            self.say(&format!("note: left out: {devices}, for the host's root alone to make"));
        }
        if notes.xattrs > 0 {
            self.say(&format!("note: left out: {}", counted(notes.xattrs, "extended attribute")));
        }
    }
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new()
    }
}

impl Bar {
    /// So many bytes more have come.
    pub fn fetched(&self, bytes: u64) {
        self.bar.iter().for_each(|bar| bar.inc(bytes));
    }

    pub fn unpacking(&self) {
        if let Some(bar) = &self.bar {
            bar.set_message("unpacking");
            bar.set_position(0);
        }
    }

    /// So many bytes more of the packed layer were read.
    pub fn unpacked(&self, bytes: u64) {
        self.bar.iter().for_each(|bar| bar.inc(bytes));
    }

    pub fn end(&self, how: &'static str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.size);
                bar.finish_with_message(how);
            }
            None => {
                chroot::tell(&format!("layer {} {how}: {}", self.name, HumanBytes(self.size)));
            }
        }
    }
}

/// `1 layer`, `2 layers`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
