//! The filter where it belongs: installed in a child, and asked by real system calls.

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use crate::rules::{Action, Rules};
use crate::{DEFAULT, Filter, parse};

/// Forks, installs `filter` in the child and exits with what `ask` gives.
fn in_child(filter: &Filter, ask: impl FnOnce() -> i32) -> WaitStatus {
    // SAFETY: the child only makes system calls, and leaves by _exit.
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => waitpid(child, None).unwrap(),
        ForkResult::Child => {
            let code = if filter.install().is_ok() { ask() } else { 255 };
            // SAFETY: ends the process, no destructors.
            unsafe { libc::_exit(code) }
        }
    }
}

/// The errno of a call with harmless, mostly bad arguments; 0 if it succeeds.
fn ask(call: i64, args: [u64; 3]) -> i32 {
    // SAFETY: no argument given below points at memory that the kernel could write to.
    match unsafe { libc::syscall(call, args[0], args[1], args[2]) } {
        -1 => nix::errno::Errno::last_raw(),
        _ => 0,
    }
}

#[test]
fn the_kernel_agrees() {
    let filter = Filter::new(&parse(DEFAULT).unwrap()).unwrap();
    let bad = u64::MAX;
    for (name, call, args, wanted) in [
        ("keyctl", libc::SYS_keyctl, [bad, 0, 0], libc::EPERM),
        ("add_key", libc::SYS_add_key, [0, 0, 0], libc::EPERM),
        ("bpf", libc::SYS_bpf, [bad, 0, 0], libc::EPERM),
        ("userfaultfd", libc::SYS_userfaultfd, [bad, 0, 0], libc::EPERM),
        ("io_uring_setup", libc::SYS_io_uring_setup, [0, 0, 0], libc::EPERM),
        ("unshare", libc::SYS_unshare, [libc::CLONE_NEWUSER as u64, 0, 0], libc::EPERM),
        ("unshare nothing", libc::SYS_unshare, [0, 0, 0], libc::EPERM),
        ("clone NEWUSER", libc::SYS_clone, [libc::CLONE_NEWUSER as u64, 0, 0], libc::EPERM),
        ("clone3", libc::SYS_clone3, [0, 0, 0], libc::ENOSYS),
        ("newer than all", 5000, [0, 0, 0], libc::ENOSYS),
        ("TIOCSTI", libc::SYS_ioctl, [bad, libc::TIOCSTI, 0], libc::EPERM),
        ("TIOCSTI + high", libc::SYS_ioctl, [bad, libc::TIOCSTI | 1 << 32, 0], libc::EPERM),
        ("TIOCLINUX + high", libc::SYS_ioctl, [bad, libc::TIOCLINUX | 1 << 63, 0], libc::EPERM),
        ("TIOCGWINSZ", libc::SYS_ioctl, [bad, libc::TIOCGWINSZ, 0], libc::EBADF),
        ("FIONREAD", libc::SYS_ioctl, [bad, libc::FIONREAD, 0], libc::EBADF),
        ("AF_VSOCK", libc::SYS_socket, [40, 1, 0], libc::EPERM),
        ("AF_VSOCK + high", libc::SYS_socket, [40 | 1 << 32, 1, 0], libc::EPERM),
        ("AF_UNIX", libc::SYS_socket, [1, 1, 0], 0),
        ("personality", libc::SYS_personality, [0xffff_ffff, 0, 0], 0),
        ("read", libc::SYS_read, [bad, 0, 0], libc::EBADF),
    ] {
        let WaitStatus::Exited(_, found) = in_child(&filter, || ask(call, args)) else {
            panic!("{name} ended the child");
        };
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_32_bit_door_is_shut() {
    let filter = Filter::new(&parse(DEFAULT).unwrap()).unwrap();
    let status = in_child(&filter, || {
        // SAFETY: int 0x80 with 20 is i386's getpid.
        unsafe { std::arch::asm!("int 0x80", inout("eax") 20 => _) };
        0
    });
    let WaitStatus::Signaled(_, signal, _) = status else { panic!("{status:?}") };
    assert_eq!(signal, nix::sys::signal::Signal::SIGSYS);
    let status = in_child(&filter, || ask(0x4000_0000 | libc::SYS_getpid, [0; 3]));
    assert!(matches!(status, WaitStatus::Exited(_, libc::ENOSYS)), "{status:?}");
}

#[test]
fn no_new_privs_is_set_with_a_filter_and_without() {
    let unconfined = Filter { program: Vec::new() };
    let filtered = Filter::new(&Rules { default: Action::Allow, rules: Vec::new() }).unwrap();
    for filter in [unconfined, filtered] {
        let status =
            in_child(&filter, || i32::from(nix::sys::prctl::get_no_new_privs() == Ok(true)));
        assert!(matches!(status, WaitStatus::Exited(_, 1)), "{status:?}");
    }
}
