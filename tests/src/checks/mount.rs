//! Step 4: a file tree of the container's own, and the host's is gone from it.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::scene::text;
use super::uts::own_namespace;
use super::{Check, Context, Need, OwnRoot, Run, Running, expect};
use crate::mountinfo::Mount;
use crate::{Process, mountinfo};

const STEP: Check = Check { step: 4, ..Check::DEFAULT };

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "own-mount-namespace",
        asks: "Is /proc/PID/ns/mnt another than the host's?",
        look_at: "main.rs: clone.namespace(mount::NAMESPACE); mount_namespaces(7)",
        exercise: "4",
        run: |context| own_namespace("mnt", &context.start(&[])?),
        ..STEP
    },
    Check {
        name: "old-root-is-gone",
        asks: "Is there one mount on / in mountinfo, and none of the host's file systems?",
        look_at: "lib.rs: Root::pivot; pivot_root(2), umount2(2)",
        exercise: "4.5",
        run: old_root_is_gone,
        ..STEP
    },
    Check {
        name: "root-is-a-mount",
        asks: "Is the mount on / the directory ROOT?",
        look_at: "lib.rs: Root::bind; pivot_root(2)",
        exercise: "4.2",
        until: 7, // then an overlay of it
        run: root_is_a_mount,
        ..STEP
    },
    Check {
        name: "propagation-is-private",
        asks: "Is no mount shared with the host's or the slave of one, though the host's are shared?",
        look_at: "lib.rs: make_private; mount_namespaces(7)",
        exercise: "4.1",
        run: propagation_is_private,
        ..STEP
    },
    Check {
        name: "host-sees-no-mount",
        asks: "Does the host's mountinfo stay as it is while the container runs and after it?",
        look_at: "lib.rs: make_private; mount_namespaces(7)",
        exercise: "4.1",
        before: Some("who mounts nothing leaves nothing to see"),
        run: host_sees_no_mount,
        ..STEP
    },
    Check {
        name: "file-systems-and-flags",
        asks: "Are /proc, /sys, /dev, /dev/pts, /dev/shm and /tmp what they should be, with their flags?",
        look_at: "tree.rs: filesystem, defaults.rs; fsopen(2), fsconfig(2), fsmount(2)",
        exercise: "4.3",
        run: file_systems_and_flags,
        ..STEP
    },
    Check {
        name: "proc-shows-only-the-container",
        asks: "Does /proc list the container's processes and no other?",
        look_at: "tree.rs: filesystem, main.rs: root.fill; proc(5), pid_namespaces(7)",
        exercise: "4.3",
        run: proc_shows_only_the_container,
        ..STEP
    },
    Check {
        name: "masked-paths",
        asks: "Are the paths of /proc and /sys that tell of the host's hardware and memory empty?",
        look_at: "list.rs: Mount::attach, defaults.rs: MASKED; proc(5)",
        exercise: "4.4",
        run: masked_paths,
        ..STEP
    },
    Check {
        name: "read-only-paths",
        asks: "Is a write to the paths of /proc that change the host refused with EROFS?",
        look_at: "list.rs: Mount::attach, defaults.rs: READ_ONLY; proc(5)",
        exercise: "4.4",
        run: read_only_paths,
        ..STEP
    },
    Check {
        name: "devices-and-their-numbers",
        asks: "Are null, zero, full, random, urandom and tty the devices in /dev, and do they work?",
        look_at: "list.rs: Mount::attach, list.rs: device; null(4), random(4), tty(4)",
        exercise: "4.4",
        run: devices_and_their_numbers,
        ..STEP
    },
    Check {
        name: "links-in-dev",
        asks: "Do fd, stdin, stdout, stderr and ptmx lead where programs expect?",
        look_at: "main.rs: root.fill, defaults.rs: link_devices; fd(4), pts(4)",
        exercise: "4",
        run: links_in_dev,
        ..STEP
    },
    Check {
        name: "new-devpts",
        asks: "Is /dev/pts a new instance, whose first terminal is number 0?",
        look_at: "tree.rs: filesystem, its options; pts(4), fsconfig(2)",
        exercise: "4.3",
        run: new_devpts,
        ..STEP
    },
    Check {
        name: "volume",
        asks: "Are a directory and a file of the host seen inside, and what is written to them outside?",
        look_at: "list.rs: Mount::attach, args.rs: Volume; open_tree(2)",
        exercise: "4.4",
        run: volume,
        ..STEP
    },
    Check {
        name: "volume-read-only",
        asks: "Is a write to a volume with :ro refused with EROFS?",
        look_at: "list.rs: Mount::attach; mount_setattr(2)",
        exercise: "4.4",
        run: volume_read_only,
        ..STEP
    },
    Check {
        name: "volume-read-only-below",
        asks: "Is a mount below a volume with :ro read-only as well?",
        look_at: "list.rs: Mount::attach, tree::set_flags; mount_setattr(2): AT_RECURSIVE",
        exercise: "4.4",
        needs: &[Need::Root],
        run: volume_read_only_below,
        ..STEP
    },
    Check {
        name: "tmpfs",
        asks: "Is --tmpfs an empty tmpfs with nosuid and nodev that can be written to?",
        look_at: "tree.rs: filesystem, args.rs: mounts; tmpfs(5)",
        exercise: "4.3",
        run: tmpfs,
        ..STEP
    },
    Check {
        name: "read-only-root",
        asks: "With --read-only, is a write to / refused with EROFS, but not one to /tmp?",
        look_at: "lib.rs: Root::pivot; mount_setattr(2)",
        exercise: "4.5",
        run: read_only_root,
        ..STEP
    },
    Check {
        name: "targets-stay-in-the-root",
        asks: "Does a symlink in ROOT lead a volume's target to a place inside, and never to the host?",
        look_at: "list.rs: Mount::attach, in_root.rs; openat2(2): RESOLVE_IN_ROOT",
        exercise: "4.4",
        run: targets_stay_in_the_root,
        ..STEP
    },
];

