//! The floor: the system calls that make a container like step 9's, and nothing else: no
//! arguments to parse, no errors to explain, no checks. What step 9 takes longer than this is
//! the price of its own code. `floor FILTER ROOT COMMAND`, as root, network none.

use std::ffi::{CString, c_char, c_int, c_long};
use std::fs;
use std::os::fd::RawFd;
use std::ptr::null;

const PLAIN: c_int = 0;
const QUIET: c_int =
    (libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC) as c_int;
const READ_ONLY: c_int = libc::MOUNT_ATTR_RDONLY as c_int;
const EMPTY_TO_EMPTY: c_int = 0x4 | 0x40;
const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const LINKS: [(&str, &str); 5] = [
    ("pts/ptmx", "ptmx"),
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];
const HIDDEN_FILES: [&str; 3] = ["proc/interrupts", "proc/keys", "proc/timer_list"];
const HIDDEN_DIRECTORIES: [&str; 2] = ["proc/acpi", "sys/firmware"];
const PROTECTED: [&str; 4] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys"];
const FILES: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// One system call; a failure ends the program with its number.
macro_rules! call {
    ($number:expr $(, $argument:expr)*) => {{
        // SAFETY: every argument is a number or points to memory that outlives the call.
        let result: c_long = unsafe { libc::syscall($number $(, $argument)*) };
        if result < 0 {
            eprintln!("floor: line {}: {}", line!(), std::io::Error::last_os_error());
            std::process::exit(125);
        }
        result as c_int
    }};
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let filter = fs::read(&arguments[1]).expect("the filter");
    let (root, command) = (text(&arguments[2]), text(&arguments[3]));
    let name = format!("floor-{}", std::process::id());
    let cgroup = make_cgroup(&name);
    let tree = copy_tree(libc::AT_FDCWD, &root);
    let mut gate = [0; 2];
    call!(libc::SYS_pipe2, gate.as_mut_ptr(), libc::O_CLOEXEC);
    let child = clone3(cgroup.as_ref().map(|(_, opened)| *opened));
    if child == 0 {
        contain(gate[0], tree, &root, &filter);
        let empty: [*const c_char; 1] = [null()];
        let argv = [command.as_ptr(), null()];
        call!(libc::SYS_execve, command.as_ptr(), argv.as_ptr(), empty.as_ptr());
    }
    map(child, tree);
    call!(libc::SYS_write, gate[1], c"!".as_ptr(), 1);
    let mut status = 0;
    call!(libc::SYS_wait4, child, &mut status, 0, 0);
    if let Some((directory, _)) = cgroup {
        fs::remove_dir(directory).expect("rmdir");
    }
    std::process::exit(libc::WEXITSTATUS(status));
}

fn text(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

/// The cgroup in the v2 hierarchy, where there is one: no limit is asked for.
fn make_cgroup(name: &str) -> Option<(String, RawFd)> {
    let bases = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
    let base = bases
        .into_iter()
        .find(|base| fs::exists(format!("{base}/cgroup.procs")).is_ok_and(|found| found))?;
    let directory = format!("{base}/{name}");
    fs::create_dir(&directory).ok()?;
    let opened = open(&directory, libc::O_PATH | libc::O_DIRECTORY);
    Some((directory, opened))
}

fn open(path: &str, flags: c_int) -> RawFd {
    call!(libc::SYS_openat, libc::AT_FDCWD, text(path).as_ptr(), flags | libc::O_CLOEXEC)
}

fn clone3(cgroup: Option<RawFd>) -> c_int {
    // SAFETY: zero is a valid value of every field.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    let namespaces = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWNET;
    args.flags = namespaces as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= 1 << 33;
        args.cgroup = cgroup as u64;
    }
    call!(libc::SYS_clone3, &args, size_of_val(&args))
}

fn map(child: c_int, tree: RawFd) {
    for file in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{child}/{file}"), "0 524288 65536\n").expect("map");
    }
    let user = open(&format!("/proc/{child}/ns/user"), libc::O_RDONLY);
    set_attributes(tree, libc::MOUNT_ATTR_IDMAP, user as u64, 0);
}

