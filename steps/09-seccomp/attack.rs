//! What step 9 stops: parts of the kernel that no namespace covers, and ways round a filter.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

use anyhow::{Context, Result};
use evidence::attack::{self, Attack, Host, Outcome};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::pty::openpty;
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, setsid};

/// What filters answer: EPERM to what they forbid, ENOSYS to what they do not know.
const ATTACK: Attack = Attack { refusals: &[Errno::EPERM, Errno::ENOSYS], ..Attack::DEFAULT };

fn main() -> ExitCode {
    attack::main(
        "seccomp",
        &[
            Attack {
                name: "keyring",
                claim: "takes a password from the host's session keyring, keyrings(7)",
                lure: key_of_host,
                attempt: read_key,
                ..ATTACK
            },
            Attack {
                name: "tiocsti",
                claim: "types a command into the terminal that it was started from",
                lure: terminal_of_host,
                attempt: |_| type_command(libc::TIOCSTI),
                judge: Some(host_has_command),
                ..ATTACK
            },
            Attack {
                name: "tiocsti-64",
                claim: "the same, with bits set that the kernel ignores and a filter may not",
                lure: terminal_of_host,
                attempt: |_| type_command(libc::TIOCSTI | 0xbad << 32),
                judge: Some(host_has_command),
                ..ATTACK
            },
            Attack {
                name: "user-namespace",
                claim: "is root with all capabilities again, in a user namespace of its own",
                attempt: nested_user_namespace,
                ..ATTACK
            },
            Attack {
                name: "clone3",
                claim: "makes the user namespace by clone3, whose flags a filter cannot read",
                attempt: clone3_user_namespace,
                ..ATTACK
            },
            Attack {
                name: "userfaultfd",
                claim: "handles its own page faults: a favourite for winning races in the kernel",
                lure: userfaultfd_works_here,
                attempt: |_| userfaultfd(),
                ..ATTACK
            },
        ],
    )
}

const KEY_TYPE: &CStr = c"user";
const KEY_NAME: &CStr = c"password-of-the-host";

/// Every process of a login session has its keyring; keys are found by name, in no namespace.
fn key_of_host(_host: &mut Host) -> Result<()> {
    let (secret, new_keyring) = ("hunter2", std::ptr::null::<libc::c_char>());
    // SAFETY: keyctl(2) and add_key(2) read these strings, which live on, and a length that fits.
    let added = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, new_keyring);
        let (kind, name, keyring) =
            (KEY_TYPE.as_ptr(), KEY_NAME.as_ptr(), libc::KEY_SPEC_SESSION_KEYRING);
        libc::syscall(libc::SYS_add_key, kind, name, secret.as_ptr(), secret.len(), keyring)
    };
    match Errno::result(added) {
        Ok(_) => Ok(()),
        Err(errno) => Err(attack::untried(format!("this kernel takes no keys ({errno:?})"))),
    }
}

fn read_key(_told: &[String]) -> Result<String> {
    let (keyring, destination) = (libc::KEY_SPEC_SESSION_KEYRING, 0);
    let (kind, name) = (KEY_TYPE.as_ptr(), KEY_NAME.as_ptr());
    // SAFETY: keyctl(2) reads two strings, which live on.
    let key = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SEARCH, keyring, kind, name, destination)
    };
    let key = Errno::result(key).context("cannot search the session keyring")?;
    let mut secret = [0_u8; 64];
    // SAFETY: keyctl(2) writes no more than the length that it is given.
    let length = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_READ, key, secret.as_mut_ptr(), secret.len())
    };
    let length = Errno::result(length).context("cannot read the key")?;
    Ok(format!("read {:?}", String::from_utf8_lossy(&secret[..length as usize])))
}

const COMMAND: &str = "echo owned\n";

/// A terminal with us at it, as a shell of the host is that starts a container.
fn terminal_of_host(host: &mut Host) -> Result<()> {
    let allowed = fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").unwrap_or("1".into());
    if allowed.trim() == "0" {
        return Err(attack::untried("dev.tty.legacy_tiocsti is 0: nobody may do this here"));
    }
    setsid().context("cannot start a session")?;
    let pty = openpty(None, None).context("cannot open a pseudo-terminal")?;
    // SAFETY: TIOCSCTTY takes a number; ours is the leader of a session without a terminal.
    let taken = unsafe { libc::ioctl(pty.slave.as_raw_fd(), libc::TIOCSCTTY, 0) };
    Errno::result(taken).context("cannot take the terminal")?;
    host.keep(pty);
    Ok(())
}

/// What TIOCSTI "types" is input of the terminal: whoever reads next, reads it. See TIOCSTI(2const).
fn type_command(request: u64) -> Result<String> {
    let terminal = File::open("/dev/tty").context("cannot open /dev/tty")?;
    for key in COMMAND.bytes() {
        // SAFETY: TIOCSTI reads one byte. By libc's ioctl a C library might cut the request short.
        let typed = unsafe { libc::syscall(libc::SYS_ioctl, terminal.as_raw_fd(), request, &key) };
        Errno::result(typed).context("cannot type into the terminal")?;
    }
    Ok("ioctl succeeded".into())
}

/// The shell of the host would now read its next line. We read it, and do not run it.
fn host_has_command(_host: &mut Host) -> Result<Outcome> {
    let mut terminal = File::open("/dev/tty").context("cannot open /dev/tty")?;
    let mut line = [0; COMMAND.len()];
    let length = terminal.read(&mut line).context("cannot read the terminal")?;
    let line = String::from_utf8_lossy(&line[..length]);
    let reads = format!("the host's shell reads {:?} next", line.trim_end());
    Ok(if line == COMMAND { Outcome::Worked(reads) } else { Outcome::Stopped(reads) })
}

/// In a user namespace anyone has all capabilities, and with them a way to kernel code that
/// was written for the administrator. Most of the kernel's local root exploits begin here.
fn nested_user_namespace(_told: &[String]) -> Result<String> {
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .context("cannot make a user namespace")?;
    mount(Some("owned"), "/mnt", Some("tmpfs"), MsFlags::empty(), None::<&str>)
        .context("cannot mount in it")?;
    Ok("made a user namespace and mounted a tmpfs in it".into())
}

/// A filter sees the arguments of a call, not what they point to; clone3 has its flags in memory.
fn clone3_user_namespace(_told: &[String]) -> Result<String> {
    // SAFETY: zero is a valid value of every field.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = libc::CLONE_NEWUSER as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM this is fork(2), and this program has one thread.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &args, size_of_val(&args)) };
    match Errno::result(child).context("cannot call clone3")? {
        0 => std::process::exit(0),
        child => waitpid(Pid::from_raw(child as i32), None)?,
    };
    Ok("made a process in a user namespace".into())
}

/// From linux/userfaultfd.h: only faults of the program itself, which anyone may ask for.
const UFFD_USER_MODE_ONLY: libc::c_int = 1;

fn userfaultfd() -> Result<String> {
    // SAFETY: userfaultfd(2) takes flags and returns a descriptor, which our end closes.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, UFFD_USER_MODE_ONLY) };
    Errno::result(fd).context("cannot open a userfaultfd")?;
    Ok("has a userfaultfd".into())
}

fn userfaultfd_works_here(_host: &mut Host) -> Result<()> {
    userfaultfd().map(drop).map_err(|_| attack::untried("this kernel lacks userfaultfd"))
}