/// The mounts that the command sees.
fn mounts(container: &Running) -> Result<Vec<Mount>> {
    let process = container.process()?;
    Ok(process.mounts.get().context("/proc/PID/mountinfo cannot be read")?.clone())
}

fn at<'a>(mounts: &'a [Mount], point: &str) -> Result<&'a Mount> {
    let found = mounts.iter().rev().find(|mount| mount.point == point);
    found.with_context(|| format!("nothing is mounted on {point}"))
}

fn old_root_is_gone(context: &Context) -> Result<()> {
    let mounts = mounts(&context.start(&[])?)?;
    let roots = mounts.iter().filter(|mount| mount.point == "/").count();
    expect("the number of mounts on /", &roots, &1)?;
    let own = Process::own()?;
    let host = own.mounts.get().context("our mountinfo cannot be read")?;
    let host = mountinfo::root(host).context("the host has no mount on /")?;
    let hosts = mounts.iter().find(|mount| mount.device == host.device && mount.root == host.root);
    ensure!(hosts.is_none(), "the host's / is still there: {hosts:?}");
    let outside = text(context.scene.root());
    let path = mounts.iter().find(|mount| mount.point.starts_with(&outside));
    ensure!(path.is_none(), "a mount has its place in the host's tree: {path:?}");
    Ok(())
}

fn root_is_a_mount(context: &Context) -> Result<()> {
    let mounts = mounts(&context.start(&[])?)?;
    let root = at(&mounts, "/")?;
    ensure!(
        text(context.scene.root()).ends_with(&root.root),
        "the directory that is mounted on / is {}",
        root.root
    );
    let device = fs::metadata(context.scene.root())?.dev();
    expect("its device", &root.device, &format!("{}:{}", libc::major(device), libc::minor(device)))
}

fn propagation_is_private(context: &Context) -> Result<()> {
    let mounts = mounts(&context.start(&[])?)?;
    at(&mounts, "/")?;
    for mount in mounts {
        ensure!(mount.propagation.is_empty(), "{} is {:?}", mount.point, mount.propagation);
    }
    Ok(())
}

fn host_sees_no_mount(context: &Context) -> Result<()> {
    let own = context.scene.own_root()?;
    let below = || -> Result<Vec<String>> {
        let process = Process::own()?;
        let mounts = process.mounts.get().context("our mountinfo cannot be read")?;
        let points = mounts.iter().map(|mount| mount.point.clone());
        Ok(points.filter(|point| Path::new(point).starts_with(&own.path)).collect())
    };
    let container = context.container().root(&own.path).start(&[])?;
    expect("mounts on the host", &below()?, &vec![])?;
    container.end()?;
    expect("mounts on the host afterwards", &below()?, &vec![])
}

fn file_systems_and_flags(context: &Context) -> Result<()> {
    let mounts = mounts(&context.start(&[])?)?;
    let table = [
        ("/proc", "proc", "nosuid nodev noexec rw"),
        ("/sys", "sysfs", "nosuid nodev noexec ro"),
        ("/dev", "tmpfs", "nosuid noexec mode=755"),
        ("/dev/pts", "devpts", "nosuid noexec mode=620 ptmxmode=666"),
        ("/dev/shm", "tmpfs", "nosuid nodev noexec rw"),
        ("/tmp", "tmpfs", "nosuid nodev rw"),
    ];
    for (point, fstype, flags) in table {
        let mount = at(&mounts, point)?;
        expect(&format!("the file system on {point}"), &*mount.fstype, fstype)?;
        let missing = flags.split(' ').find(|flag| !mount.has(flag));
        ensure!(missing.is_none(), "{point} is not {}: {mount:?}", missing.unwrap_or_default());
    }
    ensure!(at(&mounts, "/sys")?.options.contains(&"ro".into()), "/sys can be written to");
    Ok(())
}

