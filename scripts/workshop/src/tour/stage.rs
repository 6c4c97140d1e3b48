//! Where the tour's scenes are played: one process of ours for each place, so that the lab boots once
//! and sudo asks once. They play ahead while the reader reads.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Stdio},
};

use anyhow::{Context, Result};
use evidence::{Xray, walls::Whose};

use super::Plan;
use crate::{
    checkout,
    place::Place,
    scene::{Attack, Event},
    steps::Step,
};

/// What was found out about one step.
#[derive(Default)]
pub struct Scene {
    pub attacks: Vec<Attack>,
    pub xray: Option<Xray>,
    pub failures: Vec<String>,
    step: u32,
}

impl Scene {
    /// Whether the step's own wall stands.
    pub fn stands(&self, xray: &Xray) -> bool {
        xray.of_step(self.step).is_some_and(|wall| wall.whose == Whose::Own)
    }
}

/// The places to come, each with its steps, and the process that plays.
pub struct Stage {
    waiting: VecDeque<(Place, Vec<Step>)>,
    playing: Option<(Child, BufReader<ChildStdout>)>,
}

impl Stage {
    /// Lets the first place begin.
    pub fn start(plan: &Plan) -> Result<Stage> {
        let mut stage = Stage { waiting: plan.groups().into(), playing: None };
        stage.change()?;
        Ok(stage)
    }

    /// The next step's scene: they come in the order of the plan.
    pub fn scene(&mut self, step: Step) -> Result<Scene> {
        let mut scene = Scene { step: step.number(), ..Scene::default() };
        while let Some(line) = self.line()? {
            match serde_json::from_str(&line).context("cannot understand the scene")? {
                Event::Attack(attack) => scene.attacks.push(attack),
                Event::Xray(xray) => scene.xray = Some(xray),
                Event::Failed(reason) => scene.failures.push(reason),
                Event::End(number) if number == step.number() => return Ok(scene),
                Event::End(_) => scene = Scene { step: step.number(), ..Scene::default() },
            }
        }
        scene.failures.push(format!("{step} could not be shown"));
        Ok(scene)
    }

    /// The next line of the process that plays, or of the next one.
    fn line(&mut self) -> Result<Option<String>> {
        while let Some((_, output)) = &mut self.playing {
            let mut line = String::new();
            if output.read_line(&mut line)? > 0 {
                return Ok(Some(line));
            }
            self.change()?;
        }
        Ok(None)
    }

    /// Sees one process off and brings the next one on.
    fn change(&mut self) -> Result<()> {
        if let Some((mut child, _)) = self.playing.take() {
            child.wait().context("cannot wait for the scene")?;
        }
        let Some((place, steps)) = self.waiting.pop_front() else {
            return Ok(());
        };
        let mut command = place.command(&checkout::this_program()?)?;
        command.arg("scene").args(steps.iter().map(|step| step.name()));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("the scene has no output")?;
        self.playing = Some((child, BufReader::new(output)));
        Ok(())
    }
}

impl Drop for Stage {
    /// When the reader leaves early, whoever still plays ends too: by the closed pipe, at the latest.
    fn drop(&mut self) {
        if let Some((child, output)) = self.playing.take() {
            drop(output);
            end(child);
        }
    }
}

/// SIGTERM, which lets the lab and attacks clear up; root's processes (sudo) end by themselves.
fn end(mut child: Child) {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    if kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).is_ok() {
        let _ = child.wait();
    }
}
