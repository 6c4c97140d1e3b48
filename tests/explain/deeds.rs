//! What the small programs of the test do: each makes one situation and one system call that fails
//! in it.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::wait::waitpid;
use nix::unistd::{self, ForkResult, Gid, Uid, fork, geteuid, pivot_root};
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

/// Why a deed cannot be done here.
pub struct Unfit(pub String);

pub struct Deed {
    pub name: &'static str,
    /// `None`: the loader ends it.
    pub errno: Option<Errno>,
    /// What the reason must name.
    pub words: &'static [&'static str],
    pub unfit: fn() -> Option<Unfit>,
    act: fn() -> Result<()>,
}

/// Does the deed; 125 if it failed, as it should.
pub fn perform(name: &str) -> u8 {
    let all = DEEDS.iter().map(|deed| (deed.name, deed.act)).chain(OTHERS);
    let Some((_, act)) = all.into_iter().find(|(known, _)| *known == name) else { return 99 };
    match act() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("error: {error:#}");
            125
        }
    }
}

// Where we stand.

fn none() -> Option<Unfit> {
    None
}

fn root() -> Option<Unfit> {
    (!geteuid().is_root()).then(|| Unfit("it needs root".into()))
}

fn user() -> Option<Unfit> {
    geteuid().is_root().then(|| Unfit("it needs an ordinary user".into()))
}

fn cgroup2() -> Option<Unfit> {
    let own = own_cgroup("memory");
    own.err().map(|error| Unfit(format!("no cgroup v2 with memory is ours: {error:#}")))
}

fn no_time_namespaces() -> Option<Unfit> {
    let there = Path::new("/proc/self/ns/time").exists();
    there.then(|| Unfit("this kernel has time namespaces".into()))
}

/// A mount namespace of our own with private mounts, as root or in a user namespace.
fn world() -> Result<()> {
    if geteuid().is_root() {
        unshare(CloneFlags::CLONE_NEWNS)?;
    } else {
        user_world(CloneFlags::CLONE_NEWNS)?;
    }
    propagate(MsFlags::MS_PRIVATE)
}

/// A user namespace with others, in which we are root; by whoever we are.
fn user_world(others: CloneFlags) -> Result<()> {
    let (uid, gid) = (unistd::geteuid(), unistd::getegid());
    unshare(CloneFlags::CLONE_NEWUSER | others)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    Ok(())
}

fn propagate(how: MsFlags) -> Result<()> {
    let flags = how | MsFlags::MS_REC;
    Ok(mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?)
}

/// Takes all that root can do.
fn become_nobody() -> Result<()> {
    if geteuid().is_root() {
        unistd::setgroups(&[])?;
        unistd::setresgid(Gid::from_raw(65534), Gid::from_raw(65534), Gid::from_raw(65534))?;
        unistd::setresuid(Uid::from_raw(65534), Uid::from_raw(65534), Uid::from_raw(65534))?;
        // To be looked at by whoever may trace us, as any ordinary program.
        nix::sys::prctl::set_dumpable(true)?;
    }
    Ok(())
}

fn directories(names: &[&str]) -> Result<()> {
    names.iter().try_for_each(fs::create_dir_all).context("cannot make directories")
}

fn bind(from: &str, to: &str) -> Result<()> {
    Ok(mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}

fn tmpfs(at: &str) -> Result<()> {
    directories(&[at])?;
    Ok(mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), None::<&str>)?)
}

fn filesystem(fstype: &str, at: &str, options: &str) -> Result<()> {
    directories(&[at])?;
    Ok(mount(Some(fstype), at, Some(fstype), MsFlags::empty(), Some(options))?)
}

fn mount_setattr(path: &str, attr_set: u64, attr_clr: u64) -> Result<()> {
    let path = CString::new(path)?;
    let attributes = libc::mount_attr { attr_set, attr_clr, propagation: 0, userns_fd: 0 };
    let size = size_of_val(&attributes);
    // SAFETY: the string and the structure outlive the call.
    raw(unsafe {
        let path = path.as_ptr();
        libc::syscall(libc::SYS_mount_setattr, libc::AT_FDCWD, path, 0, &attributes, size)
    })
}

fn raw(result: libc::c_long) -> Result<()> {
    Errno::result(result)?;
    Ok(())
}

/// clone3 with these flags; the child ends at once.
fn clone3(flags: u64, change: impl FnOnce(&mut libc::clone_args)) -> Result<()> {
    // SAFETY: zero is a valid value of every field.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    (args.flags, args.exit_signal) = (flags, libc::SIGCHLD as u64);
    change(&mut args);
    // SAFETY: without CLONE_VM it is a fork of a process with one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &args, size_of_val(&args)) };
    if Errno::result(pid)? == 0 {
        std::process::exit(0);
    }
    Ok(())
}

/// Does the rest in a child, whose exit code becomes ours.
fn in_child(act: impl FnOnce() -> Result<()>) -> Result<()> {
    // SAFETY: this process has one thread.
    match unsafe { fork()? } {
        ForkResult::Child => {
            let code = act().map_or_else(
                |error| {
                    eprintln!("error: {error:#}");
                    125
                },
                |()| 0,
            );
            std::process::exit(code)
        }
        ForkResult::Parent { child } => {
            let status = waitpid(child, None)?;
            std::process::exit(if matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)) {
                0
            } else {
                125
            })
        }
    }
}

/// A child in a user namespace that has no maps yet; `write` is the parent's part.
fn with_user_namespace(write: impl FnOnce(i32) -> Result<()>) -> Result<()> {
    let (ready_here, ready_there) = unistd::pipe()?;
    let (end_here, end_there) = unistd::pipe()?;
    // SAFETY: this process has one thread.
    match unsafe { fork()? } {
        ForkResult::Child => {
            drop(end_there);
            let made = unshare(CloneFlags::CLONE_NEWUSER).is_ok();
            let _ = unistd::write(&ready_there, &[made as u8]);
            let _ = unistd::read(&end_here, &mut [0]);
            std::process::exit(0)
        }
        ForkResult::Parent { child } => {
            unistd::read(&ready_here, &mut [0])?;
            let done = write(child.as_raw());
            drop(end_there);
            waitpid(child, None)?;
            done
        }
    }
}

