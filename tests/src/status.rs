//! /proc/PID/status: who a process is, what it may do, and whether its system calls are filtered.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::capability::Capabilities;

/// The lines of /proc/PID/status that a container is about; see proc_pid_status(5).
/// A line that this kernel does not have is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub name: String,
    /// One letter: R, S, D, T, Z, X; see proc_pid_stat(5).
    pub state: char,
    pub parent: i32,
    /// Real, effective, saved, file system: as the reader's user namespace counts.
    pub uids: Vec<u32>,
    pub gids: Vec<u32>,
    pub groups: Vec<u32>,
    /// The PID in each PID namespace, from the reader's to the process's own.
    pub ns_pids: Vec<i32>,
    pub capabilities: Capabilities,
    pub no_new_privs: Option<bool>,
    /// 0: none, 1: strict, 2: filter; see seccomp(2).
    pub seccomp: Option<u32>,
    pub seccomp_filters: Option<u32>,
    pub cpus_allowed: Option<String>,
    pub threads: Option<u32>,
}

impl Status {
    /// Reads the text of a status file. `None` if it is not one (a process that ends may leave half).
    pub fn parse(text: &str) -> Option<Status> {
        let lines: HashMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key, value.trim()))
            .collect();
        let number = |key| lines.get(key).and_then(|value| value.parse::<u32>().ok());
        Some(Status {
            name: lines.get("Name")?.to_string(),
            state: lines.get("State")?.chars().next()?,
            parent: lines.get("PPid")?.parse().ok()?,
            uids: numbers(lines.get("Uid")?),
            gids: numbers(lines.get("Gid")?),
            groups: numbers(lines.get("Groups").unwrap_or(&"")),
            ns_pids: numbers(lines.get("NSpid").unwrap_or(&"")),
            capabilities: Capabilities::parse(|key| lines.get(key).copied())?,
            no_new_privs: number("NoNewPrivs").map(|flag| flag != 0),
            seccomp: number("Seccomp"),
            seccomp_filters: number("Seccomp_filters"),
            cpus_allowed: lines.get("Cpus_allowed_list").map(|list| list.to_string()),
            threads: number("Threads"),
        })
    }
}

fn numbers<T: std::str::FromStr>(text: &str) -> Vec<T> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Name:\tsh\nState:\tS (sleeping)\nPPid:\t41\nUid:\t0\t1\t2\t3\n\
        Gid:\t0\t0\t0\t0\nGroups:\t4 24 \nNSpid:\t42\t1\nThreads:\t1\n\
        CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n\
        CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n\
        Seccomp:\t2\nSeccomp_filters:\t1\nCpus_allowed_list:\t0-1\n";

    #[test]
    fn every_line_is_understood() {
        let status = Status::parse(TEXT).unwrap();
        assert_eq!((status.state, status.parent), ('S', 41));
        assert_eq!(status.uids, [0, 1, 2, 3]);
        assert_eq!(status.groups, [4, 24]);
        assert_eq!(status.ns_pids, [42, 1]);
        assert_eq!(status.capabilities.bounding.len(), 14);
        assert_eq!(status.no_new_privs, Some(true));
        assert_eq!((status.seccomp, status.seccomp_filters), (Some(2), Some(1)));
    }

    #[test]
    fn an_old_kernel_says_less_and_half_a_file_says_nothing() {
        let old = TEXT.replace("Seccomp_filters:\t1\n", "");
        assert_eq!(Status::parse(&old).unwrap().seccomp_filters, None);
        assert_eq!(Status::parse(&TEXT[..40]), None);
    }
}
