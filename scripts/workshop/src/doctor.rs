//! `workshop doctor`: tries what each step needs, here and, where that is not enough, in the lab; says
//! where each step can be done; and for what fails: why, what mends it, what undoes that. Nothing is
//! left behind: what it makes ends with the processes that try it.

mod advice;
mod fault;
mod host;
mod page;
mod plan;
mod side;
mod trial;
mod trials;

use std::{collections::BTreeMap, io::stdout, path::Path};

use anyhow::Result;
use evidence::{checks::installed, paint};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::{
    checkout, lab,
    place::{self, Place},
};
use fault::Fault;
use host::Host;
use page::Page;
use plan::{Columns, Planned, Rights};
use side::Side;
use trial::{Need, Outcome};

#[derive(clap::Args)]
#[command(after_help = "\
The exit code is 0 if all steps can be done in some way, else 1.")]
pub struct Args {
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    /// Do not boot the lab, even where it is the only way
    #[arg(long)]
    no_lab: bool,
    /// The trials of one side alone, as JSON: how we start ourselves with sudo and in the lab
    #[arg(long, hide = true)]
    side: Option<Side>,
}

/// What `--json` prints.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// Of this format.
    pub version: u32,
    /// Whether all steps can be done in some way.
    pub ok: bool,
    pub rights: Rights,
    pub host: Host,
    pub plan: Vec<Planned>,
    /// What the lab showed, or why it was not asked; nothing where it is not needed.
    pub lab: Option<String>,
    pub trials: Vec<Row>,
    pub faults: Vec<Fault>,
}

/// One trial and what came of it on each side.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    pub step: u32,
    pub name: String,
    pub what: String,
    /// Whether a step cannot do without.
    pub needed: bool,
    /// What is lost without, where that is not a step.
    pub without: Option<String>,
    pub outcomes: BTreeMap<Side, Outcome>,
}

/// The command that installs a package here.
pub fn install(what: &str) -> String {
    advice::packages::install(what, &Host::read(Path::new("/")))
}

pub fn doctor(args: &Args) -> Result<i32> {
    if let Some(side) = args.side {
        println!("{}", serde_json::to_string(&side.try_all(false))?);
        return Ok(0);
    }
    let report = examine(args.no_lab)?;
    crate::end_with_reader();
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => Page::new(paint::Paint(paint::wanted(&stdout()))).show(&report),
    }
    Ok(i32::from(!report.ok))
}

/// Tries everything, first here, then in the lab if a step has no place yet.
fn examine(no_lab: bool) -> Result<Report> {
    let rights = rights();
    let mut columns = here(rights)?;
    let lab = match plan::needs_no_lab(&columns, rights) {
        true => None,
        false => Some(ask_lab(&mut columns, no_lab)?),
    };
    let (host, plan) = (Host::read(Path::new("/")), plan::plan(&columns, rights));
    let ok = plan.iter().all(|one| one.place != "nowhere");
    // The lab is as it is: there is nothing to mend.
    let sides = columns.iter().filter(|(side, _)| **side != Side::Lab);
    let faults = sides.flat_map(|(side, outcomes)| fault::of(*side, outcomes, &host)).collect();
    Ok(Report { version: 1, ok, rights, host, plan, lab, trials: rows(&columns, rights), faults })
}

fn rights() -> Rights {
    match () {
        () if geteuid().is_root() => Rights::Root,
        () if !installed("sudo") => Rights::None,
        () if place::silent_sudo() => Rights::Sudo,
        () if place::administrator() => Rights::Password,
        () => Rights::None,
    }
}

/// The columns of this host.
fn here(rights: Rights) -> Result<Columns> {
    let mut columns = Columns::from([(Side::User, Side::User.try_all(true))]);
    match rights {
        Rights::Root => columns.insert(Side::Root, Side::Root.try_all(true)),
        Rights::Sudo => columns.insert(Side::Root, Side::Root.elsewhere(Place::Sudo)?),
        Rights::Password | Rights::None => None,
    };
    Ok(columns)
}

/// Boots the lab once and has the same tried there. What there is to say about it.
fn ask_lab(columns: &mut Columns, no_lab: bool) -> Result<String> {
    let own = columns.get(&Side::caller());
    if no_lab {
        return Ok("not booted, as --no-lab says".into());
    }
    match own.and_then(|outcomes| outcomes.get("lab-kernel")) {
        Some(Outcome::Fails { reason, .. }) => return Ok(reason.clone()),
        _ if lab::fetched(&checkout::checkout()?) => eprintln!("Booting the lab once, to prove it"),
        _ => eprintln!("Booting the lab once, to prove it; first its kernel is fetched (41 MB)"),
    }
    Ok(match Side::Lab.elsewhere(Place::Lab) {
        Ok(outcomes) => {
            columns.insert(Side::Lab, outcomes);
            "booted, and tried there".into()
        }
        Err(error) => format!("it does not boot: {}", crate::describe(&error)),
    })
}

/// The table. Root's column is there also where there is no root, to be seen empty.
fn rows(columns: &Columns, rights: Rights) -> Vec<Row> {
    let rows = trials::all().map(|trial| {
        let found =
            |(side, all): (&Side, &side::Outcomes)| Some((*side, all.get(trial.name)?.clone()));
        let mut outcomes: BTreeMap<Side, Outcome> = columns.iter().filter_map(found).collect();
        if !columns.contains_key(&Side::Root) && Side::Root.tries(trial) {
            outcomes.insert(Side::Root, Outcome::untried(no_root(rights)));
        }
        let without = match trial.need {
            Need::Part(text) => Some(text.to_string()),
            Need::Step | Need::StepAlone => None,
        };
        let (name, what) = (trial.name.into(), trial.what.into());
        Row { step: trial.step, name, what, needed: without.is_none(), without, outcomes }
    });
    rows.collect()
}

fn no_root(rights: Rights) -> &'static str {
    match rights {
        Rights::Password => "sudo wants a password",
        _ => "",
    }
}