fn contain(gate: RawFd, tree: RawFd, root: &CString, filter: &[u8]) {
    call!(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    let mut byte = 0u8;
    call!(libc::SYS_read, gate, &mut byte, 1);
    call!(libc::SYS_unshare, libc::CLONE_NEWCGROUP);
    call!(libc::SYS_setgroups, 0, 0);
    call!(libc::SYS_setresgid, 0, 0, 0);
    call!(libc::SYS_setresuid, 0, 0, 0);
    call!(libc::SYS_sethostname, c"container".as_ptr(), 9);
    call!(libc::SYS_setdomainname, c"(none)".as_ptr(), 6);
    loopback_up();
    let private = libc::MS_REC | libc::MS_PRIVATE;
    call!(libc::SYS_mount, 0, c"/".as_ptr(), 0, private, 0);
    file_tree(tree, root);
    call!(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    call!(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    let program =
        libc::sock_fprog { len: (filter.len() / 8) as u16, filter: filter.as_ptr() as *mut _ };
    call!(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &program);
    call!(libc::SYS_close_range, 3, u32::MAX, 0);
}

/// ioctl(2) instead of netlink: two calls, as two messages are.
fn loopback_up() {
    let socket = call!(libc::SYS_socket, libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
    // SAFETY: zero is a valid value of every field.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as c_char;
    request.ifr_name[1] = b'o' as c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    call!(libc::SYS_ioctl, socket, libc::SIOCSIFFLAGS, &request);
    call!(libc::SYS_close, socket);
}

fn file_tree(tree: RawFd, path: &CString) {
    attach(tree, libc::AT_FDCWD, path);
    let lower = open(path.to_str().expect("a path"), libc::O_PATH);
    let scratch = filesystem(c"tmpfs", &[(c"mode", c"700")], PLAIN);
    attach(scratch, libc::AT_FDCWD, path);
    let root = overlay(lower, scratch);
    attach(root, libc::AT_FDCWD, path);
    fill(root, scratch);
    call!(libc::SYS_fchdir, root);
    call!(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr());
    call!(libc::SYS_umount2, c".".as_ptr(), libc::MNT_DETACH);
    call!(libc::SYS_chdir, c"/".as_ptr());
}

fn fill(root: RawFd, scratch: RawFd) {
    mount(root, "proc", filesystem(c"proc", &[], QUIET));
    mount(root, "sys", filesystem(c"sysfs", &[], QUIET | READ_ONLY));
    mount(root, "dev", filesystem(c"tmpfs", &[(c"mode", c"755")], PLAIN));
    for directory in [c"dev/pts", c"dev/shm", c"dev/mqueue"] {
        call!(libc::SYS_mkdirat, root, directory.as_ptr(), 0o755);
    }
    mount(root, "dev/pts", filesystem(c"devpts", &[(c"ptmxmode", c"0666")], PLAIN));
    mount(root, "dev/shm", filesystem(c"tmpfs", &[(c"mode", c"1777")], QUIET));
    mount(root, "tmp", filesystem(c"tmpfs", &[(c"mode", c"1777")], PLAIN));
    for node in NODES {
        let create = libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC;
        let path = text(&format!("dev/{node}"));
        let node_file = call!(libc::SYS_openat, root, path.as_ptr(), create, 0o644);
        call!(libc::SYS_close, node_file);
        mount(
            root,
            &format!("dev/{node}"),
            copy_tree(libc::AT_FDCWD, &text(&format!("/dev/{node}"))),
        );
    }
    mount(root, "sys/fs/cgroup", filesystem(c"cgroup2", &[], QUIET | READ_ONLY));
    protect(root, scratch);
    for (target, name) in LINKS {
        call!(
            libc::SYS_symlinkat,
            text(target).as_ptr(),
            root,
            text(&format!("dev/{name}")).as_ptr()
        );
    }
    place(root, scratch);
}

fn overlay(lower: RawFd, scratch: RawFd) -> RawFd {
    for directory in [c"upper", c"work"] {
        call!(libc::SYS_mkdirat, scratch, directory.as_ptr(), 0o755);
    }
    let inside = |name: &std::ffi::CStr| {
        let flags = libc::O_PATH | libc::O_CLOEXEC;
        call!(libc::SYS_openat, scratch, name.as_ptr(), flags)
    };
    let name = |fd: RawFd| text(&format!("/proc/self/fd/{fd}"));
    let (lower, upper, work) = (name(lower), name(inside(c"upper")), name(inside(c"work")));
    let context = call!(libc::SYS_fsopen, c"overlay".as_ptr(), 1);
    for (key, value) in [(c"lowerdir+", &lower), (c"upperdir", &upper), (c"workdir", &work)] {
        call!(libc::SYS_fsconfig, context, 1, key.as_ptr(), value.as_ptr(), 0);
    }
    call!(libc::SYS_fsconfig, context, 0, c"userxattr".as_ptr(), 0, 0);
    finish(context, PLAIN)
}

fn filesystem(
    fstype: &std::ffi::CStr,
    options: &[(&std::ffi::CStr, &std::ffi::CStr)],
    flags: c_int,
) -> RawFd {
    let context = call!(libc::SYS_fsopen, fstype.as_ptr(), 1);
    for (key, value) in options {
        call!(libc::SYS_fsconfig, context, 1, key.as_ptr(), value.as_ptr(), 0);
    }
    finish(context, flags)
}

fn finish(context: RawFd, flags: c_int) -> RawFd {
    call!(libc::SYS_fsconfig, context, 6, 0, 0, 0);
    let mount = call!(libc::SYS_fsmount, context, 1, flags);
    call!(libc::SYS_close, context);
    mount
}

fn copy_tree(directory: RawFd, path: &CString) -> RawFd {
    let flags = 1 | libc::O_CLOEXEC | libc::AT_RECURSIVE;
    call!(libc::SYS_open_tree, directory, path.as_ptr(), flags)
}

fn attach(tree: RawFd, directory: RawFd, path: &CString) {
    call!(libc::SYS_move_mount, tree, c"".as_ptr(), directory, path.as_ptr(), 0x4);
}

/// Opens the target inside the root, as every mount of step 9 does, and mounts on it.
fn mount(root: RawFd, path: &str, tree: RawFd) {
    let how: [u64; 3] = [(libc::O_PATH | libc::O_CLOEXEC) as u64, 0, 0x10 | 0x02];
    let path = text(path);
    let target = call!(libc::SYS_openat2, root, path.as_ptr(), how.as_ptr(), 24);
    call!(libc::SYS_move_mount, tree, c"".as_ptr(), target, c"".as_ptr(), EMPTY_TO_EMPTY);
    call!(libc::SYS_close, target);
    call!(libc::SYS_close, tree);
}

fn protect(root: RawFd, scratch: RawFd) {
    call!(libc::SYS_mkdirat, scratch, c"empty".as_ptr(), 0o555);
    let cover = |path: &str, tree: RawFd| {
        set_attributes(tree, libc::MOUNT_ATTR_RDONLY, 0, libc::AT_RECURSIVE);
        mount(root, path, tree);
    };
    for path in HIDDEN_FILES.into_iter().filter(|path| exists(root, path)) {
        cover(path, copy_tree(libc::AT_FDCWD, &text("/dev/null")));
    }
    for path in HIDDEN_DIRECTORIES.into_iter().filter(|path| exists(root, path)) {
        cover(path, copy_tree(scratch, &text("empty")));
    }
    for path in PROTECTED {
        cover(path, copy_tree(root, &text(path)));
    }
}

fn exists(root: RawFd, path: &str) -> bool {
    // SAFETY: the string outlives the call.
    unsafe { libc::faccessat(root, text(path).as_ptr(), libc::F_OK, 0) == 0 }
}

fn place(root: RawFd, scratch: RawFd) {
    for path in FILES {
        let name = text(&path.replace('/', "+"));
        let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC;
        let file = call!(libc::SYS_openat, scratch, name.as_ptr(), flags, 0o644);
        call!(libc::SYS_write, file, c"floor\n".as_ptr(), 6);
        call!(libc::SYS_close, file);
        mount(root, path, copy_tree(scratch, &name));
    }
}

fn set_attributes(tree: RawFd, attributes: u64, user_namespace: u64, flags: c_int) {
    let attributes: [u64; 4] = [attributes, 0, 0, user_namespace];
    let flags = flags | libc::AT_EMPTY_PATH;
    call!(libc::SYS_mount_setattr, tree, c"".as_ptr(), flags, attributes.as_ptr(), 32);
}
