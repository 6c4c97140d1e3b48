//! What each step needs, as a table: the mechanisms themselves are tried, by the steps' own functions
//! where there is one. No version is asked for where a call can be made.

mod build;
mod cgroups;
mod mounts;
mod namespaces;
mod network;
mod overlay;
mod program;
mod registry;
mod security;
mod users;

use super::trial::{Need, Trial, Who};
use Need::{Part, Step, StepAlone};
use Who::{Caller, Everyone, Inside, Owner, Root, User};

/// The group of trials before step 1.
pub const BUILD: u32 = 0;
/// The group of trials for steps to come.
pub const BEYOND: u32 = 99;

type Run = fn() -> anyhow::Result<String>;

const fn row(
    step: u32,
    name: &'static str,
    what: &'static str,
    who: Who,
    need: Need,
    run: Run,
) -> Trial {
    Trial { step, name, what, who, need, run }
}

/// All of them, in the order of the steps.
pub fn all() -> impl Iterator<Item = &'static Trial> {
    TRIALS.iter()
}

const ROOT_ONLY: Need = Part("nothing: no step mounts an overlay outside of a user namespace");
const COLLECT: Need = Part("freeze and kill for a whole container at once");

#[rustfmt::skip]
static TRIALS: &[Trial] = &[
    row(BUILD, "architecture", "a processor that we know", Caller, Step, build::architecture),
    row(BUILD, "cargo", "cargo", Caller, Step, build::cargo),
    row(BUILD, "static-program", "rustc, a linker and the static C library: a program built and run", Caller, Step, build::static_program),
    row(BUILD, "disk", "room for target/", Caller, Step, build::disk),
    row(BUILD, "memory", "memory to build", Caller, Part("building may be slow, or be killed"), build::memory),
    row(BUILD, "git", "git", Caller, Part("no way to fetch or compare versions of the workshop"), build::git),
    row(BUILD, "pager", "less, a pager", Caller, Part("long output is not paged"), build::pager),
    row(BUILD, "sudo", "sudo", Caller, Part("steps 1 to 5 need the lab, or a login as root"), build::sudo),
    row(BUILD, "apt", "apt-get", Caller, Part("the lab's kernel is to be fetched by hand"), build::apt),
    row(BUILD, "lab-kernel", "the lab's kernel", Caller, Part("the lab"), build::lab_kernel),

    row(1, "chroot", "chroot(2)", Inside, Step, mounts::chroot),
    row(1, "close-range", "close_range(2), for descriptors that nobody is to inherit", Everyone, Step, security::close_range),
    row(1, "program-1", "the step itself, running `true`", Root, Step, || program::runs(1)),

    row(2, "uts-namespace", "a UTS namespace, renamed", Inside, Step, namespaces::uts),
    row(2, "program-2", "the step itself, running `true`", Root, Step, || program::runs(2)),

    row(3, "pid-namespace", "clone3(2) with a PID namespace: a process 1", Inside, Step, namespaces::pid),
    row(3, "program-3", "the step itself, running `true`", Root, Step, || program::runs(3)),

    row(4, "mount-namespace", "a mount namespace, made private", Inside, Step, namespaces::mount),
    row(4, "tmpfs", "a new tmpfs", Inside, Step, mounts::tmpfs),
    row(4, "proc", "a new proc for a new PID namespace", Inside, Step, mounts::proc),
    row(4, "sysfs", "a new sysfs for a new network namespace", Inside, Step, mounts::sysfs),
    row(4, "devpts", "a new devpts", Inside, Step, mounts::devpts),
    row(4, "pivot-root", "pivot_root(2), and the old root detached", Inside, Step, mounts::pivot),
    row(4, "program-4", "the step itself, running `true`", Root, Step, || program::runs(4)),

    row(5, "net-namespace", "a network namespace, its loopback up", Inside, Step, namespaces::net),
    row(5, "veth", "a veth pair between two network namespaces", Root, Step, network::veth),
    row(5, "pasta", "pasta: a network without root", User, Part("--network pasta"), network::pasta),
    row(5, "program-5", "the step itself, running `true`", Root, Step, || program::runs(5)),

    row(6, "user-namespace", "a user namespace, one id mapped", Everyone, Step, users::namespace),
    row(6, "maps", "uid_map and gid_map written by the step", Everyone, Step, users::maps),
    row(6, "range", "newuidmap and newgidmap: many ids", User, Part("more than one user inside: apt and others fail"), users::range),
    row(6, "owned-mounts", "in the user namespace: proc, sysfs, tmpfs, devpts, pivot_root", Owner, Step, mounts::all),
    row(6, "idmapped-mount", "an idmapped mount: files follow their owners", Root, Part("root's container can read ROOT, and not change it"), users::idmapped),
    row(6, "program-6", "the step itself, running `true`", Everyone, Step, || program::runs(6)),

    row(7, "cgroup-namespace", "a cgroup namespace", Owner, Step, namespaces::cgroup),
    row(7, "pids-limit", "--pids-limit", Everyone, StepAlone, cgroups::pids),
    row(7, "memory-limit", "--memory", Everyone, StepAlone, cgroups::memory),
    row(7, "cpu-limit", "--cpus", Everyone, Part("--cpus"), cgroups::cpu),
    row(7, "cpuset-limit", "--cpuset-cpus", Everyone, Part("--cpuset-cpus"), cgroups::cpuset),
    row(7, "io-limit", "--io-max", Everyone, Part("--io-max"), cgroups::io),
    row(7, "cgroup-kill", "a whole cgroup frozen and killed", Everyone, COLLECT, cgroups::freeze_and_kill),
    row(7, "program-7", "the step itself, running `true` with --pids-limit", Everyone, StepAlone, || program::runs(7)),

    row(8, "overlay", "overlay in a user namespace (userxattr)", Owner, Step, overlay::owned),
    row(8, "overlay-root", "overlay as the host's root", Root, ROOT_ONLY, overlay::as_root),
    row(8, "overlay-layers", "lowerdir+: 100 layers", Owner, Part("more than about 70 layers"), overlay::many_layers),
    row(8, "overlay-whiteout", "a directory of a lower layer removed", Owner, Part("deleting a directory of a layer, unless --upper is on a disk"), overlay::whiteout),
    row(8, "program-8", "the step itself, running `true`", Everyone, Step, || program::runs(8)),

    row(9, "seccomp", "no_new_privs, and the step's seccomp filter", Owner, Step, security::seccomp),
    row(9, "program-9", "the step itself, running `true`", Everyone, Step, || program::runs(9)),

    row(14, "registry", "a registry: Docker Hub's answers", Caller, Part("pull, and run of an image that is not there: import one"), registry::answers),
    row(14, "program-14", "the step itself, running `true` of an image", Everyone, Step, || program::runs(14)),

    row(BEYOND, "ipc-namespace", "an IPC namespace", Inside, Part("the step ipc, to come"), namespaces::ipc),
    row(BEYOND, "time-namespace", "a time namespace", Inside, Part("the step clocks, to come"), namespaces::time),
    row(BEYOND, "landlock", "Landlock", Everyone, Part("the step lsm, to come, without Landlock"), security::landlock),
    row(BEYOND, "apparmor", "AppArmor", Everyone, Part("the step lsm, to come, without AppArmor"), security::apparmor),
    row(BEYOND, "selinux", "SELinux", Everyone, Part("nothing: no step depends on it"), security::selinux),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_steps_are_in_order() {
        let mut names: Vec<_> = all().map(|trial| trial.name).collect();
        names.sort();
        assert!(names.windows(2).all(|two| two[0] != two[1]), "{names:?}");
        assert!(all().map(|trial| trial.step).is_sorted());
    }
}
