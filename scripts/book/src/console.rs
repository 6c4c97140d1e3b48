//! Transcripts: ```` ```console ```` blocks, as commands with the output that follows them, and as HTML
//! from which a command can be copied without its prompt.

use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};

use crate::{
    fence::{Kind, Line},
    source_pages::escape,
};

/// Where a block is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Runs {
    #[default]
    Here,
    /// In the lab: root, cgroup v2.
    Lab,
    /// Nowhere, for this reason.
    Not(String),
}

/// Whose prompt a command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Root,
    User,
}

/// One command of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The chapter's line of its prompt.
    pub line: usize,
    pub who: Who,
    /// Its lines as they are written, without prompts.
    pub text: Vec<String>,
    /// The lines that follow.
    pub output: Vec<String>,
}

/// One fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub runs: Runs,
    /// What every line of it is indented by, as in a list.
    pub indent: String,
    pub commands: Vec<Command>,
}

pub fn is_console(info: &str) -> bool {
    info.split(',').next().is_some_and(|it| it.trim() == "console")
}

/// All transcripts of a chapter.
pub fn blocks(lines: &[Line]) -> Result<Vec<(usize, Block)>> {
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Kind::Open(info) = line.kind
            && is_console(info)
        {
            let rest = &lines[at..];
            let end = rest.iter().position(|it| it.kind == Kind::Close).unwrap_or(rest.len() - 1);
            found.push((line.number, block(&rest[..=end])?));
        }
    }
    Ok(found)
}

/// A block, from its first fence to its last.
pub fn block(lines: &[Line]) -> Result<Block> {
    let (first, last) = (&lines[0], &lines[lines.len() - 1]);
    ensure!(last.kind == Kind::Close, "this block is not closed");
    let Kind::Open(info) = first.kind else { bail!("this is no block") };
    let indent = first.text[..first.text.len() - first.text.trim_start().len()].to_string();
    let mut commands: Vec<Command> = Vec::new();
    for line in &lines[1..lines.len() - 1] {
        let text = line.text.strip_prefix(indent.as_str()).unwrap_or(line.text.trim_start());
        let goes_on = commands.last().is_some_and(Command::goes_on);
        let more = text.strip_prefix("> ");
        match (prompt(text), commands.last_mut()) {
            (_, Some(command)) if command.output.is_empty() && more.is_some() => {
                command.text.extend(more.map(String::from));
            }
            _ if goes_on => bail!("a line that ends with \\ goes on with `> `"),
            (Some((who, text)), _) => {
                let (text, output) = (vec![text.to_string()], Vec::new());
                commands.push(Command { line: line.number, who, text, output });
            }
            (None, Some(command)) => command.output.push(text.to_string()),
            (None, None) => bail!("a transcript begins with a prompt, `# ` or `$ `"),
        }
    }
    ensure!(!commands.is_empty(), "this transcript is empty");
    Ok(Block { runs: runs(info)?, indent, commands })
}

impl Command {
    /// The last line ends with a backslash, and nothing is printed yet.
    fn goes_on(&self) -> bool {
        self.output.is_empty() && self.text.last().is_some_and(|it| it.ends_with('\\'))
    }

    pub fn prompt(&self) -> &'static str {
        if self.who == Who::Root { "# " } else { "$ " }
    }
}

fn prompt(line: &str) -> Option<(Who, &str)> {
    let root = line.strip_prefix("# ").map(|text| (Who::Root, text));
    root.or_else(|| line.strip_prefix("$ ").map(|text| (Who::User, text)))
}

/// What stands behind the word `console`.
fn runs(info: &str) -> Result<Runs> {
    let (_, options) = info.split_once(',').unwrap_or((info, ""));
    match options.trim() {
        "" => Ok(Runs::Here),
        "lab" | "v2" => Ok(Runs::Lab),
        option => {
            let why = option.strip_prefix("not-run=\"").and_then(|it| it.strip_suffix('"'));
            let why = why.filter(|it| !it.is_empty());
            let why = why.with_context(|| format!("no option of a transcript is {option}"))?;
            Ok(Runs::Not(why.to_string()))
        }
    }
}

/// A block as HTML.
pub fn html(lines: &[Line]) -> Result<String> {
    let block = block(lines)?;
    let mut html = String::new();
    let (class, note) = match &block.runs {
        Runs::Here => ("console", String::new()),
        Runs::Lab => ("console lab", "In the lab:".to_string()),
        Runs::Not(why) => ("console not-run", format!("Not run by the tests: {why}.")),
    };
    if !note.is_empty() {
        let _ = writeln!(html, "<p class=\"console-note\">{}</p>\n", escape(&note));
    }
    let _ = write!(html, "<pre class=\"{class}\"><code class=\"nohighlight\">");
    for command in &block.commands {
        html += &command.html();
    }
    let text = html.trim_end_matches('\n').to_string() + "</code></pre>\n";
    Ok(text.lines().map(|line| format!("{}{line}\n", block.indent)).collect())
}

impl Command {
    fn html(&self) -> String {
        let mut html = String::new();
        for (at, line) in self.text.iter().enumerate() {
            let prompt = if at == 0 { self.prompt() } else { "> " };
            let (prompt, line) = (escape(prompt), escape(line));
            let _ =
                writeln!(html, "<b class=\"prompt\">{prompt}</b><b class=\"command\">{line}</b>");
        }
        self.output.iter().for_each(|line| html += &format!("{}\n", escape(line)));
        html
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence;

    #[test]
    fn a_block_is_commands_with_their_output() {
        let text = "  ```console,lab\n  # a \\\n  > b\n  one\n\n  $ c\n  ```\n";
        let blocks = blocks(&fence::lines(text)).unwrap();
        let [(1, block)] = blocks.as_slice() else { panic!("{blocks:?}") };
        assert_eq!((&block.runs, &*block.indent), (&Runs::Lab, "  "));
        assert_eq!(block.commands[0].text, ["a \\", "b"]);
        assert_eq!(block.commands[0].output, ["one", ""]);
        assert_eq!((block.commands[1].who, block.commands[1].line), (Who::User, 6));
    }

    #[test]
    fn markup_in_output_stays_text() {
        let html = html(&fence::lines("```console\n$ a<b\n<c>\n```\n")).unwrap();
        let expected = "<pre class=\"console\"><code class=\"nohighlight\"><b class=\"prompt\">$ </b>\
                        <b class=\"command\">a&lt;b</b>\n&lt;c&gt;</code></pre>\n";
        assert_eq!(html, expected);
    }

    #[test]
    fn a_block_that_is_not_run_says_why() {
        assert_eq!(runs("console,not-run=\"a, b\"").unwrap(), Runs::Not("a, b".into()));
        assert!(runs("console,not-run=\"\"").is_err() && runs("console,other").is_err());
    }
}
