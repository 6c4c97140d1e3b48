//! `{{#flags 7}}`: the flags that a step adds, as clap knows them.

use std::fmt::Write;

use anyhow::{Result, ensure};
use clap::{Arg, Args, Command};
use workshop::steps::Step;

/// What a step itself adds, by clap.
pub fn of_step(step: Step) -> Vec<Arg> {
    let command = Command::new(step.name());
    let command = match step.name() {
        "chroot" => chroot::Args::augment_args(command),
        "uts" => uts::Args::augment_args(command),
        "pid" => pid::Args::augment_args(command),
        "mount" => mount::Args::augment_args(command),
        "net" => net::Args::augment_args(command),
        "user" => user::Args::augment_args(command),
        "cgroups" => cgroups::Args::augment_args(command),
        "overlay" => overlay::Args::augment_args(command),
        "seccomp" => seccomp::Args::augment_args(command),
        "image" => image::container::Args::augment_args(command),
        _ => command,
    };
    command.get_arguments().filter(|arg| !arg.is_positional()).cloned().collect()
}

/// A row a flag.
pub fn table(step: Step) -> Result<String> {
    let flags = of_step(step);
    ensure!(!flags.is_empty(), "{step} adds no flags");
    let mut table = String::from("| flag | what it does |\n|---|---|\n");
    for flag in flags {
        let _ = writeln!(table, "| {} | {} |", cell(&name(&flag)), cell(&help(&flag)));
    }
    Ok(table)
}

/// `-v`, `--volume SRC:DST[:ro]`
fn name(flag: &Arg) -> String {
    let values = flag.get_value_names().unwrap_or_default().iter().map(|it| it.to_string());
    let takes_value = flag.get_action().takes_values();
    let value: String = values.filter(|_| takes_value).map(|it| format!(" {it}")).collect();
    let short = flag.get_short().map(|it| format!("`-{it}`"));
    let long = flag.get_long().map(|it| format!("`--{it}{value}`"));
    short.into_iter().chain(long).collect::<Vec<_>>().join(", ")
}

/// What `--help` says of it, with its default and what it may be.
fn help(flag: &Arg) -> String {
    let mut help = flag.get_help().map(|it| it.to_string()).unwrap_or_default();
    let defaults: Vec<_> =
        flag.get_default_values().iter().map(|it| it.to_string_lossy()).collect();
    let possible = flag.get_possible_values();
    if flag.get_action().takes_values() && !possible.is_empty() {
        let names: Vec<String> = possible.iter().map(|it| format!("`{}`", it.get_name())).collect();
        let _ = write!(help, ": {}", names.join(", "));
    }
    if !defaults.is_empty() && !flag.is_hide_default_value_set() {
        let _ = write!(help, " [default: {}]", defaults.join(" "));
    }
    help
}

/// What a cell of a table may hold.
pub fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").replace('<', "&lt;")
}

/// The flags that a step's program takes: its own and those of the steps before.
pub fn names(step: Step) -> Vec<String> {
    let steps = Step::all().take_while(|it| it.number() <= step.number());
    let flags = steps.flat_map(of_step).flat_map(|flag| {
        let short = flag.get_short().map(|it| format!("-{it}"));
        let long = flag.get_long().map(|it| format!("--{it}"));
        short.into_iter().chain(long).collect::<Vec<_>>()
    });
    flags.chain(["--help", "-h"].map(String::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_flags_from_clap() {
        for step in Step::all() {
            assert!(!of_step(step).is_empty(), "{step}");
        }
        let table = table("4".parse().unwrap()).unwrap();
        assert!(table.contains("| `-v`, `--volume SRC:DST[:ro]` | Show a file"), "{table}");
        assert!(names("9".parse().unwrap()).contains(&"--volume".to_string()));
    }
}
