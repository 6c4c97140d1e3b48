//! `workshop run`: builds a step and becomes it, where it can run.

use std::ffi::OsString;

use anyhow::Result;

use crate::{build, checkout, place::Choice, steps::Step};

#[derive(clap::Args)]
#[command(after_help = "\
What follows `--` is the step's own: [FLAGS] ROOT COMMAND [ARG...]. Nothing there means an
interactive shell in the default root directory, .workshop/rootfs, which is made when missing.

  cargo workshop run 4
  cargo workshop run 7 -- --memory 64m .workshop/rootfs /bin/sh
  cargo workshop run uts --lab -- --hostname box .workshop/rootfs hostname")]
pub struct Args {
    /// The step: 1 to 9 or 14, or its name
    step: Step,
    #[command(flatten)]
    choice: Choice,
    /// Flags, root directory and command
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

pub fn run(args: &Args) -> Result<i32> {
    build::steps(&[args.step], &mut |_| {})?;
    let rootfs = checkout::make_rootfs()?;
    let arguments = match args.arguments.as_slice() {
        // A login shell reads /etc/profile, which sets the prompt.
        [] => vec![rootfs.into(), "/bin/sh".into(), "-l".into()],
        given => given.to_vec(),
    };
    let program = checkout::programs()?.join(args.step.name());
    args.choice.place_of(args.step)?.become_program(&program, &arguments)
}