fn proc_shows_only_the_container(context: &Context) -> Result<()> {
    let probe = context.start(&["probe"])?.probe(0)?;
    let found = probe.processes.get().context("there is no /proc")?;
    expect("the processes in /proc", found, &vec![1])
}

fn masked_paths(context: &Context) -> Result<()> {
    let masked = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
    ];
    let there: Vec<&str> = masked.into_iter().filter(|path| Path::new(path).exists()).collect();
    ensure!(!there.is_empty(), "this host has nothing to mask");
    for path in there {
        let deed = if Path::new(path).is_dir() { "ls" } else { "read" };
        let ended =
            context.container().run(&[&format!("{deed} {path}"), &format!("stat {path}")])?;
        let nothing = matches!(ended.answer(0)?, "ok" | r#"ok """#);
        ensure!(nothing, "{path} shows {:.60}", ended.answer(0)?);
        ensure!(is_mask(ended.answer(1)?, deed), "{path} is {}", ended.answer(1)?);
    }
    Ok(())
}

/// A directory, or the device 1:3.
fn is_mask(status: &str, deed: &str) -> bool {
    if deed == "ls" { status.starts_with("ok 40") } else { status.ends_with(" 1:3") }
}

fn read_only_paths(context: &Context) -> Result<()> {
    let container =
        context.start(&["open /proc/sys/kernel/domainname", "open /proc/sysrq-trigger"])?;
    for (deed, path) in ["sys/kernel/domainname", "sysrq-trigger"].iter().enumerate() {
        let answer = container.answer(deed)?;
        let refused = matches!(&*answer, "EROFS" | "EACCES");
        ensure!(
            refused || !Path::new("/proc").join(path).exists(),
            "opening /proc/{path}: {answer}"
        );
    }
    let mounts = mounts(&container)?;
    for path in ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"] {
        let read_only = || at(&mounts, path).map(|mount| mount.options.contains(&"ro".into()));
        ensure!(!Path::new(path).exists() || read_only()?, "{path} is not mounted read-only");
    }
    Ok(())
}

fn devices_and_their_numbers(context: &Context) -> Result<()> {
    let container =
        context.start(&["probe", "write /dev/null x", "write /dev/full x", "open /dev/zero"])?;
    let probe = container.probe(0)?;
    let found: Vec<String> = probe
        .devices
        .get()
        .context("there is no /dev")?
        .iter()
        .map(|(name, number)| format!("{name} {number}"))
        .collect();
    let wanted =
        ["full c 1:7", "null c 1:3", "random c 1:8", "tty c 5:0", "urandom c 1:9", "zero c 1:5"];
    expect("the devices in /dev", &found, &wanted.map(String::from).to_vec())?;
    expect("a write to /dev/null", &*container.answer(1)?, "ok")?;
    expect("a write to /dev/full", &*container.answer(2)?, "ENOSPC")?;
    expect("opening /dev/zero", &*container.answer(3)?, "ok")
}

fn links_in_dev(context: &Context) -> Result<()> {
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ];
    let deeds = links.map(|(name, _)| format!("readlink /dev/{name}"));
    let deeds: Vec<&str> =
        deeds.iter().map(String::as_str).chain(["ls /dev/mqueue", "write /dev/shm/x y"]).collect();
    let container = context.start(&deeds)?;
    for (deed, (name, target)) in links.iter().enumerate() {
        expect(&format!("/dev/{name}"), &container.answer(deed)?, &format!("ok {target}"))?;
    }
    expect("the directory /dev/mqueue", &*container.answer(5)?, "ok")?;
    expect("a write to /dev/shm", &*container.answer(6)?, "ok")
}

fn new_devpts(context: &Context) -> Result<()> {
    let container = context.start(&["ls /dev/pts", "pty"])?;
    expect("the names in /dev/pts", &*container.answer(0)?, "ok ptmx")?;
    expect("a new terminal", &*container.answer(1)?, "ok /dev/pts/0")?;
    let device = |mounts: &[Mount]| at(mounts, "/dev/pts").map(|mount| mount.device.clone());
    let own = Process::own()?;
    let ours = device(own.mounts.get().context("our mountinfo cannot be read")?);
    ensure!(ours.ok() != device(&mounts(&container)?).ok(), "/dev/pts is the host's");
    Ok(())
}

