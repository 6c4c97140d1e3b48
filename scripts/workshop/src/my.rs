//! `my/`: the learner's own workspace, with a package for each step that was started. It is built
//! by cargo like any other, so that editors understand it; this is how we look at it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    advice::advised,
    aside, build, checkout,
    state::{self, State},
    steps::Step,
};

/// The option that every command on `my/` has.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Where {
    /// Your workspace, if it is not my/ in the checkout
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

impl Where {
    /// Where it is or will be, as an absolute path.
    pub fn path(&self) -> Result<PathBuf> {
        let path = match &self.dir {
            Some(dir) => dir.clone(),
            None => checkout::checkout()?.join("my"),
        };
        std::path::absolute(&path).with_context(|| format!("cannot find {}", path.display()))
    }
}

/// The learner's workspace.
#[derive(Clone, Debug)]
pub struct My {
    dir: PathBuf,
}

impl My {
    /// The one in `dir`, or in the checkout's `my/`. An error if none was started there.
    pub fn open(dir: Option<&Path>) -> Result<My> {
        let dir = Where { dir: dir.map(Path::to_owned) }.path()?;
        let my = My { dir };
        if !Step::all().any(|step| my.has(step)) {
            let failure = format!("there is no work of yours in {}", my.dir.display());
            let start = my.command("start 1");
            return Err(advised(failure, format!("{start}, or the step to begin with")));
        }
        Ok(my)
    }

    /// The one in `dir`, if something was started there or not.
    pub fn at(dir: PathBuf) -> My {
        My { dir }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `my/steps/05-net`
    pub fn package(&self, step: Step) -> PathBuf {
        self.dir.join("steps").join(step.directory())
    }

    /// The same, or an error if the step was not started here.
    pub fn package_of(&self, step: Step) -> Result<PathBuf> {
        if !self.has(step) {
            let failure = format!("{step} is not in {}", self.dir.display());
            return Err(advised(failure, self.command(&format!("start {}", step.number()))));
        }
        Ok(self.package(step))
    }

    /// Whether the step was started here.
    pub fn has(&self, step: Step) -> bool {
        self.package(step).join("Cargo.toml").is_file()
    }

    /// The last step that is here.
    pub fn last(&self) -> Option<Step> {
        Step::all().filter(|step| self.has(*step)).last()
    }

    /// Builds the programs of steps, and returns the directory that they are in.
    pub fn build(&self, steps: &[Step], progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
        for step in steps {
            self.package_of(*step)?;
        }
        build::workspace(&self.dir, steps, progress)
    }

    /// Where the learner is. A state that cannot be understood is moved aside and mended, which is
    /// said on stderr.
    pub fn state(&self) -> Result<State> {
        let file = self.dir.join(state::FILE);
        let text = match fs::read(&file) {
            Ok(bytes) => String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return self.mend(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", file.display()));
            }
        };
        match text.and_then(|text| State::parse(&text)) {
            Ok(state) => Ok(state),
            Err(reason) => {
                eprintln!("note: {} is of no use: {reason}", file.display());
                eprintln!("note: it is kept as {}", aside::move_there(&self.dir, &file)?.display());
                self.mend()
            }
        }
    }

    /// A state file from what is here: the last step that was started.
    fn mend(&self) -> Result<State> {
        let step = self.last().context("no step was started here")?;
        let state = State::new(step);
        state.save(&self.dir)?;
        eprintln!("note: {} was written anew: you are at {step}", state::FILE);
        Ok(state)
    }

    /// A command of the workshop as the learner must type it for this workspace.
    pub fn command(&self, words: &str) -> String {
        let usual = Where::default().path().is_ok_and(|usual| usual == self.dir);
        match usual {
            true => format!("cargo workshop {words}"),
            false => format!("cargo workshop {words} --dir {}", self.dir.display()),
        }
    }
}
