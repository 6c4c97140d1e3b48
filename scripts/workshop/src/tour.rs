//! `workshop tour`: all steps that build a wall, on this machine. For each: the question, the attack that works before
//! it, the wall that it builds, the attack that fails after it. Nothing is staged: every line is
//! what the kernel answered just now.

mod pace;
mod page;
mod stage;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{IsTerminal, stderr, stdout},
};

use anyhow::Result;
use evidence::paint::{self, Paint};

use crate::{
    advice::advised,
    attack, build, checkout,
    place::{Choice, Place},
    steps::Step,
};
use pace::Pace;
use page::Page;
pub use page::{capital, steps_text};
use stage::{Scene, Stage};

#[derive(clap::Args)]
pub struct Args {
    /// Do not wait for Enter: about two minutes
    #[arg(long)]
    fast: bool,
    /// Only these steps
    #[arg(value_name = "N")]
    steps: Vec<Step>,
    #[command(flatten)]
    choice: Choice,
}

pub fn tour(args: &Args) -> Result<i32> {
    let steps = steps(args)?;
    let page = Page::new(Paint(paint::wanted(&stdout())));
    page.opening();
    build(&steps)?;
    let plan = plan(&steps, args.choice)?;
    page.plan(&plan);
    let pace = Pace::new(args.fast);
    let mut stage = Stage::start(&plan)?;
    let mut count = Count::default();
    for step in &steps {
        if !pace.next() {
            break;
        }
        page.question(*step);
        let scene = stage.scene(*step)?;
        show(&page, &pace, *step, &scene);
        count.add(&scene);
    }
    page.closing(&steps, &count);
    Ok(i32::from(!count.as_promised(steps.len())))
}

/// The steps to show, in order, each once.
fn steps(args: &Args) -> Result<Vec<Step>> {
    let given: BTreeSet<Step> = args.steps.iter().copied().collect();
    match given.is_empty() {
        true => Ok(Step::walls().collect()),
        false => match given.last() {
            Some(last) if !last.takes_root() => Err(advised(
                format!("the tour shows walls, and {last} builds none"),
                format!("cargo workshop attack {}", last.number()),
            )),
            _ => Ok(given.into_iter().collect()),
        },
    }
}

fn show(page: &Page, pace: &Pace, step: Step, scene: &Scene) {
    page.before(step, scene);
    pace.part();
    page.wall(step, scene);
    pace.part();
    page.after(step, scene);
}

/// What came of all of it.
#[derive(Default)]
pub struct Count {
    pub steps: usize,
    pub worked: usize,
    pub stopped: usize,
    pub untried: usize,
    /// Came out otherwise than the step promises, or could not be found out.
    pub wrong: usize,
}

impl Count {
    fn add(&mut self, scene: &Scene) {
        self.steps += 1;
        for attack in &scene.attacks {
            match (attack.outcome.as_str(), attack.side.as_str()) {
                ("untried", _) => self.untried += 1,
                ("worked", "before") => self.worked += 1,
                ("stopped", "after") => self.stopped += 1,
                _ => self.wrong += 1,
            }
        }
        let stands = scene.xray.as_ref().is_some_and(|xray| scene.stands(xray));
        self.wrong += scene.failures.len() + usize::from(!stands && scene.failures.is_empty());
    }

    /// Whether every step was seen, and every attack worked before and was stopped after.
    fn as_promised(&self, steps: usize) -> bool {
        self.steps == steps && self.wrong == 0 && self.worked == self.stopped && self.worked > 0
    }
}

/// Builds everything first, with a line that moves: later nothing makes the reader wait.
fn build(steps: &[Step]) -> Result<()> {
    let moving = stderr().is_terminal();
    let mut crates = 0;
    let mut progress = |name: &str| {
        crates += 1;
        if moving {
            eprint!("\r\x1b[K  building: {crates} crates done, {name} the last");
        }
    };
    eprint!("  building: it takes a minute the first time{}", if moving { "" } else { "\n" });
    let before = steps.iter().filter_map(|step| step.before());
    let all: BTreeSet<Step> = before.chain(steps.iter().copied()).collect();
    build::steps(&Vec::from_iter(all), &mut progress)?;
    for step in steps {
        build::attack(*step, &mut progress)?;
    }
    checkout::make_rootfs()?;
    if moving {
        eprint!("\r\x1b[K");
    }
    Ok(())
}

/// Which steps run where.
pub struct Plan {
    pub places: BTreeMap<Step, Place>,
    /// Why the lab: the first reason that there was.
    pub reason: Option<String>,
}

impl Plan {
    /// Steps that follow each other in one place.
    pub fn groups(&self) -> Vec<(Place, Vec<Step>)> {
        let mut groups: Vec<(Place, Vec<Step>)> = Vec::new();
        for (step, place) in &self.places {
            match groups.last_mut() {
                Some((last, steps)) if last == place => steps.push(*step),
                _ => groups.push((*place, vec![*step])),
            }
        }
        groups
    }
}

fn plan(steps: &[Step], choice: Choice) -> Result<Plan> {
    let mut plan = Plan { places: BTreeMap::new(), reason: None };
    for step in steps {
        let (place, reason) = attack::place(*step, choice)?;
        plan.places.insert(*step, place);
        plan.reason = plan.reason.or(reason);
    }
    Ok(plan)
}
