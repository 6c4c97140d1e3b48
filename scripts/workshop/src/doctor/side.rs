//! Who tries, one column of the table each: root of this host, an ordinary user of it, root of the
//! lab. The same program does it: here, started again by sudo, or started again in the lab.

use std::{
    collections::BTreeMap,
    env, fs, io,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use evidence::checks::ORDINARY;
use nix::{
    sched::{CloneFlags, unshare},
    unistd::{Gid, Uid, getegid, geteuid, setgroups, setresgid, setresuid},
};
use serde::{Deserialize, Serialize};

use super::{
    trial::{Outcome, Trial, Who, throw_away, untried},
    trials,
};
use crate::{checkout, place::Place};

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Root,
    User,
    Lab,
}

/// What came of each trial, by its name.
pub type Outcomes = BTreeMap<String, Outcome>;

impl Side {
    /// What heads the column.
    pub fn name(self) -> &'static str {
        match self {
            Side::Root => "root",
            Side::User => "user",
            Side::Lab => "lab",
        }
    }

    /// Whether this trial is this side's to make.
    pub fn tries(self, trial: &Trial) -> bool {
        match trial.who {
            Who::Root => self != Side::User,
            Who::User => self == Side::User,
            Who::Caller => false,
            Who::Inside | Who::Owner | Who::Everyone => true,
        }
    }

    /// The side of whoever has called us.
    pub fn caller() -> Side {
        if geteuid().is_root() { Side::Root } else { Side::User }
    }

    /// Makes all trials of this side, in this process's place. Root can do the ordinary user's.
    /// What is the caller's to try is so in the caller's column, if it is `called` by one.
    pub fn try_all(self, called: bool) -> Outcomes {
        let own = |trial: &Trial| called && trial.who == Who::Caller && self == Side::caller();
        let trials = trials::all().filter(|trial| self.tries(trial) || own(trial));
        trials.map(|trial| (trial.name.to_string(), self.try_one(trial))).collect()
    }

    fn try_one(self, trial: &Trial) -> Outcome {
        throw_away(|| {
            if self == Side::User && geteuid().is_root() {
                let played = become_ordinary();
                played.or_else(|error| untried(&format!("no ordinary user here: {error}")))?;
            }
            if trial.who == Who::Owner || trial.who == Who::Inside && self == Side::User {
                enter_user_namespace()?;
            }
            (trial.run)()
        })
    }

    /// The outcomes of this side, from ourselves started again where it is.
    pub fn elsewhere(self, place: Place) -> Result<Outcomes> {
        let mut command = place.command(&checkout::this_program()?)?;
        if place == Place::Sudo {
            // The option goes before the `--` that ends sudo's own.
            command = Command::new("sudo");
            command.args(["-n", "--"]).arg(checkout::this_program()?);
        }
        let output = command.args(["doctor", "--side", self.name()]).stdin(Stdio::null()).output();
        let output = output.context("cannot start ourselves again")?;
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout)
            .with_context(|| said.trim().trim_start_matches("error: ").replace('\n', " "))
    }
}

/// Becomes an ordinary user for good: the one who called sudo, or one whom nobody else is.
fn become_ordinary() -> Result<()> {
    let id = |name| env::var(name).ok().and_then(|id| id.parse().ok()).filter(|id| *id != 0);
    let uid = Uid::from_raw(id("SUDO_UID").unwrap_or(ORDINARY));
    let gid = Gid::from_raw(id("SUDO_GID").unwrap_or(ORDINARY));
    setgroups(&[]).context("cannot drop the supplementary groups")?;
    setresgid(gid, gid, gid).context("cannot become an ordinary group")?;
    setresuid(uid, uid, uid).context("cannot become an ordinary user")?;
    // After a change of ids /proc/self belongs to root, PR_SET_DUMPABLE(2const).
    nix::sys::prctl::set_dumpable(true).context("cannot have /proc/self back")
}

/// Makes a user namespace and becomes its root, who is us outside; user_namespaces(7).
pub fn enter_user_namespace() -> Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).context("cannot make a user namespace")?;
    let write = |file: &str, text: String| {
        let path = format!("/proc/self/{file}");
        match fs::write(&path, text) {
            // Linux before 3.19 has no such file, and no such rule.
            Err(error) if file == "setgroups" && error.kind() == io::ErrorKind::NotFound => Ok(()),
            written => written.with_context(|| format!("cannot write {path}")),
        }
    };
    write("setgroups", "deny".into())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))
}
