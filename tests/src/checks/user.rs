//! Step 6: root inside is nobody in particular outside.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, chown};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::{getegid, geteuid};

use super::need::{ROOTS_RANGE, granted, installed};
use super::run::{ORDINARY, gone};
use super::uts::own_namespace;
use super::{Check, Context, Need, Running, expect};
use crate::Process;
use crate::idmap::Range;
use crate::status::Status;
use crate::wait::wait_for;

const STEP: Check = Check { step: 6, ..Check::DEFAULT };

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "own-user-namespace",
        asks: "Is /proc/PID/ns/user another than the host's?",
        look_at: "main.rs: clone.namespace(user::NAMESPACE); user_namespaces(7)",
        exercise: "6",
        run: |context| own_namespace("user", &context.start(&[])?),
        ..STEP
    },
    Check {
        name: "namespaces-belong-to-it",
        asks: "Does every namespace of the container belong to its user namespace, as NS_GET_USERNS tells?",
        look_at: "pid::Clone3: one clone3 with CLONE_NEWUSER; ioctl_ns(2), clone(2)",
        exercise: "6",
        run: namespaces_belong_to_it,
        ..STEP
    },
    Check {
        name: "no-root-needed",
        asks: "Can a user who is not root make a container?",
        look_at: "main.rs: clone.namespace(user::NAMESPACE), maps.write; user_namespaces(7)",
        exercise: "6",
        needs: &[Need::Ordinary],
        run: no_root_needed,
        ..STEP
    },
    Check {
        name: "maps-are-exact",
        asks: "Do uid_map and gid_map map root to the caller, or what /etc/subuid grants, and no more?",
        look_at: "maps.rs: Maps::write; user_namespaces(7), subuid(5), newuidmap(1)",
        exercise: "6.1",
        run: maps_are_exact,
        ..STEP
    },
    Check {
        name: "map-of-one-id",
        asks: "Does a user without a range get a map of their own id alone, and is setgroups denied?",
        look_at: "maps.rs: Maps::write; user_namespaces(7): setgroups",
        exercise: "6.1",
        needs: &[Need::Ordinary],
        run: map_of_one_id,
        ..STEP
    },
    Check {
        name: "root-inside",
        asks: "Is the command root inside, with all capabilities there, and another outside?",
        look_at: "lib.rs: become_root; capabilities(7), user_namespaces(7)",
        exercise: "6.2",
        run: root_inside,
        ..STEP
    },
    Check {
        name: "no-groups-of-the-host",
        asks: "Has the command none of the caller's supplementary groups?",
        look_at: "lib.rs: take; setgroups(2)",
        exercise: "6.3",
        needs: &[Need::Range],
        run: no_groups_of_the_host,
        ..STEP
    },
    Check {
        name: "user-flag",
        asks: "With --user, are all ids the ones asked for, and the capabilities gone?",
        look_at: "lib.rs: take, main.rs: user::switch; setresuid(2), capabilities(7)",
        exercise: "6.3",
        needs: &[Need::Range],
        run: user_flag,
        ..STEP
    },
    Check {
        name: "user-flag-with-one-id",
        asks: "Is the one id that is mapped the one that --user asks for?",
        look_at: "maps.rs: Maps::write; user_namespaces(7)",
        exercise: "6.1",
        needs: &[Need::Ordinary],
        run: user_flag_with_one_id,
        ..STEP
    },
    Check {
        name: "user-still-dies-with-parent",
        asks: "Is a command with --user gone when its parent is killed, though a change of ids disarms the signal?",
        look_at: "main.rs: gate.die_with_parent after user::switch; PR_SET_PDEATHSIG(2const)",
        exercise: "6",
        needs: &[Need::Range],
        before: Some("without a change of ids nothing is disarmed"),
        run: user_still_dies_with_parent,
        ..STEP
    },
    Check {
        name: "files-follow-their-owners",
        asks: "Are the caller's files root's inside, and the files that root makes there the caller's outside?",
        look_at: "main.rs: files.add, files.attach, files.map; mount_setattr(2): MOUNT_ATTR_IDMAP",
        exercise: "6",
        needs: &[Need::OwnFiles],
        until: 7, // then they are made in an upper layer
        before: Some("without a user namespace all ids are the same"),
        run: files_follow_their_owners,
        ..STEP
    },
    Check {
        name: "hosts-root-owns-nothing-inside",
        asks: "Is a file of the host's root in a volume nobody's, and closed to root inside?",
        look_at: "main.rs: maps.write; user_namespaces(7)",
        exercise: "6",
        needs: &[Need::Root],
        run: hosts_root_owns_nothing_inside,
        ..STEP
    },
    Check {
        name: "no-device-nodes",
        asks: "Is making a block device refused with EPERM?",
        look_at: "main.rs: clone.namespace(user::NAMESPACE); mknod(2), user_namespaces(7)",
        exercise: "6",
        run: no_device_nodes,
        ..STEP
    },
    Check {
        name: "init-is-out-of-reach",
        asks: "Can the command not open its init's program, /proc/1/exe?",
        look_at: "main.rs: pid::init; step 3, init.rs: not dumpable; PR_SET_DUMPABLE(2const), ptrace(2)",
        exercise: "6",
        run: init_is_out_of_reach,
        ..STEP
    },
    Check {
        name: "pasta",
        asks: "With --network pasta, is there an interface with an address and a default route, and pasta gone after?",
        look_at: "main.rs: net::connect; step 5, pasta.rs; pasta(1)",
        exercise: "6",
        needs: &[Need::Pasta, Need::Ordinary],
        run: pasta,
        ..STEP
    },
];

