//! act: the hand of the checks inside a container. Each argument is one deed, `VERB [WORD…]`; each is
//! answered by one line: `ok`, `ok ANSWER`, or the kernel's error, `EROFS`. It needs no file but itself.
//! Called `host`, it is step 0: no container at all, the command runs as it is.

// Rust's own start would ignore SIGPIPE, and then nobody could see with which signals we came.
#![no_main]

use std::ffi::CString;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::exit;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::sys::time::TimeValLike;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{ForkResult, Pid, execv, fork, getpid, getppid, pause, sethostname};

type Answer = std::io::Result<String>;

/// The C library calls this; its arguments are in `std::env::args` as always.
#[unsafe(no_mangle)]
extern "C" fn main() -> libc::c_int {
    let name = std::env::args().next().unwrap_or_default();
    if name.ends_with("/host") {
        return no_container();
    }
    for deed in std::env::args().skip(1) {
        let words: Vec<&str> = deed.split(' ').collect();
        say(&match act(words[0], &words[1..]) {
            Ok(answer) if answer.is_empty() => "ok".to_string(),
            Ok(answer) => format!("ok {answer}"),
            Err(error) => describe(&error),
        });
    }
    0
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn describe(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => format!("{:?}", Errno::from_raw(number)),
        None => error.to_string(),
    }
}

/// `host ROOT COMMAND …`: becomes ROOT/COMMAND, and hands on all that it was given.
fn no_container() -> libc::c_int {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let root = args.remove(0);
    args[0] = root + &args[0];
    let argv: Vec<CString> = args.into_iter().flat_map(CString::new).collect();
    let Err(errno) = execv(&argv[0], &argv);
    eprintln!("error: cannot execute {:?}: {errno:?}", argv[0]);
    126
}

fn act(verb: &str, words: &[&str]) -> Answer {
    match (verb, words) {
        ("probe", []) => Ok(serde_json::to_string(&evidence::Probe::take())?),
        ("ready", []) => ready(),
        ("exit", [code]) => exit(number(code)),
        ("die", [signal]) => done(raise(signal.parse::<Signal>()?)),
        ("fault", []) => fault(),
        ("read", [path]) => Ok(format!("{:?}", fs::read_to_string(path)?)),
        ("write", [path, text @ ..]) => fs::write(path, text.join(" ")).map(|()| String::new()),
        ("open", [path]) => done(open(*path, OFlag::O_WRONLY, Mode::empty())),
        ("mkdir", [path]) => fs::create_dir(path).map(|()| String::new()),
        ("rm", [path]) => fs::remove_file(path).map(|()| String::new()),
        ("rmtree", [path]) => fs::remove_dir_all(path).map(|()| String::new()),
        ("ls", [path]) => list(path),
        ("stat", [path]) => stat(path),
        ("readlink", [path]) => Ok(fs::read_link(path)?.display().to_string()),
        ("mknod", [path, major, minor]) => make_node(path, number(major), number(minor)),
        ("remount", [path]) => remount(path),
        ("kill", [pid, signal]) => {
            done(kill(Pid::from_raw(number(pid)), signal.parse::<Signal>()?))
        }
        ("sethostname", [name]) => done(sethostname(name)),
        ("pty", []) => pty(),
        ("ioctl", [command]) => ioctl(command),
        ("getpgid", [pid]) => getpgid(pid),
        ("int80", []) => int80(),
        ("signals", [count]) => signals(number(count)),
        ("orphan", []) => orphan(),
        ("linger", []) => linger(),
        ("hog", [mib]) => Ok(hog(number(mib)).to_string()),
        ("forks", [count]) => forks(number(count)),
        ("spin", [ms]) => spin(number(ms)),
        ("connect", [address]) => TcpStream::connect(address).map(|_| String::new()),
        ("loopback", []) => loopback(),
        _ => Err(std::io::Error::other(format!("no deed {verb} {words:?}"))),
    }
}

fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word} is no number"))
}

fn done<T>(result: nix::Result<T>) -> Answer {
    result.map(|_| String::new()).map_err(Into::into)
}

/// Says that all before is done, and waits until nobody holds our standard input open any more.
fn ready() -> Answer {
    say("ready");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok("left".to_string())
}

/// Process 1 cannot be ended by a signal of its own making, but a fault ends it.
fn fault() -> Answer {
    // SAFETY: there is none: this write is meant to end the process, which has nothing to lose.
    unsafe { std::ptr::dangling_mut::<u8>().write_volatile(0) };
    Ok("survived".to_string())
}

fn list(path: &str) -> Answer {
    let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
    let mut names = entries.collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names.iter().map(|name| name.to_string_lossy()).collect::<Vec<_>>().join(" "))
}

/// Type and mode in octal, owner, device number: `20666 0:0 1:3`.
fn stat(path: &str) -> Answer {
    let status = fs::symlink_metadata(path)?;
    let (major, minor) = (libc::major(status.rdev()), libc::minor(status.rdev()));
    Ok(format!("{:o} {}:{} {major}:{minor}", status.mode(), status.uid(), status.gid()))
}

fn make_node(path: &str, major: u64, minor: u64) -> Answer {
    done(mknod(path, SFlag::S_IFBLK, Mode::from_bits_truncate(0o600), makedev(major, minor)))
}

/// `mount -o remount,bind,rw`
fn remount(path: &str) -> Answer {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    done(mount(None::<&str>, path, None::<&str>, flags, None::<&str>))
}

