//! `workshop start` and `workshop jump`: write `my/` with a step's exercises blank, on top of the
//! learner's own earlier steps.

use std::io::stdout;

use anyhow::{Context, Result};
use evidence::paint::{self, Paint};

use crate::{
    aside, exercise,
    handout::{Handout, MAIN},
    manifest,
    my::{My, Where},
    place::Choice,
    settle::{self, Keep, Settled},
    shown::shown,
    state::{self, State},
    steps::Step,
};

#[derive(clap::Args)]
pub struct Args {
    /// The step: 1 to 9 or 14, or its name
    step: Step,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    choice: Choice,
}

/// Earlier steps that fail their checks are replaced whole.
pub fn start(args: &Args) -> Result<i32> {
    begin(args, Keep::Steps)
}

/// Earlier steps that fail keep each function that passes.
pub fn jump(args: &Args) -> Result<i32> {
    begin(args, Keep::Functions)
}

fn begin(args: &Args, keep: Keep) -> Result<i32> {
    let paint = Paint(paint::wanted(&stdout()));
    let my = My::at(args.place.path()?);
    ground(&my, args.step, keep, args.choice)?;
    hand_out(&my, args.step)?;
    arrive(&my, args.step)?;
    what_to_write(&my, args.step, paint)?;
    Ok(0)
}

/// The workspace, and in it all steps before `step`.
pub fn ground(my: &My, step: Step, keep: Keep, choice: Choice) -> Result<()> {
    let paint = Paint(paint::wanted(&stdout()));
    std::fs::create_dir_all(my.dir())
        .with_context(|| format!("cannot make {}", my.dir().display()))?;
    for kept in manifest::write(my.dir(), step)? {
        println!("  what was there before is in {}", shown(&kept));
    }
    println!("\n{}  {}", paint.bold(&title(step)), question(step));
    for step in Step::all().filter(|it| *it < step) {
        let settled = settle::settle(my, step, keep, choice)?;
        tell(step, &settled, paint);
    }
    Ok(())
}

/// From now on the learner is at this step.
pub fn arrive(my: &My, step: Step) -> Result<()> {
    let hints = match my.dir().join(state::FILE).exists() {
        true => my.state()?.hints,
        false => Default::default(),
    };
    State { step, hints }.save(my.dir())
}

fn title(step: Step) -> String {
    format!("Step {}, {}", step.number(), step.name())
}

/// The question that the step answers.
fn question(step: Step) -> &'static str {
    evidence::walls::question(step.number())
}

/// A line for each earlier step.
fn tell(step: Step, settled: &Settled, paint: Paint) {
    let name = format!("{} {:8}", step.number(), step.name());
    match settled {
        Settled::Theirs => println!("  {} {name}  yours: its checks pass", paint.green("✓")),
        Settled::Reference => println!("  {} {name}  as in the reference", paint.dim("·")),
        Settled::Unchecked(why) => {
            println!("  {} {name}  yours, unchecked: {why}", paint.yellow("?"));
        }
        Settled::Replaced { why, aside, functions } => {
            let with = match functions.is_empty() {
                true => String::new(),
                false => format!(", with your {}", functions.join(", ")),
            };
            println!("  {} {name}  the reference{with}: in yours {why}", paint.red("✗"));
            println!("               yours is kept in {}", shown(aside));
        }
    }
}

/// Writes the step with its exercises blank. What is there of it already is moved aside.
fn hand_out(my: &My, step: Step) -> Result<()> {
    let before = step.before().map(|before| settle::main_of(my, before)).transpose()?;
    let skeleton = Handout::skeleton(step, before.as_deref())?;
    let package = my.package(step);
    if my.has(step) && skeleton.stands_in(&package) {
        return Ok(());
    }
    if package.exists() {
        aside::make_room(my.dir(), step, &package)?;
    }
    skeleton.write(&package)
}

/// The exercises with their places, and how to go on.
pub fn what_to_write(my: &My, step: Step, paint: Paint) -> Result<()> {
    let package = my.package(step);
    println!("\nWrite:\n");
    for exercise in exercise::of_step(step)? {
        let line = match exercise.locate(&package) {
            Ok(place) => format!("{}:{}", shown(&package.join(&place.file)), place.function.line),
            Err(error) => error.to_string(),
        };
        let id = paint.green(&exercise.id.to_string());
        println!("  {id}  {:22}  {line}", exercise.function.name());
    }
    let wiring = match step.before() {
        None => "write `run`",
        Some(_) => "call them from `run`",
    };
    let id = paint.green(&format!("{}  ", step.number()));
    println!("  {id}  {wiring:22}  {}\n", shown(&package.join(MAIN)));
    println!("Open {}/ in your editor: it is a cargo workspace.", shown(my.dir()));
    println!("Next: {}\n", paint.bold(&my.command(&format!("check {}", step.number()))));
    Ok(())
}