fn write_map(pid: i32, file: &str, text: &str) -> Result<()> {
    fs::write(format!("/proc/{pid}/{file}"), text).with_context(|| format!("cannot write {file}"))
}

fn program(path: &str, text: &[u8], mode: u32) -> Result<()> {
    if let Some(above) = Path::new(path).parent() {
        fs::create_dir_all(above)?;
    }
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

fn execute(path: &str) -> Result<()> {
    let path = CString::new(path)?;
    unistd::execve(&path, &[path.as_c_str()], &[] as &[CString])?;
    Ok(())
}

/// Where we may make cgroups with a controller, and the directory of one that is new.
fn own_cgroup(controller: &str) -> Result<std::path::PathBuf> {
    let mounts = evidence::mountinfo::parse(&fs::read_to_string("/proc/self/mountinfo")?);
    let mount = mounts.iter().find(|it| it.fstype == "cgroup2").context("no cgroup2 is mounted")?;
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).context("no v2")?;
    let own = Path::new(&mount.point).join(own.trim_start_matches('/'));
    let hands = |dir: &&Path| {
        let list = fs::read_to_string(dir.join("cgroup.subtree_control")).unwrap_or_default();
        list.split_whitespace().any(|it| it == controller)
            && unistd::access(*dir, unistd::AccessFlags::W_OK).is_ok()
    };
    let visible = own.ancestors().take_while(|dir| dir.starts_with(&mount.point));
    Ok(visible.into_iter().find(hands).context("no cgroup hands it down")?.to_owned())
}

/// A cgroup that goes when the deed is over.
struct Group(std::path::PathBuf);

impl Group {
    fn new() -> Result<Group> {
        let dir = own_cgroup("memory")?.join(format!("explain-{}", std::process::id()));
        fs::create_dir(&dir)?;
        Ok(Group(dir))
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.0.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn child(&self, name: &str) -> Result<()> {
        Ok(fs::create_dir(self.0.join(name))?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        if own.contains("explain-")
            && let Some(above) = self.0.parent()
        {
            let _ = fs::write(above.join("cgroup.procs"), "0");
            let _ = fs::create_dir(above.join("explain-rest"));
            let _ = fs::write(above.join("explain-rest/cgroup.procs"), "0");
        }
        // The last call that fails is the one that is explained: this must not be it.
        for dir in
            ["a/b", "a", ""].map(|child| self.0.join(child)).iter().filter(|dir| dir.exists())
        {
            let _ = fs::remove_dir(dir);
        }
    }
}

/// A sleeping process in `group`, gone when `act` is done.
fn with_sleeper(group: &Group, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut child = std::process::Command::new("sleep").arg("60").spawn()?;
    let joined = group.write("cgroup.procs", &child.id().to_string());
    let done = joined.and_then(|()| act());
    child.kill()?;
    child.wait()?;
    done
}

// seccomp: load the call's number, decide, answer.

const LOAD: u16 = 0x20;
const RETURN: u16 = 0x06;
const JUMP_IF_EQUAL: u16 = 0x15;

fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

fn install(mut program: Vec<libc::sock_filter>) -> Result<()> {
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program outlives the call.
    raw(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &filter) })
}

/// From now on `call` gives `errno`.
fn filter(call: i64, errno: Errno) -> Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    install(vec![
        instruction(LOAD, 0, 0, 0),
        instruction(JUMP_IF_EQUAL, call as u32, 0, 1),
        instruction(RETURN, libc::SECCOMP_RET_ERRNO | errno as u32, 0, 0),
        instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ])
}

fn no_new_privs() -> Result<()> {
    Ok(nix::sys::prctl::set_no_new_privs()?)
}

/// Overlay through mount(2), with directories made before.
fn overlay(options: &str) -> Result<()> {
    world()?;
    filesystem_of_overlay()?;
    mount(Some("overlay"), "w/merged", Some("overlay"), MsFlags::empty(), Some(options))?;
    Ok(())
}

fn filesystem_of_overlay() -> Result<()> {
    tmpfs("w")?;
    directories(&["w/lower", "w/lower2", "w/upper", "w/work", "w/merged", "w/other"])
}

macro_rules! deed {
    ($name:literal, $errno:ident, [$($word:literal),*], $unfit:expr, $act:expr) => {
        Deed {
            name: $name,
            errno: Some(Errno::$errno),
            words: &[$($word),*],
            unfit: $unfit,
            act: $act,
        }
    };
}

