//! The transcripts of a chapter, run: in a stand-in for the host with a directory, processes, a host name
//! and a network of its own, and those of the lab there. What was seen is compared with what is written.

pub mod compare;
mod kit;
pub mod lab;
mod shell;
pub mod stand_in;

use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::{
    chapter::Chapter,
    console::{self, Block, Command, Runs, Who},
    fence,
    place::{self, Place},
    rename::Names,
};
pub use kit::Kit;

/// What a stand-in is told to run.
#[derive(Serialize, Deserialize)]
pub struct Job {
    /// The kit's directory.
    pub kit: PathBuf,
    pub commands: Vec<Order>,
}

#[derive(Serialize, Deserialize)]
pub struct Order {
    pub root: bool,
    pub text: String,
}

/// What came of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Which numbers processes were given.
    pub pids: (u32, u32),
    /// Of each command the lines of its output.
    pub outputs: Vec<Vec<String>>,
}

/// A command, what is written of it and what was seen.
pub struct Outcome {
    pub command: Command,
    pub seen: Vec<String>,
}

impl Outcome {
    pub fn holds(&self) -> bool {
        compare::holds(&self.command.output, &self.seen)
    }

    /// What is written and what was seen, under the place.
    pub fn complaint(&self, chapter: &Chapter) -> String {
        let (command, lines) = (&self.command, |lines: &[String], sign| {
            lines.iter().map(|line| format!("\n  {sign} {line}")).collect::<String>()
        });
        let first = format!("`{}{}`", command.prompt(), command.text.join("\n"));
        let error = place::at(&chapter.path, command.line, first);
        format!("{error}{}{}", lines(&command.output, '-'), lines(&self.seen, '+'))
    }
}

/// Runs all transcripts of a chapter.
pub fn run(place: &Place, kit: &Kit, chapter: &Chapter) -> Result<Vec<Outcome>> {
    let text = chapter.text(place)?;
    let blocks = console::blocks(&fence::lines(&text));
    let blocks: Vec<Block> = match blocks {
        Ok(blocks) => blocks.into_iter().map(|(_, block)| block).collect(),
        Err(error) => return Err(place::at(&chapter.path, 1, error)),
    };
    let here = commands(&blocks, &Runs::Here);
    let lab = commands(&blocks, &Runs::Lab);
    let mut here = paired(&here, stand_in::start(&job(kit, &here))?);
    let mut lab = paired(&lab, lab::run(&job(kit, &lab))?);
    let mut names = Names::default();
    let mut outcomes = Vec::new();
    for block in &blocks {
        let from = match block.runs {
            Runs::Here => &mut here,
            Runs::Lab => &mut lab,
            Runs::Not(_) => continue,
        };
        for command in &block.commands {
            let (output, pids) = from.next().unwrap_or_default();
            let seen = output.iter().map(|line| names.line(line, &(pids.0..=pids.1))).collect();
            outcomes.push(Outcome { command: command.clone(), seen });
        }
    }
    Ok(outcomes)
}

fn commands<'a>(blocks: &'a [Block], runs: &Runs) -> Vec<&'a Command> {
    blocks.iter().filter(|block| block.runs == *runs).flat_map(|block| &block.commands).collect()
}

fn job(kit: &Kit, commands: &[&Command]) -> Job {
    let order = |it: &&Command| Order { root: it.who == Who::Root, text: it.text.join("\n") };
    Job { kit: kit.path().to_owned(), commands: commands.iter().map(order).collect() }
}

type Output = (Vec<String>, (u32, u32));

/// Output after output, with the numbers of the machine's processes.
fn paired(_: &[&Command], seen: Seen) -> std::vec::IntoIter<Output> {
    let outputs = seen.outputs.into_iter().map(|output| (output, seen.pids));
    outputs.collect::<Vec<_>>().into_iter()
}
