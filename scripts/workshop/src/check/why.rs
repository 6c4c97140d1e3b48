//! Why a check failed, if a system call did: the learner's program is run once more, in a plain container,
//! and followed; the reason is found by looking (evidence's `explain`). Where the checks ran, and like
//! them in a scene of its own.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use evidence::{checks::Scene, explain::explain};
use serde::{Deserialize, Serialize};

use super::{
    here::Args,
    runner::{self, Share},
};
use crate::{place::Place, steps::Step};

/// The subcommand by which we are started again.
pub const EXPLAIN: &str = "explain-here";

/// The call that failed, and what is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Why {
    /// `pivot_root(".", ".")`
    pub call: String,
    /// `EINVAL`
    pub errno: String,
    /// Which of the manual page's reasons holds here.
    pub reason: String,
    pub fix: String,
    /// `pivot_root(2)`
    pub page: String,
}

/// Finds out why the step's program fails. None if no call of it does.
pub fn why(place: Place, programs: &std::path::Path, step: Step) -> Result<Option<Why>> {
    let mut found = None;
    runner::start(place, EXPLAIN, programs, step, Share::ALL, &mut |line| {
        found = serde_json::from_str(line).context("cannot understand the explanation")?;
        Ok(())
    })?;
    Ok(found)
}

/// `workshop explain-here`: a line of JSON, `null` if there is nothing to explain.
pub fn explain_here(args: &Args) -> Result<i32> {
    let scene = Scene::set(args.programs.clone(), &args.act)?;
    let step = args.step.number() as usize;
    let mut flags = Vec::new();
    if step >= 5 {
        flags.extend(["--network", "none"].map(String::from));
    }
    let mut command = Command::new(scene.program(step));
    let Ok(arguments) = scene.arguments(step, &flags, &scene.root(), None) else {
        // The checks have said why there is no image.
        println!("null");
        return scene.remove().map(|()| 0);
    };
    command.args(arguments).args(["/bin/act", "probe"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let found = explain(&mut command)?.map(|found| Why {
        call: found.call,
        errno: found.errno,
        reason: found.reason,
        fix: found.fix,
        page: found.page,
    });
    println!("{}", serde_json::to_string(&found)?);
    scene.remove()?;
    Ok(0)
}
