//! The words of other machines, as they were seen there.

use super::*;

/// A machine made of files: path and contents.
pub fn machine(files: &[(&str, &str)]) -> Host {
    let root = tempfile::tempdir().unwrap();
    for (path, contents) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    Host::read(root.path())
}

const PURE_V2: (&str, &str) = (
    "proc/self/mountinfo",
    "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
     23 22 0:21 / /proc rw shared:13 - proc proc rw\n\
     36 23 0:31 / /proc/sys/fs/binfmt_misc rw shared:14 - autofs systemd-1 rw\n\
     30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
);

pub fn ubuntu_24_04() -> Host {
    machine(&[
        PURE_V2,
        ("etc/os-release", "PRETTY_NAME=\"Ubuntu 24.04 LTS\"\nID=ubuntu\nID_LIKE=debian\n"),
        ("proc/sys/kernel/osrelease", "6.8.0-31-generic\n"),
        ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"),
        ("proc/sys/kernel/unprivileged_userns_clone", "1\n"),
        ("proc/sys/user/max_user_namespaces", "63432\n"),
        ("sys/module/apparmor/parameters/enabled", "Y\n"),
        ("run/systemd/system/keep", ""),
        ("proc/self/cgroup", "0::/user.slice/user-1000.slice/session-3.scope\n"),
    ])
}

pub fn wsl2() -> Host {
    machine(&[
        (
            "proc/version",
            "Linux version 5.15.153.1-microsoft-standard-WSL2 (root@941d701f84f1) (gcc (GCC) 11.2.0)\n",
        ),
        ("etc/os-release", "PRETTY_NAME=\"Ubuntu 22.04.4 LTS\"\nID=ubuntu\nID_LIKE=debian\n"),
        ("proc/1/environ", "container=wsl\0PATH=/bin\0"),
        (
            "proc/self/mountinfo",
            "70 60 8:32 / / rw,relatime - ext4 /dev/sdc rw\n\
             90 70 0:40 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             91 90 0:41 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
             92 90 0:42 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             93 90 0:43 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
        ),
        ("proc/self/cgroup", "9:pids:/\n5:memory:/\n0::/\n"),
    ])
}

/// In a container of Docker's on cgroup v2, as `docker run debian:12` makes it.
pub fn nested() -> Host {
    machine(&[
        (".dockerenv", ""),
        ("etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n"),
        (
            "proc/self/mountinfo",
            "600 500 0:55 / / rw - overlay overlay rw,lowerdir=/l\n\
             601 600 0:58 / /proc rw - proc proc rw\n\
             602 600 0:61 / /sys ro - sysfs sysfs ro\n\
             603 602 0:30 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n\
             610 601 0:58 /bus /proc/bus ro - proc proc rw\n\
             615 601 0:62 / /proc/acpi ro - tmpfs tmpfs ro\n\
             616 601 0:59 /null /proc/kcore rw - tmpfs tmpfs rw\n",
        ),
        ("proc/self/cgroup", "0::/\n"),
        ("proc/1/cgroup", "0::/\n"),
    ])
}

pub fn cgroup_v1() -> Host {
    machine(&[
        (
            "etc/os-release",
            "PRETTY_NAME=\"Rocky Linux 8.9\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
        ),
        (
            "proc/self/mountinfo",
            "22 1 8:1 / / rw - xfs /dev/sda1 rw\n\
             35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             36 31 0:33 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n",
        ),
        ("proc/self/cgroup", "11:memory:/user.slice\n1:name=systemd:/user.slice\n"),
        ("run/systemd/system/keep", ""),
    ])
}

const OWN: &str = "sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/foot.scope";

fn user_session() -> Host {
    machine(&[
        PURE_V2,
        (
            "proc/self/cgroup",
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/foot.scope\n",
        ),
        (&format!("{OWN}/cgroup.controllers"), "memory pids\n"),
        ("run/systemd/system/keep", ""),
    ])
}

pub fn fedora() -> Host {
    machine(&[
        PURE_V2,
        ("etc/os-release", "PRETTY_NAME=\"Fedora Linux 42 (Workstation Edition)\"\nID=fedora\n"),
        ("sys/fs/selinux/enforce", "1"),
        ("proc/self/cgroup", "0::/user.slice\n"),
    ])
}

#[test]
fn ubuntu_says_that_it_restricts_user_namespaces() {
    let host = ubuntu_24_04();
    assert_eq!(host.sysctl("apparmor_restrict_unprivileged_userns"), Some(1));
    assert_eq!(host.sysctl("max_user_namespaces"), Some(63432));
    assert!(host.apparmor && host.systemd && host.is_like(&["debian"]) && !host.chroot);
    assert_eq!((host.cgroups.layout, host.container, host.wsl), (Layout::V2, None, None));
    assert!(host.masked.is_empty(), "binfmt_misc hides nothing: {:?}", host.masked);
}

#[test]
fn wsl_is_known_by_its_kernel_and_is_no_container() {
    let host = wsl2();
    assert_eq!((host.wsl, host.container, host.cgroups.layout), (Some(2), None, Layout::Hybrid));
    let first = machine(&[("proc/version", "Linux version 4.4.0-19041-Microsoft (gcc)\n")]);
    assert_eq!(first.wsl, Some(1));
}

#[test]
fn a_container_is_known_and_what_masks_its_proc() {
    let host = nested();
    assert_eq!(host.container.as_deref(), Some("docker"));
    assert_eq!(host.masked, ["/proc/bus", "/proc/acpi", "/proc/kcore"], "cgroups cover nothing");
    let pod = machine(&[("proc/1/cgroup", "0::/kubepods.slice/pod1\n")]);
    assert_eq!(pod.container.as_deref(), Some("kubernetes"));
    let disk = "27 1 254:0 / / rw - ext4 /dev/vda rw\n";
    let machine = machine(&[(".dockerenv", ""), ("proc/self/mountinfo", disk)]);
    assert_eq!(machine.container, None, "its files were a container's, it is none");
}

#[test]
fn a_v1_host_has_no_v2_of_its_own() {
    let host = cgroup_v1();
    assert_eq!((host.cgroups.layout, host.cgroups.own.clone()), (Layout::V1, None));
    assert!(host.is_like(&["rhel"]), "{:?}", host.family);
}

#[test]
fn a_user_session_has_controllers_delegated() {
    let cgroups = user_session().cgroups;
    assert_eq!(cgroups.controllers, ["memory", "pids"]);
    assert_eq!(cgroups.own, Some(Path::new("/").join(OWN)));
}

#[test]
fn fedora_enforces() {
    assert_eq!(fedora().selinux.as_deref(), Some("enforcing"));
    assert!(fedora().describe().contains("SELinux enforcing"), "{}", fedora().describe());
}

#[test]
fn a_chroot_has_no_mount_on_its_root() {
    let mounts = "23 22 0:21 / /proc rw - proc proc rw\n";
    assert!(machine(&[("proc/self/mountinfo", mounts)]).chroot);
}

#[test]
fn an_empty_machine_says_nothing() {
    let host = machine(&[]);
    assert_eq!(host.cgroups.layout, Layout::None);
    assert!(!host.chroot && host.masked.is_empty() && host.sysctls.is_empty());
}