/// A root directory with a directory `volume` and a file beside it.
fn with_volume(context: &Context) -> Result<OwnRoot> {
    let own = context.scene.own_root()?;
    let volume = own.directory("volume")?;
    fs::write(volume.join("from-outside"), "hello")?;
    fs::write(own.beside("file"), "a file")?;
    fs::create_dir(own.path.join("mnt/dir"))?;
    fs::write(own.path.join("mnt/file"), "")?;
    own.give_to_container()?;
    Ok(own)
}

fn mounted<'a>(context: &'a Context, own: &OwnRoot, name: &str, to: &str) -> Run<'a> {
    let volume = format!("{}:{to}", own.beside(name).display());
    context.container().root(&own.path).option("-v", volume)
}

fn volume(context: &Context) -> Result<()> {
    let own = with_volume(context)?;
    let run = mounted(context, &own, "volume", "/mnt/dir");
    let run = run.option("-v", format!("{}:/mnt/file", own.beside("file").display()));
    let ended = run.run(&[
        "read /mnt/dir/from-outside",
        "write /mnt/dir/from-inside hi",
        "read /mnt/file",
    ])?;
    expect("the file in the volume", ended.answer(0)?, r#"ok "hello""#)?;
    expect("a write to it", ended.answer(1)?, "ok")?;
    expect("the file that is a volume", ended.answer(2)?, r#"ok "a file""#)?;
    let written = fs::read_to_string(own.beside("volume/from-inside"))?;
    expect("what is written, outside", &*written, "hi")?;
    ensure!(fs::read_dir(own.path.join("mnt/dir"))?.next().is_none(), "it was written to the root");
    Ok(())
}

fn volume_read_only(context: &Context) -> Result<()> {
    let own = with_volume(context)?;
    let run = mounted(context, &own, "volume", "/mnt/dir:ro");
    let ended = run.run(&["read /mnt/dir/from-outside", "write /mnt/dir/x y"])?;
    expect("the file in the volume", ended.answer(0)?, r#"ok "hello""#)?;
    expect("a write to it", ended.answer(1)?, "EROFS")
}

fn volume_read_only_below(context: &Context) -> Result<()> {
    let own = with_volume(context)?;
    let below = own.beside("volume/below");
    fs::create_dir(&below)?;
    mount(Some("tmpfs"), &below, Some("tmpfs"), MsFlags::empty(), Some("mode=777"))?;
    let run = mounted(context, &own, "volume", "/mnt/dir:ro");
    let ended = run.run(&["write /mnt/dir/x y", "write /mnt/dir/below/x y", "ls /mnt/dir"]);
    umount2(&below, MntFlags::MNT_DETACH)?;
    let ended = ended?;
    expect("a write to the volume", ended.answer(0)?, "EROFS")?;
    expect("a write to the mount below", ended.answer(1)?, "EROFS")
}

fn tmpfs(context: &Context) -> Result<()> {
    let run = context.container().option("--tmpfs", "/usr");
    let container = run.start(&["ls /usr", "write /usr/x y"])?;
    expect("the names in it", &*container.answer(0)?, "ok")?;
    expect("a write to it", &*container.answer(1)?, "ok")?;
    let mounts = mounts(&container)?;
    let mount = at(&mounts, "/usr")?;
    expect("its file system", &*mount.fstype, "tmpfs")?;
    ensure!(mount.has("nosuid") && mount.has("nodev"), "its flags are {:?}", mount.options);
    Ok(())
}

fn read_only_root(context: &Context) -> Result<()> {
    let own = context.scene.own_root()?;
    let run = context.container().root(&own.path).flag("--read-only");
    let container = run.start(&["write /etc/x y", "write /tmp/x y", "write /dev/shm/x y"])?;
    expect("a write to the root", &*container.answer(0)?, "EROFS")?;
    expect("a write to /tmp", &*container.answer(1)?, "ok")?;
    expect("a write to /dev/shm", &*container.answer(2)?, "ok")?;
    let mounts = mounts(&container)?;
    ensure!(at(&mounts, "/")?.options.contains(&"ro".into()), "the mount on / is not ro");
    Ok(())
}

fn targets_stay_in_the_root(context: &Context) -> Result<()> {
    let own = with_volume(context)?;
    let outside = own.directory("outside")?;
    symlink(&outside, own.path.join("out"))?;
    symlink("../../../../../../../..", own.path.join("up"))?;
    let volume = own.beside("volume");
    let run = context
        .container()
        .root(&own.path)
        .option("-v", format!("{}:/out/new", volume.display()))
        .option("-v", format!("{}:/up/climbed", volume.display()));
    let ended = run.run(&["ls /out/new", "ls /climbed"])?;
    expect("the volume behind the link", ended.answer(0)?, "ok from-outside")?;
    expect("the volume behind the climb", ended.answer(1)?, "ok from-outside")?;
    ensure!(fs::read_dir(&outside)?.next().is_none(), "something was made on the host");
    Ok(())
}
