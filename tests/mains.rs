//! The shape of the steps: each `main.rs` is the one before and a few lines more, so that the
//! difference between two of them is the lesson; and everything is short enough to be read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use evidence::stage::{self, Stage, Test, checkout};
use evidence::steps::{self, STEPS};

const TESTS: &[Test] = &[
    ("each main gains lines and loses none", mains_grow),
    ("mains, files and functions are short", short),
];

/// The lines of the step before that a step replaces: where one mechanism gives way to another. The
/// first line, the title, is another in each.
const REPLACED: [(&str, &[&str]); 4] = [
    ("pid", &["uts::unshare()?;"]),
    ("mount", &["chroot::enter(&cli.chroot.root)?;"]),
    (
        "overlay",
        &[
            "files.add(&cli.chroot.root, &maps)?;",
            "let root = mount::Root::bind(&cli.chroot.root)?;",
        ],
    ),
    // A container is one of its subcommands, and what it is made of is looked up first.
    (
        "image",
        &[
            "use clap::Parser;",
            "/// Run COMMAND with ROOT as its root directory",
            "chroot::main(run)",
            "fn run(cli: Cli) -> Result<u8> {",
        ],
    ),
];

const LONGEST_MAIN: usize = 75;
/// That of a step whose program has subcommands: the container's flags and the program's stand apart.
const LONGEST_WITH_COMMANDS: usize = 105;
const LONGEST_FILE: usize = 250;
const LONGEST_FUNCTION: usize = 40;
/// The `run` of a main: the whole container, top to bottom, as a table of contents.
const LONGEST_RUN: usize = 50;

fn main() -> ExitCode {
    stage::main(TESTS)
}

/// `steps/04-mount`
fn directory(step: &str) -> Result<PathBuf> {
    let number = steps::number(step).context("not a step")?;
    Ok(checkout()?.join(format!("steps/{number:02}-{step}")))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn mains_grow(_: &Stage) -> Result<()> {
    for pair in STEPS.windows(2) {
        let [(_, before), (_, after)] = [pair[0], pair[1]];
        let before = read(&directory(before)?.join("src/main.rs"))?;
        let main = read(&directory(after)?.join("src/main.rs"))?;
        let replaced = REPLACED.iter().find(|(step, _)| *step == after).map_or(&[][..], |it| it.1);
        let mut lines = main.lines().map(str::trim);
        for line in before.lines().skip(1).map(str::trim) {
            let kept = lines.clone().any(|it| it == line);
            if replaced.contains(&line) {
                ensure!(!kept, "{after} does not replace {line:?}, it is listed for nothing");
                continue;
            }
            ensure!(lines.any(|it| it == line), "{after} lost, or moved, the line {line:?}");
        }
    }
    Ok(())
}

fn short(_: &Stage) -> Result<()> {
    for (_, step) in STEPS {
        let sources = directory(step)?.join("src");
        let main = read(&sources.join("main.rs"))?;
        let code = main.lines().filter(|line| is_code(line)).count();
        let has_commands = main.contains("#[derive(Subcommand)]");
        let longest = if has_commands { LONGEST_WITH_COMMANDS } else { LONGEST_MAIN };
        ensure!(code <= longest, "main.rs of {step} has {code} lines of code");
        for entry in fs::read_dir(&sources)?.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|it| it == "rs") {
                let text = read(&path)?;
                let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
                ensure!(lines <= LONGEST_FILE, "{} has {lines} lines", path.display());
                functions(&text).with_context(|| path.display().to_string())?;
            }
        }
    }
    Ok(())
}

fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

/// A function ends with the first brace that stands as far to the left as its `fn`: rustfmt sees to it.
fn functions(text: &str) -> Result<()> {
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let words: Vec<&str> = line.split_whitespace().take_while(|it| *it != "fn").collect();
        let modifiers = ["pub", "pub(crate)", "pub(super)", "unsafe", "const", "extern", "\"C\""];
        let is_function = line.contains("fn ") && words.iter().all(|it| modifiers.contains(it));
        if !is_function || line.ends_with('}') {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let end = format!("{}}}", " ".repeat(indent));
        let length = lines[at..].iter().position(|it| *it == end).unwrap_or(0) + 1;
        let is_run = line.starts_with("fn run(");
        let longest = if is_run { LONGEST_RUN } else { LONGEST_FUNCTION };
        ensure!(length <= longest, "{length} lines: {}", line.trim());
    }
    Ok(())
}
