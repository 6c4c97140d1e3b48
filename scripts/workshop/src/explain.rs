//! `workshop explain`: builds a step and runs it under our eyes, where it can run; when a system call
//! ends it, says which of the man page's reasons holds.

use std::{ffi::OsString, io::stdout, process::Command, time::Duration};

use anyhow::{Context, Result};
use evidence::{
    explain::{Explanation, explain_within},
    paint::{self, Paint},
};

use crate::{build, checkout, image, place::Choice, steps::Step};

#[derive(clap::Args)]
#[command(after_help = "\
What follows `--` is the step's own: [FLAGS] ROOT COMMAND [ARG...]; for step 14 a command of its program.

  cargo workshop explain 4 -- -v /no/such/directory:/mnt .workshop/rootfs ls /mnt")]
pub struct Args {
    /// The step: 1 to 9 or 14, or its name
    step: Step,
    #[command(flatten)]
    choice: Choice,
    /// Flags, root directory and command
    #[arg(last = true, required = true)]
    arguments: Vec<OsString>,
}

/// The command may be a shell with somebody at it.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

pub fn explain(args: &Args) -> Result<i32> {
    if args.choice.here {
        return explain_here(args);
    }
    build::steps(&[args.step], &mut |_| {})?;
    checkout::make_rootfs()?;
    let us = checkout::this_program()?;
    let mut arguments: Vec<OsString> =
        ["explain", args.step.name(), "--here", "--"].iter().map(OsString::from).collect();
    arguments.extend(args.arguments.iter().cloned());
    // Where it runs is not tried first: that it does not run is what is to be explained.
    args.choice.place(args.step.needs_root())?.become_program(&us, &arguments)
}

/// 0 when nothing was to be explained, 1 when something was.
fn explain_here(args: &Args) -> Result<i32> {
    let mut command = Command::new(checkout::programs()?.join(args.step.name()));
    command.args(match args.step.takes_root() {
        true => args.arguments.clone(),
        false => image::with_store(&args.arguments)?,
    });
    let explanation = explain_within(&mut command, PATIENCE);
    match explanation.with_context(|| format!("cannot follow {}", args.step))? {
        Some(explanation) => {
            print!("\n{}", show(&explanation, Paint(paint::wanted(&stdout()))));
            Ok(1)
        }
        None => {
            println!("\nNo system call failed that would explain an end of this program.");
            Ok(0)
        }
    }
}

fn show(it: &Explanation, paint: Paint) -> String {
    let row = |name: &str, text: &str| format!("  {} {text}\n", paint.dim(name));
    let call = format!("{}: {}\n", paint.bold(&it.call), paint.red(&it.errno));
    call + &row("why", &it.reason) + &row("fix", &it.fix) + &row("see", &it.page)
}