/// From linux/nsfs.h; a request without an argument, so it has no size in it.
const NS_GET_USERNS: u64 = 0xb701;

/// The inode of the user namespace that a namespace belongs to.
fn owner(namespace: &str) -> Result<u64> {
    let file = File::open(namespace).with_context(|| format!("cannot open {namespace}"))?;
    // SAFETY: the request takes no argument and returns a new descriptor.
    let owner = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_USERNS as _) };
    let owner = Errno::result(owner).with_context(|| format!("who owns {namespace}?"))?;
    let status = nix::sys::stat::stat(format!("/proc/self/fd/{owner}").as_str());
    // SAFETY: the descriptor is ours, and nobody else has it.
    unsafe { libc::close(owner) };
    Ok(status?.st_ino)
}

fn namespaces_belong_to_it(context: &Context) -> Result<()> {
    let container = context.start(&[])?;
    own_namespace("user", &container)?;
    let (process, own) = (container.process()?, Process::own()?);
    let user = fs::metadata(format!("/proc/{}/ns/user", process.pid))?.ino();
    for kind in ["cgroup", "mnt", "net", "pid", "uts"] {
        if kind == "cgroup" && context.step < 7 {
            continue;
        }
        ensure!(
            process.namespaces[kind] != own.namespaces[kind],
            "the {kind} namespace is the host's"
        );
        let owner = owner(&format!("/proc/{}/ns/{kind}", process.pid))?;
        ensure!(owner == user, "the {kind} namespace belongs to user:[{owner}], not user:[{user}]");
    }
    Ok(())
}

/// Not even by newuidmap(1), a setuid program.
fn no_root_needed(context: &Context) -> Result<()> {
    let run = context.container().ordinary().env("PATH", NO_HELPERS);
    run.run(&["exit 7"])?.expect_code(7)
}

fn one(inside: u32, outside: u32) -> Range {
    Range { inside, outside, count: 1 }
}

/// What the map must be: by uid and subuid, or gid and subgid.
fn wanted_map(id: u32, file: &str) -> Vec<Range> {
    let granted = granted(file);
    let helpers = installed("newuidmap") && installed("newgidmap");
    match granted {
        _ if geteuid().is_root() => {
            let (outside, count) = granted.unwrap_or(ROOTS_RANGE);
            vec![Range { inside: 0, outside, count }]
        }
        Some((outside, count)) if helpers => vec![one(0, id), Range { inside: 1, outside, count }],
        _ => vec![one(0, id)],
    }
}