pub const DEEDS: &[Deed] = &[
    deed!(
        "pivot: a directory on a tmpfs",
        EINVAL,
        ["/dir is not a mount point", "no line for it"],
        none,
        || {
            world()?;
            tmpfs("t")?;
            directories(&["t/dir/old"])?;
            Ok(pivot_root("t/dir", "t/dir/old")?)
        }
    ),
    deed!(
        "pivot: the parent is shared",
        EINVAL,
        ["new_root is mounted on", "shared:"],
        none,
        || {
            world()?;
            directories(&["new/old"])?;
            bind("new", "new")?;
            propagate(MsFlags::MS_SHARED)?;
            mount(None::<&str>, "new", None::<&str>, MsFlags::MS_PRIVATE, None::<&str>)?;
            Ok(pivot_root("new", "new/old")?)
        }
    ),
    deed!("pivot: put_old is shared", EINVAL, ["put_old", "shared:"], none, || {
        world()?;
        directories(&["new/old"])?;
        bind("new", "new")?;
        mount(None::<&str>, "new", None::<&str>, MsFlags::MS_SHARED, None::<&str>)?;
        Ok(pivot_root("new", "new/old")?)
    }),
    deed!("pivot: after chroot", EINVAL, ["which is no mount point", "chroot"], none, || {
        world()?;
        tmpfs("t")?;
        directories(&["t/jail/new/old"])?;
        // Not on the mount that / is on.
        unistd::chroot("t/jail")?;
        unistd::chdir("/")?;
        tmpfs("/new")?;
        directories(&["/new/old"])?;
        Ok(pivot_root("/new", "/new/old")?)
    }),
    deed!(
        "pivot: put_old elsewhere",
        EINVAL,
        ["put_old", "is not at or below new_root"],
        none,
        || {
            world()?;
            tmpfs("new")?;
            tmpfs("old")?;
            Ok(pivot_root("new", "old")?)
        }
    ),
    deed!(
        "pivot: a directory of / in a user namespace",
        EINVAL,
        ["/usr is not a mount point"],
        none,
        || {
            user_world(CloneFlags::CLONE_NEWNS)?;
            propagate(MsFlags::MS_PRIVATE)?;
            Ok(pivot_root("/usr", "/usr")?)
        }
    ),
    deed!("pivot: a locked mount", EINVAL, ["is locked in its place", "ruled out"], root, || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        propagate(MsFlags::MS_PRIVATE)?;
        tmpfs("t")?;
        directories(&["t/old"])?;
        user_world(CloneFlags::CLONE_NEWNS)?;
        propagate(MsFlags::MS_PRIVATE)?;
        Ok(pivot_root("t", "t/old")?)
    }),
    deed!(
        "pivot: new_root is a directory of /",
        EBUSY,
        ["new_root", "is not a mount point"],
        root,
        || {
            world()?;
            // The stage's directories are on mounts of their own.
            Ok(pivot_root("/usr", "/usr")?)
        }
    ),
    deed!("pivot: put_old is on /", EBUSY, ["put_old, /usr"], none, || {
        world()?;
        tmpfs("new")?;
        Ok(pivot_root("new", "/usr")?)
    }),
    deed!("pivot: without rights", EPERM, ["no CAP_SYS_ADMIN"], none, || {
        become_nobody()?;
        Ok(pivot_root("/", "/")?)
    }),
    deed!("pivot: no such directory", ENOENT, ["new_root", "/nowhere"], none, || {
        world()?;
        Ok(pivot_root("nowhere", "nowhere")?)
    }),
    deed!("mount: nobody", EPERM, ["no CAP_SYS_ADMIN", "CapEff"], none, || {
        become_nobody()?;
        Ok(mount(Some("x"), "/tmp", Some("tmpfs"), MsFlags::empty(), None::<&str>)?)
    }),
    deed!(
        "mount: root of a user namespace, host's mounts",
        EPERM,
        ["belongs to a user namespace above", "mnt:["],
        none,
        || {
            user_world(CloneFlags::empty())?;
            Ok(mount(Some("x"), "/tmp", Some("tmpfs"), MsFlags::empty(), None::<&str>)?)
        }
    ),
    deed!(
        "mount: a locked flag, mount_setattr",
        EPERM,
        ["locked", "would clear nodev"],
        root,
        || {
            unshare(CloneFlags::CLONE_NEWNS)?;
            propagate(MsFlags::MS_PRIVATE)?;
            directories(&["t"])?;
            mount(Some("t"), "t", Some("tmpfs"), MsFlags::MS_NODEV, None::<&str>)?;
            user_world(CloneFlags::CLONE_NEWNS)?;
            mount_setattr("t", 0, libc::MS_NODEV)
        }
    ),
    deed!("mount: a locked flag", EPERM, ["locked", "would clear nosuid"], root, || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        propagate(MsFlags::MS_PRIVATE)?;
        directories(&["t"])?;
        mount(Some("t"), "t", Some("tmpfs"), MsFlags::MS_NOSUID, None::<&str>)?;
        user_world(CloneFlags::CLONE_NEWNS)?;
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        Ok(mount(None::<&str>, "t", None::<&str>, flags, None::<&str>)?)
    }),
    deed!("mount: locked children", EINVAL, ["locked to it", "t/hidden"], root, || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        propagate(MsFlags::MS_PRIVATE)?;
        tmpfs("t")?;
        tmpfs("t/hidden")?;
        directories(&["target"])?;
        user_world(CloneFlags::CLONE_NEWNS)?;
        bind("t", "target")
    }),
    deed!("mount: open_tree without recursion", EINVAL, ["locked to it"], root, || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        propagate(MsFlags::MS_PRIVATE)?;
        tmpfs("t")?;
        tmpfs("t/hidden")?;
        user_world(CloneFlags::CLONE_NEWNS)?;
        open_tree(CWD, "t", OpenTreeFlags::OPEN_TREE_CLONE)?;
        Ok(())
    }),
    deed!("mount: unmount what is locked", EINVAL, ["is locked", "hides"], root, || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        propagate(MsFlags::MS_PRIVATE)?;
        tmpfs("t")?;
        user_world(CloneFlags::CLONE_NEWNS)?;
        Ok(nix::mount::umount("t")?)
    }),
    deed!(
        "mount: private, but no mount point",
        EINVAL,
        ["is not a mount point", "plain"],
        none,
        || {
            world()?;
            directories(&["plain"])?;
            Ok(mount(None::<&str>, "plain", None::<&str>, MsFlags::MS_PRIVATE, None::<&str>)?)
        }
    ),
    deed!("mount: remount of no mount point", EINVAL, ["is not a mount point"], none, || {
        world()?;
        directories(&["plain"])?;
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        Ok(mount(None::<&str>, "plain", None::<&str>, flags, None::<&str>)?)
    }),
    deed!("mount: unmount of no mount point", EINVAL, ["is not a mount point"], none, || {
        world()?;
        directories(&["plain"])?;
        Ok(nix::mount::umount("plain")?)
    }),
    deed!(
        "mount: moved from a shared parent",
        EINVAL,
        ["which is shared", "moved away"],
        none,
        || {
            world()?;
            tmpfs("t")?;
            mount(None::<&str>, "t", None::<&str>, MsFlags::MS_SHARED, None::<&str>)?;
            tmpfs("t/inner")?;
            directories(&["target"])?;
            Ok(mount(Some("t/inner"), "target", None::<&str>, MsFlags::MS_MOVE, None::<&str>)?)
        }
    ),
    deed!(
        "mount: move_mount of no mount point",
        EINVAL,
        ["source", "is not a mount point"],
        none,
        || {
            world()?;
            directories(&["plain", "target"])?;
            Ok(move_mount(CWD, "plain", CWD, "target", MoveMountFlags::empty())?)
        }
    ),
    deed!("mount: mount_setattr of no mount point", EINVAL, ["is not a mount point"], none, || {
        world()?;
        directories(&["plain"])?;
        mount_setattr("plain", 1, 0)
    }),
    deed!(
        "mount: a source of another namespace",
        EINVAL,
        ["another mount namespace", "has no such mount"],
        none,
        || {
            world()?;
            tmpfs("t")?;
            let outside = fs::File::open("t")?;
            unshare(CloneFlags::CLONE_NEWNS)?;
            directories(&["target"])?;
            let name = format!("/proc/self/fd/{}", outside.as_raw_fd());
            bind(&name, "target")
        }
    ),
    deed!(
        "mount: open_tree in another namespace",
        EINVAL,
        ["another mount namespace"],
        none,
        || {
            world()?;
            let outside = fs::File::open("/usr")?;
            unshare(CloneFlags::CLONE_NEWNS)?;
            open_tree(&outside, "", OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_EMPTY_PATH)?;
            Ok(())
        }
    ),
    deed!("mount: unbindable", EINVAL, ["unbindable"], none, || {
        world()?;
        tmpfs("t")?;
        mount(None::<&str>, "t", None::<&str>, MsFlags::MS_UNBINDABLE, None::<&str>)?;
        directories(&["target"])?;
        bind("t", "target")
    }),
    deed!("mount: no source", ENOENT, ["source", "/nowhere", "no such file"], none, || {
        world()?;
        directories(&["target"])?;
        bind("nowhere", "target")
    }),
    deed!("mount: no target", ENOENT, ["target", "/nowhere", "no such file"], none, || {
        world()?;
        directories(&["source"])?;
        bind("source", "nowhere")
    }),
    deed!("mount: a file on a directory", ENOTDIR, ["is a file", "is a directory"], none, || {
        world()?;
        directories(&["target"])?;
        fs::write("file", "")?;
        bind("file", "target")
    }),
    deed!("mount: through a file", ENOTDIR, ["is no directory", "/file"], none, || {
        world()?;
        fs::write("file", "")?;
        directories(&["source"])?;
        bind("source", "file/below")
    }),
    deed!("mount: busy by a file", EBUSY, ["is in use", "has a file of it open"], none, || {
        world()?;
        tmpfs("t")?;
        let _open = fs::File::create("t/file")?;
        Ok(nix::mount::umount("t")?)
    }),
    deed!("mount: busy by a mount", EBUSY, ["other mounts are on", "t/inner"], none, || {
        world()?;
        tmpfs("t")?;
        tmpfs("t/inner")?;
        Ok(nix::mount::umount("t")?)
    }),
    deed!(
        "mount: nothing is found out",
        EINVAL,
        ["was not found out", "Ruled out: the target is no mount point"],
        none,
        || {
            world()?;
            directories(&["source", "target"])?;
            filter(libc::SYS_mount, Errno::EINVAL)?;
            bind("source", "target")
        }
    ),
    deed!("mount: a filter", EPERM, ["seccomp filter", "nothing else was found"], none, || {
        world()?;
        filter(libc::SYS_mount, Errno::EPERM)?;
        tmpfs("t")
    }),
    deed!("new: no such filesystem", ENODEV, ["no filesystem \"nofs\""], none, || {
        world()?;
        filesystem("nofs", "t", "")
    }),
    deed!("new: no such filesystem, fsopen", ENODEV, ["no filesystem \"nofs\""], none, || {
        world()?;
        fsopen("nofs", FsOpenFlags::empty())?;
        Ok(())
    }),
    deed!("new: an unknown option", EINVAL, ["Unknown parameter", "nonsense"], none, || {
        world()?;
        let context = fsopen("tmpfs", FsOpenFlags::empty())?;
        Ok(fsconfig_set_string(context.as_fd(), "nonsense", "7")?)
    }),
    deed!("new: not for user namespaces", EPERM, ["may not mount ext4"], none, || {
        user_world(CloneFlags::CLONE_NEWNS)?;
        propagate(MsFlags::MS_PRIVATE)?;
        filesystem("ext4", "t", "")
    }),
    deed!(
        "new: proc without a PID namespace",
        EPERM,
        ["proc shows the pid namespace", "belongs to a user namespace above"],
        none,
        || {
            user_world(CloneFlags::CLONE_NEWNS)?;
            propagate(MsFlags::MS_PRIVATE)?;
            filesystem("proc", "t", "")
        }
    ),
    deed!(
        "new: sysfs without a network namespace",
        EPERM,
        ["sysfs shows the net namespace"],
        none,
        || {
            user_world(CloneFlags::CLONE_NEWNS)?;
            propagate(MsFlags::MS_PRIVATE)?;
            filesystem("sysfs", "t", "")
        }
    ),
    deed!(
        "new: proc is masked",
        EPERM,
        ["too revealing", "/proc/sys", "mounted over"],
        root,
        || {
            unshare(CloneFlags::CLONE_NEWNS)?;
            propagate(MsFlags::MS_PRIVATE)?;
            bind("/proc/sys", "/proc/sys")?;
            user_world(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID)?;
            in_child(|| filesystem("proc", "t", ""))
        }
    ),
    deed!("new: sysfs is masked", EPERM, ["too revealing", "/sys/block"], root, || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        propagate(MsFlags::MS_PRIVATE)?;
        mount(Some("t"), "/sys/block", Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
        user_world(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
        filesystem("sysfs", "t", "")
    }),
    deed!("new: proc is masked, fsmount", EPERM, ["too revealing"], root, || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        propagate(MsFlags::MS_PRIVATE)?;
        bind("/proc/sys", "/proc/sys")?;
        user_world(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID)?;
        in_child(|| {
            let context = fsopen("proc", FsOpenFlags::empty())?;
            fsconfig_create(context.as_fd())?;
            fsmount(context.as_fd(), FsMountFlags::empty(), MountAttrFlags::empty())?;
            Ok(())
        })
    }),
    deed!(
        "overlay: no lower directory",
        ENOENT,
        ["lowerdir of the overlay", "w/nowhere"],
        none,
        || { overlay("lowerdir=w/nowhere,upperdir=w/upper,workdir=w/work") }
    ),
    deed!(
        "overlay: upper and work apart",
        EINVAL,
        ["must be on one mount", "w/other"],
        none,
        || {
            world()?;
            filesystem_of_overlay()?;
            tmpfs("w/other")?;
            directories(&["w/other/work"])?;
            filesystem(
                "overlay",
                "w/merged",
                "lowerdir=w/lower,upperdir=w/upper,workdir=w/other/work",
            )
        }
    ),
    deed!("overlay: work within upper", EINVAL, ["must not lie in each other"], none, || {
        world()?;
        filesystem_of_overlay()?;
        directories(&["w/upper/work"])?;
        filesystem("overlay", "w/merged", "lowerdir=w/lower,upperdir=w/upper,workdir=w/upper/work")
    }),
    deed!("overlay: upper without work", EINVAL, ["upperdir and no workdir"], none, || {
        overlay("lowerdir=w/lower,upperdir=w/upper")
    }),
    deed!(
        "overlay: lower is upper",
        ELOOP,
        ["lowerdir=", "upperdir=", "are one directory"],
        none,
        || { overlay("lowerdir=w/upper,upperdir=w/upper,workdir=w/work") }
    ),
    deed!(
        "overlay: a work directory that is left",
        EINVAL,
        ["is not empty", "holds volatile"],
        none,
        || {
            world()?;
            filesystem_of_overlay()?;
            directories(&["w/work/work/incompat/volatile"])?;
            filesystem("overlay", "w/merged", "lowerdir=w/lower,upperdir=w/upper,workdir=w/work")
        }
    ),
    deed!("overlay: upper is an overlay", EINVAL, ["cannot be the upper layer"], none, || {
        world()?;
        filesystem_of_overlay()?;
        filesystem(
            "overlay",
            "w/merged",
            "lowerdir=w/lower,upperdir=w/upper,workdir=w/work,userxattr",
        )?;
        directories(&["w/merged/u", "w/merged/w", "w/second"])?;
        filesystem(
            "overlay",
            "w/second",
            "lowerdir=w/lower2,upperdir=w/merged/u,workdir=w/merged/w",
        )
    }),
    deed!("overlay: an unknown option, by descriptor", EINVAL, ["nonsense"], none, || {
        world()?;
        filesystem_of_overlay()?;
        let context = fsopen("overlay", FsOpenFlags::empty())?;
        fsconfig_set_string(context.as_fd(), "lowerdir", "w/lower")?;
        fsconfig_set_flag(context.as_fd(), "nonsense")?;
        // Before Linux 6.5, options are read when it is created.
        Ok(fsconfig_create(context.as_fd())?)
    }),
    deed!("overlay: apart, by descriptor", EINVAL, ["must be on one mount"], none, || {
        world()?;
        filesystem_of_overlay()?;
        tmpfs("w/other")?;
        let context = fsopen("overlay", FsOpenFlags::empty())?;
        for (key, value) in
            [("lowerdir", "w/lower"), ("upperdir", "w/upper"), ("workdir", "w/other")]
        {
            fsconfig_set_string(context.as_fd(), key, value)?;
        }
        Ok(fsconfig_create(context.as_fd())?)
    }),
    deed!("namespace: nobody", EPERM, ["needs CAP_SYS_ADMIN", "no CAP_SYS_ADMIN"], none, || {
        become_nobody()?;
        clone3(libc::CLONE_NEWUTS as u64, |_| {})
    }),
    deed!("namespace: nobody, unshare", EPERM, ["needs CAP_SYS_ADMIN"], none, || {
        become_nobody()?;
        Ok(unshare(CloneFlags::CLONE_NEWNET)?)
    }),
    deed!("namespace: a user namespace in a chroot", EPERM, ["changed by chroot"], none, || {
        world()?;
        directories(&["jail"])?;
        unistd::chroot("jail")?;
        Ok(unshare(CloneFlags::CLONE_NEWUSER)?)
    }),
    deed!(
        "namespace: a user namespace without a map",
        EPERM,
        ["uid_map does not name its own id", "never written"],
        none,
        || {
            unshare(CloneFlags::CLONE_NEWUSER)?;
            Ok(unshare(CloneFlags::CLONE_NEWUSER)?)
        }
    ),
    deed!(
        "namespace: flags that exclude each other",
        EINVAL,
        ["CLONE_NEWNS and CLONE_FS exclude each other"],
        none,
        || { clone3((libc::CLONE_NEWNS | libc::CLONE_FS) as u64, |_| {}) }
    ),
    deed!(
        "namespace: the signal in the flags",
        EINVAL,
        ["lowest byte of flags is 0x11"],
        none,
        || { clone3(libc::SIGCHLD as u64, |args| args.exit_signal = 0) }
    ),
    deed!("namespace: half a stack", EINVAL, ["both must be given"], none, || {
        clone3(0, |args| args.stack_size = 4096)
    }),
    deed!("namespace: threads", EINVAL, ["has 2 threads"], none, || {
        std::thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || receiver.recv());
            let done = unshare(CloneFlags::CLONE_NEWUSER);
            drop(sender);
            Ok(done?)
        })
    }),
    deed!(
        "namespace: no time namespaces",
        EINVAL,
        ["no time namespaces"],
        no_time_namespaces,
        || { raw(unshare_raw(0x80)) }
    ),
    deed!("namespace: a limit", ENOSPC, ["max_uts_namespaces is 0"], none, || {
        user_world(CloneFlags::empty())?;
        fs::write("/proc/sys/user/max_uts_namespaces", "0").context("cannot set the limit")?;
        Ok(unshare(CloneFlags::CLONE_NEWUTS)?)
    }),
    deed!("namespace: another limit", ENOSPC, ["max_net_namespaces is 0"], none, || {
        user_world(CloneFlags::empty())?;
        fs::write("/proc/sys/user/max_net_namespaces", "0").context("cannot set the limit")?;
        clone3((libc::CLONE_NEWNET | libc::CLONE_NEWUTS) as u64, |_| {})
    }),
    deed!("namespace: too deep", ENOSPC, ["user namespaces below ours already"], none, || {
        loop {
            user_world(CloneFlags::empty())?;
        }
    }),
    deed!("namespace: a filter", ENOSYS, ["has clone3", "seccomp filter"], none, || {
        filter(libc::SYS_clone3, Errno::ENOSYS)?;
        clone3(0, |_| {})
    }),
    deed!(
        "namespace: joined as another kind",
        EINVAL,
        ["is a uts namespace", "CLONE_NEWNET"],
        none,
        || {
            user_world(CloneFlags::empty())?;
            let uts = fs::File::open("/proc/self/ns/uts")?;
            Ok(nix::sched::setns(uts, CloneFlags::CLONE_NEWNET)?)
        }
    ),
    deed!("namespace: its own user namespace", EINVAL, ["own user namespace"], none, || {
        let own = fs::File::open("/proc/self/ns/user")?;
        Ok(nix::sched::setns(own, CloneFlags::CLONE_NEWUSER)?)
    }),
    deed!("namespace: joined by nobody", EPERM, ["no CAP_SYS_ADMIN"], none, || {
        become_nobody()?;
        let uts = fs::File::open("/proc/self/ns/uts")?;
        Ok(nix::sched::setns(uts, CloneFlags::CLONE_NEWUTS)?)
    }),
    deed!(
        "namespace: joined from a user namespace",
        EPERM,
        ["belongs to another user namespace"],
        none,
        || {
            user_world(CloneFlags::empty())?;
            let uts = fs::File::open("/proc/self/ns/uts")?;
            Ok(nix::sched::setns(uts, CloneFlags::CLONE_NEWUTS)?)
        }
    ),
    deed!("map: twice", EPERM, ["written already"], none, || {
        let uid = geteuid();
        with_user_namespace(|pid| {
            write_map(pid, "uid_map", &format!("0 {uid} 1"))?;
            write_map(pid, "uid_map", &format!("0 {uid} 1"))
        })
    }),
    deed!("map: setgroups allowed", EPERM, ["setgroups of that process says allow"], none, || {
        become_nobody()?;
        let gid = unistd::getegid();
        with_user_namespace(|pid| write_map(pid, "gid_map", &format!("0 {gid} 1")))
    }),
    deed!("map: two ids", EPERM, ["2 ids in 1 lines", "no CAP_SETUID"], none, || {
        become_nobody()?;
        let uid = geteuid();
        with_user_namespace(|pid| write_map(pid, "uid_map", &format!("0 {uid} 2")))
    }),
    deed!("map: another's id", EPERM, ["maps id 4242", "the writer's own is"], none, || {
        become_nobody()?;
        with_user_namespace(|pid| write_map(pid, "uid_map", "0 4242 1"))
    }),
    deed!("map: not a child's", EPERM, ["which is not a child of it"], none, || {
        // The grandchild's map is its parent's to write, not ours.
        let (here, there) = unistd::pipe()?;
        // SAFETY: this process has one thread.
        match unsafe { fork()? } {
            ForkResult::Child => {
                drop(here);
                user_world(CloneFlags::empty())?;
                unshare(CloneFlags::CLONE_NEWUSER)?;
                unistd::write(&there, &[1])?;
                std::thread::sleep(std::time::Duration::from_secs(20));
                Ok(())
            }
            ForkResult::Parent { child } => {
                unistd::read(&here, &mut [0])?;
                let done = write_map(child.as_raw(), "uid_map", "0 0 1");
                nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL)?;
                waitpid(child, None)?;
                done
            }
        }
    }),
    deed!("map: setgroups after gid_map", EPERM, ["gid_map is written already"], root, || {
        with_user_namespace(|pid| {
            write_map(pid, "gid_map", "0 0 1")?;
            write_map(pid, "setgroups", "deny")
        })
    }),
    deed!("map: no numbers", EINVAL, ["is not three numbers"], none, || {
        with_user_namespace(|pid| write_map(pid, "uid_map", "0 root 1"))
    }),
    deed!("map: lines that overlap", EINVAL, ["overlap inside"], root, || {
        with_user_namespace(|pid| write_map(pid, "uid_map", "0 1000 10\n5 2000 10\n"))
    }),
    deed!(
        "cgroup: processes in it",
        EBUSY,
        ["holds 1 processes", "no internal processes"],
        cgroup2,
        || {
            let group = Group::new()?;
            with_sleeper(&group, || group.write("cgroup.subtree_control", "+memory"))
        }
    ),
    deed!("cgroup: a process into an inner one", EBUSY, ["hands down memory"], cgroup2, || {
        let group = Group::new()?;
        group.write("cgroup.subtree_control", "+memory")?;
        with_sleeper(&group, || Ok(()))
    }),
    deed!("cgroup: removed with a process", EBUSY, ["holds 1 processes"], cgroup2, || {
        let group = Group::new()?;
        with_sleeper(&group, || Ok(fs::remove_dir(&group.0)?))
    }),
    deed!(
        "cgroup: a controller that is not there",
        ENOENT,
        ["has not the controller memory", "hands down only ["],
        cgroup2,
        || {
            let group = Group::new()?;
            group.child("a")?;
            fs::write(group.0.join("a/cgroup.subtree_control"), "+memory")
                .context("cannot hand down")
        }
    ),
    deed!(
        "cgroup: a file that is not there",
        ENOENT,
        ["has no file memory.max", "hands down []", "and could"],
        cgroup2,
        || {
            let group = Group::new()?;
            group.child("a")?;
            fs::OpenOptions::new()
                .write(true)
                .open(group.0.join("a/memory.max"))
                .context("no limit")?;
            Ok(())
        }
    ),
    deed!("cgroup: a value", EINVAL, ["does not take \"much\""], cgroup2, || {
        Group::new()?.write("memory.max", "much")
    }),
    deed!("cgroup: a controller without a sign", EINVAL, ["neither + nor -"], cgroup2, || {
        Group::new()?.write("cgroup.subtree_control", "memory")
    }),
    deed!("cgroup: threaded", EOPNOTSUPP, ["cgroup.type", "threaded"], cgroup2, || {
        let group = Group::new()?;
        group.child("a")?;
        fs::write(group.0.join("a/cgroup.type"), "threaded")?;
        // Beside a threaded one nothing is usable until it is threaded too.
        group.child("a/b")?;
        fs::write(group.0.join("a/b/cgroup.procs"), "0").context("cannot join")
    }),
    deed!("cgroup: nobody", EACCES, ["may not write there", "not delegated"], cgroup2, || {
        let group = Group::new()?;
        in_child(move || {
            let group = std::mem::ManuallyDrop::new(group);
            become_nobody()?;
            group.child("a")
        })
    }),
    deed!("cgroup: read-only", EROFS, ["is mounted read-only"], cgroup2, || {
        let above = own_cgroup("memory")?;
        world()?;
        directories(&["c"])?;
        bind(&above.display().to_string(), "c")?;
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(None::<&str>, "c", None::<&str>, flags, None::<&str>)?;
        directories(&["c/new"])
    }),
    deed!("seccomp: without no_new_privs", EACCES, ["NoNewPrivs is 0"], none, || {
        become_nobody()?;
        install(vec![instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0)])
    }),
    deed!("seccomp: no instruction", EINVAL, ["has no instruction"], none, || {
        no_new_privs()?;
        install(vec![])
    }),
    deed!("seccomp: no return", EINVAL, ["is no return"], none, || {
        no_new_privs()?;
        install(vec![instruction(LOAD, 0, 0, 0)])
    }),
    deed!("seccomp: a jump too far", EINVAL, ["instruction 1 jumps 7 further"], none, || {
        no_new_privs()?;
        install(vec![
            instruction(LOAD, 0, 0, 0),
            instruction(JUMP_IF_EQUAL, 1, 7, 0),
            instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
        ])
    }),
    deed!("seccomp: a wrong offset", EINVAL, ["loads from offset 66"], none, || {
        no_new_privs()?;
        install(vec![
            instruction(LOAD, 66, 0, 0),
            instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
        ])
    }),
    deed!(
        "seccomp: a forbidden instruction",
        EINVAL,
        ["instruction 0 has code 0x28"],
        none,
        || {
            no_new_privs()?;
            install(vec![
                instruction(0x28, 0, 0, 0),
                instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
            ])
        }
    ),
    // What a change of user ids does to a process as well, capabilities(7).
    deed!("exec: not dumpable", ENOENT, ["cannot be seen", "not dumpable"], user, || {
        prctl::set_dumpable(false)?;
        execute("program")
    }),
    deed!("exec: no file", ENOENT, ["path of \"program\"", "no such file"], none, || execute(
        "bin/program"
    )),
    deed!(
        "exec: no interpreter",
        ENOENT,
        ["exists; its first line asks", "/no/such/shell"],
        none,
        || {
            program("script", b"#!/no/such/shell -e\n", 0o755)?;
            execute("./script")
        }
    ),
    deed!("exec: a carriage return", ENOENT, ["carriage return"], none, || {
        program("script", b"#!/bin/sh\r\necho\r\n", 0o755)?;
        execute("./script")
    }),
    deed!("exec: no loader", ENOENT, ["linked dynamically", "asks for the loader"], none, || {
        world()?;
        tmpfs("r")?;
        directories(&["r/bin"])?;
        fs::copy("/bin/sleep", "r/bin/sleep")?;
        unistd::chroot("r")?;
        execute("/bin/sleep")
    }),
    Deed {
        name: "exec: no library",
        errno: None,
        words: &["libc.so.6 is not", "error while loading shared libraries"],
        unfit: none,
        act: || {
            world()?;
            tmpfs("r")?;
            directories(&["r/bin", "r/lib64", "r/lib"])?;
            fs::copy("/bin/sleep", "r/bin/sleep")?;
            let loader = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
            let loader =
                loader.into_iter().find(|it| Path::new(it).exists()).context("no loader")?;
            fs::copy(loader, format!("r{loader}"))?;
            unistd::chroot("r")?;
            execute("/bin/sleep")
        },
    },
    deed!(
        "exec: no format",
        ENOEXEC,
        ["neither an ELF program nor a script", "echo"],
        none,
        || {
            program("script", b"echo without a first line\n", 0o755)?;
            execute("./script")
        }
    ),
    deed!("exec: another processor", ENOEXEC, ["another processor"], none, || {
        let mut elf = fs::read("/proc/self/exe")?;
        elf[18] ^= 0x40;
        program("foreign", &elf[..4096], 0o755)?;
        execute("./foreign")
    }),
    deed!("exec: empty", ENOEXEC, ["is empty"], none, || {
        program("empty", b"", 0o755)?;
        execute("./empty")
    }),
    deed!("exec: no x", EACCES, ["has mode 644", "no x for the process"], none, || {
        program("script", b"#!/bin/sh\n", 0o644)?;
        execute("./script")
    }),
    deed!("exec: a directory", EACCES, ["is a directory"], none, || {
        directories(&["bin"])?;
        execute("./bin")
    }),
    deed!("exec: noexec", EACCES, ["noexec", "options in /proc/PID/mountinfo"], none, || {
        world()?;
        directories(&["t"])?;
        mount(Some("t"), "t", Some("tmpfs"), MsFlags::MS_NOEXEC, None::<&str>)?;
        program("t/script", b"#!/bin/sh\n", 0o755)?;
        execute("t/script")
    }),
    deed!(
        "exec: a closed directory",
        EACCES,
        ["the directory", "closed has mode 6", "no x there"],
        none,
        || {
            program("closed/script", b"#!/bin/sh\n", 0o755)?;
            fs::set_permissions("closed", fs::Permissions::from_mode(0o600))?;
            become_nobody()?;
            execute("closed/script")
        }
    ),
    deed!(
        "exec: an interpreter without x",
        EACCES,
        ["asks for the interpreter", "has mode 644"],
        none,
        || {
            program("shell", b"", 0o644)?;
            let shell = format!("#!{}/shell\n", std::env::current_dir()?.display());
            program("script", shell.as_bytes(), 0o755)?;
            execute("./script")
        }
    ),
    deed!("exec: links in a circle", ELOOP, ["symbolic links"], none, || {
        symlink("b", "a")?;
        symlink("a", "b")?;
        execute("./a")
    }),
    deed!("exec: scripts of scripts", ELOOP, ["names another script"], none, || {
        let here = std::env::current_dir()?.display().to_string();
        for number in 0..7 {
            program(
                &format!("s{number}"),
                format!("#!{here}/s{}\n", number + 1).as_bytes(),
                0o755,
            )?;
        }
        program("s7", b"#!/bin/sh\n", 0o755)?;
        execute("./s0")
    }),
    deed!("exec: open for writing", ETXTBSY, ["is open for writing in process"], none, || {
        program("script", &fs::read("/proc/self/exe")?, 0o755)?;
        let _open = fs::OpenOptions::new().append(true).open("script")?;
        execute("./script")
    }),
    deed!("id: sethostname by nobody", EPERM, ["no CAP_SYS_ADMIN"], none, || {
        become_nobody()?;
        Ok(unistd::sethostname("x")?)
    }),
    deed!(
        "id: sethostname of the host",
        EPERM,
        ["UTS namespace", "belongs to a user namespace above"],
        none,
        || {
            user_world(CloneFlags::empty())?;
            Ok(unistd::sethostname("x")?)
        }
    ),
    deed!("id: a long name", EINVAL, ["65 bytes"], none, || {
        user_world(CloneFlags::CLONE_NEWUTS)?;
        Ok(unistd::sethostname("x".repeat(65))?)
    }),
    deed!("id: chroot by nobody", EPERM, ["no CAP_SYS_CHROOT"], none, || {
        become_nobody()?;
        Ok(unistd::chroot("/")?)
    }),
    deed!(
        "id: chroot through a closed directory",
        EACCES,
        ["closed has mode 600", "no x there"],
        none,
        || {
            directories(&["closed/root"])?;
            fs::set_permissions("closed", fs::Permissions::from_mode(0o600))?;
            become_nobody()?;
            Ok(unistd::chroot("closed/root")?)
        }
    ),
    deed!("id: chroot to nowhere", ENOENT, ["/nowhere", "no such file"], none, || {
        user_world(CloneFlags::empty())?;
        Ok(unistd::chroot("nowhere")?)
    }),
    deed!("id: setuid to an unmapped id", EINVAL, ["has no id 7", "uid_map is 0"], none, || {
        user_world(CloneFlags::empty())?;
        Ok(unistd::setresuid(Uid::from_raw(7), Uid::from_raw(7), Uid::from_raw(7))?)
    }),
    deed!("id: setgid by nobody", EPERM, ["no CAP_SETGID"], none, || {
        become_nobody()?;
        Ok(unistd::setresgid(Gid::from_raw(0), Gid::from_raw(0), Gid::from_raw(0))?)
    }),
    deed!("id: setgroups denied", EPERM, ["setgroups says deny"], none, || {
        user_world(CloneFlags::empty())?;
        Ok(unistd::setgroups(&[])?)
    }),
    deed!("id: capabilities back", EPERM, ["CAP_CHOWN", "permitted set"], none, || {
        become_nobody()?;
        let header: [u32; 2] = [0x2008_0522, 0];
        let sets: [u32; 6] = [1, 1, 0, 0, 0, 0];
        // SAFETY: both structures outlive the call, which only reads them.
        raw(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) })
    }),
    deed!("id: a device in a user namespace", EPERM, ["nobody may make one"], none, || {
        user_world(CloneFlags::CLONE_NEWNS)?;
        let (kind, mode) = (nix::sys::stat::SFlag::S_IFCHR, nix::sys::stat::Mode::S_IRUSR);
        Ok(nix::sys::stat::mknod("null", kind, mode, nix::sys::stat::makedev(1, 3))?)
    }),
];

