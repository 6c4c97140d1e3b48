//! The advice for failures as other machines have them.

use super::super::host::tests::{cgroup_v1, fedora, machine, nested, ubuntu_24_04, wsl2};
use super::*;

const REFUSED: &str = "cannot write /proc/self/uid_map: Operation not permitted (EPERM)";

fn for_user(name: &str, reason: &str, host: &Host) -> Advice {
    advise(name, Side::User, (reason, None), host)
}

#[test]
fn ubuntu_24_04_is_told_the_sysctl_and_how_to_undo_it() {
    let advice = for_user("user-namespace", REFUSED, &ubuntu_24_04());
    assert!(advice.reason.contains("AppArmor"), "{advice:?}");
    assert!(advice.fix.starts_with("sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"));
    assert_eq!(advice.undo, "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=1");
}

#[test]
fn sysctls_that_forbid_are_named() {
    let host = machine(&[("proc/sys/kernel/unprivileged_userns_clone", "0\n")]);
    let refused = "cannot make a user namespace: Operation not permitted (EPERM)";
    assert_eq!(
        for_user("user-namespace", refused, &host).fix,
        "sudo sysctl kernel.unprivileged_userns_clone=1"
    );
    let host = machine(&[("proc/sys/user/max_user_namespaces", "0\n")]);
    let full = "cannot make a user namespace: No space left on device (ENOSPC)";
    let advice = for_user("user-namespace", full, &host);
    assert_eq!(advice.fix, "sudo sysctl user.max_user_namespaces=10000");
    assert_eq!(advice.undo, "sudo sysctl user.max_user_namespaces=0");
}

#[test]
fn a_chroot_is_to_be_left() {
    let host = machine(&[("proc/self/mountinfo", "23 22 0:21 / /proc rw - proc proc rw\n")]);
    assert!(for_user("user-namespace", REFUSED, &host).fix.contains("exit"));
}

#[test]
fn masked_proc_is_named_with_what_masks_it() {
    let refused = "cannot make a mount of proc: Operation not permitted (EPERM)";
    let advice = for_user("owned-mounts", refused, &nested());
    assert!(advice.reason.contains("/proc/kcore"), "{advice:?}");
    assert!(advice.fix.contains("systempaths=unconfined"), "{advice:?}");
}

#[test]
fn a_container_is_to_be_started_with_more() {
    let root = advise("uts-namespace", Side::Root, (REFUSED, None), &nested());
    assert!(root.reason.contains("CAP_SYS_ADMIN") && root.fix.contains("--privileged"), "{root:?}");
    assert!(for_user("memory-limit", "no", &nested()).fix.contains("scripts/machines/cgroups"));
}

#[test]
fn limits_on_wsl2_and_on_v1() {
    let advice = for_user("memory-limit", "cannot make the cgroup", &wsl2());
    assert!(advice.fix.contains("cgroup_no_v1=all"), "{advice:?}");
    let hint = Some("cgroup v1 is root's alone: use sudo, or a host with cgroup v2");
    let advice = advise("pids-limit", Side::User, ("refused", hint), &cgroup_v1());
    assert!(advice.fix.contains("unified_cgroup_hierarchy"), "{advice:?}");
}

#[test]
fn what_the_kernel_lacks_is_not_blamed_on_rights() {
    let host = fedora();
    let old = for_user("overlay-layers", "cannot create overlay: Invalid argument (EINVAL)", &host);
    assert!(old.reason.contains("6.8"), "{old:?}");
    let full = for_user("overlay-layers", "No space left on device (ENOSPC)", &host);
    assert_ne!(old, full);
    let none = for_user("pids-limit", "this host has no pids controller", &machine(&[]));
    assert!(none.fix.contains("mount -t cgroup2"), "{none:?}");
}

#[test]
fn a_session_of_systemd_is_told_how_to_get_a_cgroup() {
    let hint = Some("get a cgroup of your own: systemd-run --user --scope -p Delegate=yes COMMAND");
    let advice = advise("pids-limit", Side::User, ("none is ours", hint), &ubuntu_24_04());
    assert!(advice.fix.starts_with("systemd-run --user --scope"), "{advice:?}");
}

#[test]
fn selinux_is_suspected_last() {
    let advice = for_user("user-namespace", REFUSED, &fedora());
    assert!(advice.fix.contains("ausearch") && advice.undo == "sudo setenforce 1", "{advice:?}");
}

#[test]
fn packages_have_their_distribution_s_names() {
    let advice = for_user("static-program", "there is no static C library (libc.a)", &fedora());
    assert_eq!(advice.fix, "sudo dnf install gcc glibc-static");
    let advice = for_user("range", "newuidmap is not installed", &ubuntu_24_04());
    assert_eq!(
        (&*advice.fix, &*advice.undo),
        ("sudo apt install uidmap", "sudo apt remove uidmap")
    );
}