fn maps(container: &Running) -> Result<(Vec<Range>, Vec<Range>)> {
    let process = container.process()?;
    let uids = process.uid_map.get().context("uid_map cannot be read")?;
    let gids = process.gid_map.get().context("gid_map cannot be read")?;
    Ok((uids.clone(), gids.clone()))
}

fn maps_are_exact(context: &Context) -> Result<()> {
    let (uids, gids) = maps(&context.start(&[])?)?;
    expect("uid_map", &uids, &wanted_map(geteuid().as_raw(), "/etc/subuid"))?;
    expect("gid_map", &gids, &wanted_map(getegid().as_raw(), "/etc/subgid"))
}

/// Without newuidmap on the PATH a range that is granted cannot be had.
const NO_HELPERS: &str = "/nowhere";

fn ids_outside() -> (u32, u32) {
    match geteuid().is_root() {
        true => (ORDINARY, ORDINARY),
        false => (geteuid().as_raw(), getegid().as_raw()),
    }
}

fn map_of_one_id(context: &Context) -> Result<()> {
    let container = context.container().ordinary().env("PATH", NO_HELPERS).start(&["probe"])?;
    let (uid, gid) = ids_outside();
    expect("the maps", &maps(&container)?, &(vec![one(0, uid)], vec![one(0, gid)]))?;
    let process = container.process()?;
    expect("setgroups", &process.setgroups.get().map(String::as_str), &Some("deny"))?;
    expect("ids inside", &container.probe(0)?.uids, &[0; 3])
}

fn status(process: &Process) -> Result<&Status> {
    process.status.get().context("/proc/PID/status cannot be read")
}

fn root_inside(context: &Context) -> Result<()> {
    let container = context.start(&["probe"])?;
    let probe = container.probe(0)?;
    expect("user ids inside", &probe.uids, &[0; 3])?;
    expect("group ids inside", &probe.gids, &[0; 3])?;
    let capabilities = probe.capabilities.get().context("no capabilities")?;
    let bounding = Process::own()?;
    let bounding = status(&bounding)?.capabilities.bounding;
    let missing = bounding.without(capabilities.effective);
    ensure!(missing.is_empty(), "root inside lacks {:?}", missing.names());
    let (uids, gids) = maps(&container)?;
    let process = container.process()?;
    expect("user ids outside", &status(&process)?.uids, &vec![uids[0].outside; 4])?;
    expect("group ids outside", &status(&process)?.gids, &vec![gids[0].outside; 4])?;
    ensure!(uids[0] != Range::ALL, "root inside is root outside");
    Ok(())
}

fn no_groups_of_the_host(context: &Context) -> Result<()> {
    let run = context.container();
    let run = match geteuid().is_root() {
        true => run.first(|| {
            // nix's setgroups takes a slice and allocates nothing.
            nix::unistd::setgroups(&[4.into(), 24.into()]).map_err(Into::into)
        }),
        false => run,
    };
    let container = run.start(&["probe"])?;
    let found = container.probe(0)?.groups;
    expect("supplementary groups inside", &found.get().map(Vec::len), &Some(0))
}

fn user_flag(context: &Context) -> Result<()> {
    for (flag, gid) in [("1000:1001", 1001), ("1000", 1000)] {
        let container = context.container().option("--user", flag).start(&["probe"])?;
        let probe = container.probe(0)?;
        expect("user ids inside", &probe.uids, &[1000; 3])?;
        expect("group ids inside", &probe.gids, &[gid; 3])?;
        expect("supplementary groups", &probe.groups.get().map(Vec::len), &Some(0))?;
        let sets = probe.capabilities.get().context("no capabilities")?;
        let left = [sets.effective, sets.permitted, sets.inheritable, sets.ambient];
        ensure!(left.iter().all(|set| set.is_empty()), "capabilities are left: {left:?}");
    }
    Ok(())
}

