//! `workshop run`: builds a step and becomes it, where it can run.

use std::ffi::OsString;

use anyhow::Result;

use crate::{
    build, checkout, image,
    place::{Choice, Place},
    steps::Step,
};

#[derive(clap::Args)]
#[command(after_help = "\
What follows `--` is the step's own: [FLAGS] ROOT COMMAND [ARG...]; for step 14 it is a command of its
program, as in `run [FLAGS] IMAGE [COMMAND...]`. Nothing there means an interactive shell in the default
root directory, .workshop/rootfs, which is made when missing.

  cargo workshop run 4
  cargo workshop run 7 -- --memory 64m .workshop/rootfs /bin/sh
  cargo workshop run 14 -- run alpine cat /etc/os-release
  cargo workshop run uts --lab -- --hostname box .workshop/rootfs hostname")]
pub struct Args {
    /// The step: 1 to 9 or 14, or its name
    step: Step,
    #[command(flatten)]
    choice: Choice,
    /// Flags, root directory and command; what is for the program
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

pub fn run(args: &Args) -> Result<i32> {
    if !args.choice.here {
        build::steps(&[args.step], &mut |_| {})?;
        checkout::make_rootfs()?;
    }
    let place = args.choice.place_of(args.step)?;
    if place == Place::Lab && !args.step.takes_root() {
        // The store is to be the lab's own.
        return become_us(place, args);
    }
    let shell = ["/bin/sh", "-l"].map(OsString::from);
    let arguments = match args.arguments.as_slice() {
        // A login shell reads /etc/profile, which sets the prompt.
        [] => [image::arguments(args.step, &[])?, shell.to_vec()].concat(),
        given if args.step.takes_root() => given.to_vec(),
        given => image::with_store(given)?,
    };
    let program = checkout::programs()?.join(args.step.name());
    place.become_program(&program, &arguments)
}

/// The same once more, there.
fn become_us(place: Place, args: &Args) -> Result<i32> {
    let mut words: Vec<OsString> = ["run", args.step.name(), "--here"].map(Into::into).into();
    if !args.arguments.is_empty() {
        words.push("--".into());
        words.extend(args.arguments.iter().cloned());
    }
    place.become_program(&checkout::this_program()?, &words)
}
