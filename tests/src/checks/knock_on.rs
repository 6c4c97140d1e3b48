//! What else turns red. An exercise that is blank fails its own checks, and those of other exercises
//! of its step that cannot be looked at without it. Each of these is named here, and why.
//!
//! It is what root sees where all that a step needs is there. An ordinary user for whom
//! /etc/subuid grants no ids never comes to exercise 6.3.

use super::Check;

/// Checks of other exercises that fail as well.
pub struct KnockOn {
    /// The full name of one, `05-net/ip-flag`, or all of a step, `07-cgroups/*`.
    pub checks: &'static str,
    pub why: &'static str,
}

impl KnockOn {
    /// Whether it speaks of this check.
    pub fn is_of(&self, check: &Check) -> bool {
        let name = check.full_name();
        match self.checks.strip_suffix('*') {
            Some(step) => name.starts_with(step),
            None => name == self.checks,
        }
    }
}

/// What fails when `exercise` alone is blank, besides its own checks.
pub fn knock_ons(exercise: &str) -> &'static [KnockOn] {
    let entry = TABLE.iter().find(|(exercises, _)| exercises.contains(&exercise));
    entry.map_or(&[], |(_, all)| all)
}

const fn also(checks: &'static str, why: &'static str) -> KnockOn {
    KnockOn { checks, why }
}

const NOTHING_RUNS: &str = "every container passes through it: without it nothing runs";
const WITH_INIT: &str = "it tries the command with --init too";
const EVERY_INTERFACE: &str = "every container with a network of its own sets an interface up";
const NO_CABLE: &str = "without it there is no container on a veth pair";
const MANY_IDS: &str = "every container with more ids than one takes root's";
const LIMITED: &str = "its container has a limit, which is written to a file";
const NO_DIFF: &str = "it reads what --diff says too";
const NO_IMAGE: &str = "no image comes into the store without it";
const NOT_STACKED: &str = "it looks into a container of an image";
const NO_FILTER: &str = "every container but an unconfined one has a filter compiled";