fn user_flag_with_one_id(context: &Context) -> Result<()> {
    let run = context.container().ordinary().env("PATH", NO_HELPERS).option("--user", "1000:1001");
    let container = run.start(&["probe"])?;
    let (uid, gid) = ids_outside();
    expect("the maps", &maps(&container)?, &(vec![one(1000, uid)], vec![one(1001, gid)]))?;
    let probe = container.probe(0)?;
    expect("ids inside", &(probe.uids, probe.gids), &([1000; 3], [1001; 3]))
}

fn user_still_dies_with_parent(context: &Context) -> Result<()> {
    for init in [false, true] {
        let run = context.container().option("--user", "1000");
        let run = if init { run.flag("--init") } else { run };
        let mut container = run.start(&[])?;
        let command = container.command()?;
        container.signal(Signal::SIGKILL)?;
        container.wait()?;
        wait_for("the command to die with its parent", || Ok(gone(command)))?;
    }
    Ok(())
}

fn files_follow_their_owners(context: &Context) -> Result<()> {
    let own = context.scene.own_root()?;
    let run = context.container().root(&own.path);
    let ended = run.run(&["stat /etc/marker", "write /etc/made x", "mkdir /made"])?;
    ensure!(ended.answer(0)?.contains(" 0:0 "), "a file of the caller's is {}", ended.answer(0)?);
    expect("a write to the root", ended.answer(1)?, "ok")?;
    for path in ["etc/made", "made"] {
        let status = fs::metadata(own.path.join(path))?;
        let ids = (geteuid().as_raw(), getegid().as_raw());
        expect("who owns outside what root made inside", &(status.uid(), status.gid()), &ids)?;
    }
    Ok(())
}

fn hosts_root_owns_nothing_inside(context: &Context) -> Result<()> {
    let own = context.scene.own_root()?;
    let volume = own.directory("volume")?;
    fs::write(volume.join("roots"), "x")?;
    chown(volume.join("roots"), Some(0), Some(0))?;
    let run =
        context.container().root(&own.path).option("-v", format!("{}:/mnt", volume.display()));
    let ended = run.run(&["stat /mnt/roots", "open /mnt/roots"])?;
    ensure!(ended.answer(0)?.contains(" 65534:65534 "), "it is {}", ended.answer(0)?);
    expect("opening it to write", ended.answer(1)?, "EACCES")
}

fn no_device_nodes(context: &Context) -> Result<()> {
    let ended = context.container().run(&["mknod /tmp/disk 8 0"])?;
    expect("mknod", ended.answer(0)?, "EPERM")
}

fn init_is_out_of_reach(context: &Context) -> Result<()> {
    let ended =
        context.container().flag("--init").run(&["readlink /proc/1/exe", "ls /proc/1/fd"])?;
    let refused = |answer: &str| matches!(answer, "EACCES" | "EPERM" | "ENOENT");
    ensure!(refused(ended.answer(0)?), "/proc/1/exe is {}", ended.answer(0)?);
    ensure!(refused(ended.answer(1)?), "/proc/1/fd is {}", ended.answer(1)?);
    Ok(())
}

fn pasta(context: &Context) -> Result<()> {
    let run = context.container().ordinary().option("--network", "pasta");
    let container = run.start(&["probe"])?;
    let probe = container.probe(0)?;
    let interfaces = probe.interfaces.get().context("the interfaces cannot be read")?;
    let with_address =
        |one: &&crate::interface::Interface| one.name != "lo" && !one.addresses.is_empty();
    ensure!(
        interfaces.iter().any(|one| with_address(&one)),
        "no interface has an address: {interfaces:?}"
    );
    let routes = probe.routes.get().context("the routes cannot be read")?;
    ensure!(routes.iter().any(|route| route.mask.is_unspecified()), "no default route: {routes:?}");
    let others = super::run::family(container.parent());
    container.end()?.expect_code(0)?;
    wait_for("pasta to end", || Ok(others[1..].iter().all(|pid| gone(*pid))))
}