/// A new pseudo-terminal: its name, and whether that is there.
fn pty() -> Answer {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname_r(&master)?;
    fs::metadata(&name)?;
    Ok(name)
}

/// One ioctl(2) by its number, on a new pseudo-terminal that is ours: TIOCSTI is for that alone.
fn ioctl(command: &str) -> Answer {
    let command = u64::from_str_radix(command, 16).map_err(std::io::Error::other)?;
    // Who leads a process group may not make a session, setsid(2): a new process does neither.
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => exit(in_new_session(command).err().map_or(0, |errno| errno as i32)),
        ForkResult::Parent { child } => match waitpid(child, None)? {
            WaitStatus::Exited(_, 0) => Ok(String::new()),
            WaitStatus::Exited(_, errno) => Err(Errno::from_raw(errno).into()),
            _ => Err(Errno::EINTR.into()),
        },
    }
}

fn in_new_session(command: u64) -> nix::Result<()> {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    nix::unistd::setsid()?;
    let terminal = open(ptsname_r(&master)?.as_str(), OFlag::O_RDWR, Mode::empty())?;
    let mut room = [0u8; 64];
    // SAFETY: the commands that are tried (TIOCSTI, FIONREAD, TIOCGWINSZ) use 8 bytes at most.
    let result =
        unsafe { libc::syscall(libc::SYS_ioctl, terminal.as_raw_fd(), command, room.as_mut_ptr()) };
    // To close it while we live would send us SIGHUP, pty(7).
    std::mem::forget(master);
    Errno::result(result).map(drop)
}

/// getpgid(2) with all 64 bits of its argument, of which it looks at 32.
fn getpgid(pid: &str) -> Answer {
    let pid = u64::from_str_radix(pid, 16).map_err(std::io::Error::other)?;
    // SAFETY: it asks, and touches no memory.
    done(Errno::result(unsafe { libc::syscall(libc::SYS_getpgid, pid) }))
}

/// getpid(2) as a 32-bit program makes it, in a process of its own: a filter may answer with death.
fn int80() -> Answer {
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => exit((getpid_of_32_bits() != getpid().as_raw()).into()),
        ForkResult::Parent { child } => match waitpid(child, None)? {
            WaitStatus::Exited(_, 0) => Ok(String::new()),
            WaitStatus::Signaled(_, signal, _) => Err(std::io::Error::other(signal.as_str())),
            _ => Err(Errno::ENOSYS.into()),
        },
    }
}

#[cfg(target_arch = "x86_64")]
fn getpid_of_32_bits() -> i32 {
    let answer;
    // SAFETY: call 20 of that table takes no argument; older kernels clear r8 to r11.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("eax") 20 => answer, out("r8") _, out("r9") _,
            out("r10") _, out("r11") _);
    }
    answer
}

#[cfg(not(target_arch = "x86_64"))]
fn getpid_of_32_bits() -> i32 {
    -1
}

/// Names the next `count` signals of those that a parent forwards.
fn signals(count: usize) -> Answer {
    let names = ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH"];
    let set: SigSet =
        names.iter().flat_map(|name| format!("SIG{name}").parse::<Signal>()).collect();
    set.thread_block()?;
    say("ready");
    let heard: nix::Result<Vec<&str>> = (0..count).map(|_| Ok(set.wait()?.as_str())).collect();
    Ok(heard?.join(" "))
}

/// Leaves a process that ends after its parent: whoever is process 1 has to reap it.
fn orphan() -> Answer {
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => done(waitpid(child, None)),
        ForkResult::Child => {
            let parent = getpid();
            // SAFETY: as above.
            if let ForkResult::Child = unsafe { fork() }? {
                let start = Instant::now();
                while getppid() == parent && start.elapsed() < Duration::from_secs(5) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            exit(0)
        }
    }
}

/// Leaves a process behind that has its own session and nothing of ours open.
fn linger() -> Answer {
    // SAFETY: this process has one thread.
    if let ForkResult::Child = unsafe { fork() }? {
        let _ = nix::unistd::setsid();
        for number in 0..3 {
            // SAFETY: nothing in this process uses its standard descriptors from here on.
            let _ = unsafe { libc::close(number) };
        }
        std::thread::sleep(Duration::from_secs(10));
        exit(0);
    }
    Ok(String::new())
}

fn hog(mib: usize) -> usize {
    let mut kept = Vec::new();
    for _ in 0..mib {
        kept.push(std::hint::black_box(vec![1u8; 1 << 20]));
    }
    kept.len()
}

/// Starts `count` processes, or as many as it may: `19 EAGAIN`.
fn forks(count: usize) -> Answer {
    let (mut children, mut refused) = (Vec::new(), String::new());
    for _ in 0..count {
        // SAFETY: this process has one thread.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => pause(),
            Ok(ForkResult::Parent { child }) => children.push(child),
            Err(errno) => {
                refused = format!(" {errno:?}");
                break;
            }
        }
    }
    for child in &children {
        kill(*child, Signal::SIGKILL)?;
        waitpid(*child, None)?;
    }
    Ok(format!("{}{refused}", children.len()))
}

/// Computes until it has had so many milliseconds of processor time.
fn spin(ms: i64) -> Answer {
    while clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.num_milliseconds() < ms {
        std::hint::spin_loop();
    }
    Ok(String::new())
}

/// Talks to itself over 127.0.0.1.
fn loopback() -> Answer {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    TcpStream::connect(listener.local_addr()?)?;
    Ok(String::new())
}