fn unshare_raw(flags: i32) -> libc::c_long {
    // SAFETY: it takes flags and touches no memory.
    unsafe { libc::syscall(libc::SYS_unshare, flags) }
}

type Named = (&'static str, fn() -> Result<()>);

/// Deeds that are about what is left out.
const OTHERS: [Named; 8] = [
    ("a file is missing, and said so", || {
        fs::read("elsewhere").ok();
        fs::read("nowhere").context("cannot read nowhere").map(drop)
    }),
    ("passes on 127", || {
        let _ = unistd::chroot("nowhere");
        let status = std::process::Command::new("/bin/sh").args(["-c", "exit 127"]).status()?;
        std::process::exit(status.code().unwrap_or(0))
    }),
    ("fallback, then mkdir", || {
        user_world(CloneFlags::CLONE_NEWUTS)?;
        let _ = unistd::sethostname("x".repeat(65));
        let _ = fs::create_dir("/");
        Ok(unistd::chroot("nowhere")?)
    }),
    ("EACCES in PATH, then ENOENT", || {
        program("first/program", b"#!/bin/sh\n", 0o644)?;
        directories(&["second"])?;
        let _ = execute("first/program");
        execute("second/program")
    }),
    ("a child fails, and its child before", || {
        in_child(|| {
            let _ = in_background(|| Ok(unistd::chroot("elsewhere")?));
            world()?;
            Ok(pivot_root("nowhere", "nowhere")?)
        })
    }),
    ("succeeds", || {
        let _ = unistd::chroot("nowhere");
        Ok(())
    }),
    ("gives up without a failure", || anyhow::bail!("no system call")),
    ("hangs", || {
        loop {
            unistd::pause();
        }
    }),
];

/// A child whose failure is its own affair: it ends with 0.
fn in_background(act: impl FnOnce() -> Result<()>) -> Result<()> {
    // SAFETY: this process has one thread.
    match unsafe { fork()? } {
        ForkResult::Child => {
            let _ = act();
            std::process::exit(0)
        }
        ForkResult::Parent { child } => waitpid(child, None).map(drop).map_err(Into::into),
    }
}
