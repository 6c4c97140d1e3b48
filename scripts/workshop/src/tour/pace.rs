//! How fast the tour goes: Enter for the next step, short waits with --fast, none for programs.

use std::{
    io::{IsTerminal, Write, stdin, stdout},
    thread::sleep,
    time::Duration,
};

use evidence::paint::{self, Paint};

/// Who is there to see it.
#[derive(Clone, Copy)]
enum Audience {
    /// Somebody reads along and presses Enter.
    Reader,
    /// Somebody watches.
    Watcher,
    /// A program, or a file.
    Nobody,
}

pub struct Pace(Audience);

impl Pace {
    pub fn new(fast: bool) -> Pace {
        Pace(match (stdout().is_terminal(), stdin().is_terminal()) {
            (true, true) if !fast => Audience::Reader,
            (true, _) => Audience::Watcher,
            (false, _) => Audience::Nobody,
        })
    }

    /// Waits until the next step may begin; false when the reader has had enough.
    pub fn next(&self) -> bool {
        match self.0 {
            Audience::Reader => return ask(),
            Audience::Watcher => sleep(Duration::from_secs(4)),
            Audience::Nobody => {}
        }
        true
    }

    /// Lets one part of a step sink in.
    pub fn part(&self) {
        match self.0 {
            Audience::Reader | Audience::Watcher => sleep(Duration::from_millis(1200)),
            Audience::Nobody => {}
        }
    }
}

/// Enter goes on; `q`, or the end of the input, does not. The question is wiped away again.
fn ask() -> bool {
    let paint = Paint(paint::wanted(&stdout()));
    print!("  {}", paint.dim("Enter: next   q: quit "));
    let _ = stdout().flush();
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer).unwrap_or(0);
    if paint.0 {
        print!("\x1b[1A\r\x1b[K");
    }
    read > 0 && !answer.trim().eq_ignore_ascii_case("q")
}