/// Exercises that fail the same, and what.
const TABLE: &[(&[&str], &[KnockOn])] = &[
    (&["1.1", "1.2", "1.3", "1.4", "1.5"], &[also("01-chroot/*", NOTHING_RUNS)]),
    (&["2.1", "2.2", "2.3"], &[also("02-uts/*", NOTHING_RUNS)]),
    (&["3.1", "3.2", "3.3"], &[also("03-pid/*", NOTHING_RUNS)]),
    (
        &["3.4"],
        &[
            also("03-pid/dies-with-its-parent", WITH_INIT),
            also("03-pid/init-forwards-signals", WITH_INIT),
        ],
    ),
    (&["4.1", "4.2", "4.3", "4.4", "4.5"], &[also("04-mount/*", NOTHING_RUNS)]),
    (&["5.1"], &[also("05-net/*", NOTHING_RUNS)]),
    (
        &["5.2"],
        &[
            also("05-net/own-network-namespace", EVERY_INTERFACE),
            also("05-net/none-is-a-loopback-alone", EVERY_INTERFACE),
            also("05-net/veth-pair", EVERY_INTERFACE),
            also("05-net/gateway-answers", EVERY_INTERFACE),
            also("05-net/ip-flag", EVERY_INTERFACE),
            also("05-net/two-at-once-differ", EVERY_INTERFACE),
            also("05-net/pair-goes-with-the-container", EVERY_INTERFACE),
            also("05-net/default-route", EVERY_INTERFACE),
            also("05-net/files-in-etc", EVERY_INTERFACE),
        ],
    ),
    (
        &["5.3"],
        &[
            also("05-net/ip-flag", NO_CABLE),
            also("05-net/two-at-once-differ", NO_CABLE),
            also("05-net/default-route", NO_CABLE),
        ],
    ),
    (
        &["5.4"],
        &[
            also("05-net/veth-pair", NO_CABLE),
            also("05-net/gateway-answers", NO_CABLE),
            also("05-net/pair-goes-with-the-container", NO_CABLE),
            also("05-net/default-route", NO_CABLE),
        ],
    ),
    (
        &["5.5"],
        &[
            also("05-net/veth-pair", NO_CABLE),
            also("05-net/gateway-answers", NO_CABLE),
            also("05-net/ip-flag", NO_CABLE),
            also("05-net/two-at-once-differ", NO_CABLE),
            also("05-net/pair-goes-with-the-container", NO_CABLE),
        ],
    ),
    (&["6.1", "6.2"], &[also("06-user/*", NOTHING_RUNS)]),
    (
        &["6.3"],
        &[
            also("06-user/own-user-namespace", MANY_IDS),
            also("06-user/namespaces-belong-to-it", MANY_IDS),
            also("06-user/maps-are-exact", MANY_IDS),
            also("06-user/root-inside", MANY_IDS),
            also("06-user/user-still-dies-with-parent", MANY_IDS),
            also("06-user/files-follow-their-owners", MANY_IDS),
            also("06-user/hosts-root-owns-nothing-inside", MANY_IDS),
            also("06-user/no-device-nodes", MANY_IDS),
            also("06-user/init-is-out-of-reach", MANY_IDS),
        ],
    ),
    (
        &["7.2"],
        &[
            also("07-cgroups/memory-bites", LIMITED),
            also("07-cgroups/cpus", LIMITED),
            also("07-cgroups/cpus-bite", LIMITED),
            also("07-cgroups/joined-before-the-command", LIMITED),
            also("07-cgroups/its-cgroup-is-the-root", LIMITED),
            also("07-cgroups/removed-afterwards", LIMITED),
        ],
    ),
    (&["7.3"], &[also("07-cgroups/*", NOTHING_RUNS)]),
    (&["8.1", "8.2"], &[also("08-overlay/*", NOTHING_RUNS)]),
    (&["8.3"], &[also("08-overlay/directory-made-anew", NO_DIFF)]),
    (&["9.1"], &[also("09-seccomp/*", NOTHING_RUNS)]),
    (
        &["9.2"],
        &[
            also("09-seccomp/a-filter-is-installed", NO_FILTER),
            also("09-seccomp/no-new-privileges", NO_FILTER),
            also("09-seccomp/calls-that-are-refused", NO_FILTER),
            also("09-seccomp/calls-that-are-allowed", NO_FILTER),
            also("09-seccomp/clone3-is-not-there", NO_FILTER),
            also("09-seccomp/x32-is-not-there", NO_FILTER),
            also("09-seccomp/newer-calls-are-not-there", NO_FILTER),
            also("09-seccomp/comparisons-of-64-bits", NO_FILTER),
            also("09-seccomp/terminal-commands", NO_FILTER),
            also("09-seccomp/own-profile", NO_FILTER),
            also("09-seccomp/broken-profile-is-an-error", NO_FILTER),
        ],
    ),
    (
        &["9.3"],
        &[
            also("09-seccomp/a-filter-is-installed", NO_FILTER),
            also("09-seccomp/no-new-privileges", NO_FILTER),
            also("09-seccomp/foreign-architecture-kills", NO_FILTER),
            also("09-seccomp/programs-compile", NO_FILTER),
            also("09-seccomp/comparisons-of-64-bits", NO_FILTER),
            also("09-seccomp/terminal-commands", NO_FILTER),
            also("09-seccomp/own-profile", NO_FILTER),
            also("09-seccomp/broken-profile-is-an-error", NO_FILTER),
        ],
    ),
    (&["14.2", "14.3"], &[also("14-image/*", NO_IMAGE)]),
    (
        &["14.5"],
        &[
            also("14-image/deleted-files-are-hidden", NOT_STACKED),
            also("14-image/opaque-directories", NOT_STACKED),
            also("14-image/pulled-when-missing", NOT_STACKED),
            also("14-image/command-of-the-image", NOT_STACKED),
            also("14-image/working-directory-is-made", NOT_STACKED),
            also("14-image/user-of-the-image", NOT_STACKED),
            also("14-image/signal-of-the-image", NOT_STACKED),
        ],
    ),
];
