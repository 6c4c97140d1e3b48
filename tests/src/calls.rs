//! Which system calls are refused? Each is tried for real, with arguments that the kernel must turn
//! down before it does anything: EINVAL, EFAULT, EBADF mean "come back with better ones", EPERM and
//! ENOSYS mean "not you" and "never heard of it", which is how a filter speaks.

use std::{
    collections::BTreeMap,
    io::{Read, Write, pipe},
};

use nix::{
    errno::Errno,
    libc,
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, fork},
};
use syscalls::Sysno;

/// Name of the call to the kernel's answer: `EPERM`, `ok`, or the signal that ended it, `SIGSYS`.
pub type Calls = BTreeMap<String, String>;

/// Whether the answer is a refusal (and not a complaint about the arguments).
pub fn refused(answer: &str) -> bool {
    matches!(answer, "EPERM" | "EACCES" | "ENOSYS" | "SIGSYS")
}

/// A call to try: what it is called here, its number, its arguments.
struct Trial(&'static str, i64, [usize; 6]);

const BAD: usize = usize::MAX;
/// No page is ever mapped here.
const NOWHERE: usize = 8;

/// A row is `name, arguments`; the rest are zero. A name of its own is given as `"name" = call`.
macro_rules! trials {
    ($($label:literal = $call:ident ( $($argument:expr),* );)*) => {
        &[$(Trial($label, Sysno::$call as i64, arguments(&[$($argument),*])),)*]
    };
}

const fn arguments(given: &[usize]) -> [usize; 6] {
    let mut all = [0; 6];
    let mut i = 0;
    while i < given.len() {
        all[i] = given[i];
        i += 1;
    }
    all
}

const NEWUSER_AND_FS: usize = (libc::CLONE_NEWUSER | libc::CLONE_FS) as usize;
const AF_VSOCK: usize = libc::AF_VSOCK as usize;

/// Why none of these can do harm: a bad descriptor, an address that is not mapped, an unknown flag
/// or command is turned down first, whoever asks. (`acct(NULL)`, by contrast, would switch
/// accounting off, and `kexec_load` of nothing would unload a kernel: neither is done here.)
const TRIALS: &[Trial] = trials! {
    "acct" = acct(NOWHERE);
    "add_key" = add_key(NOWHERE, NOWHERE, 0, 0, 0);
    "bpf" = bpf(BAD);
    "chroot" = chroot(NOWHERE);
    "clock_adjtime" = clock_adjtime(BAD, NOWHERE);
    "clock_settime" = clock_settime(BAD, NOWHERE);
    // The kernel refuses these two flags together, whoever asks.
    "clone(CLONE_NEWUSER)" = clone(NEWUSER_AND_FS);
    "clone3" = clone3(0, 0);
    "delete_module" = delete_module(NOWHERE, 0);
    "fanotify_init" = fanotify_init(BAD, BAD);
    "finit_module" = finit_module(BAD, NOWHERE, BAD);
    "fsconfig" = fsconfig(BAD, BAD);
    "fsmount" = fsmount(BAD, BAD, BAD);
    "fsopen" = fsopen(NOWHERE, BAD);
    "fspick" = fspick(BAD, NOWHERE, BAD);
    "get_mempolicy" = get_mempolicy(0, 0, 0, 0, BAD);
    "init_module" = init_module(NOWHERE, 0, NOWHERE);
    "io_uring_enter" = io_uring_enter(BAD, 0, 0, BAD);
    "io_uring_register" = io_uring_register(BAD, BAD);
    "io_uring_setup" = io_uring_setup(0, NOWHERE);
    "ioctl(TIOCSTI)" = ioctl(BAD, libc::TIOCSTI as usize, NOWHERE);
    "ioctl(TIOCLINUX)" = ioctl(BAD, libc::TIOCLINUX as usize, NOWHERE);
    "kcmp" = kcmp(BAD, BAD);
    "kexec_file_load" = kexec_file_load(BAD, BAD, 0, 0, BAD);
    "kexec_load" = kexec_load(0, BAD, NOWHERE, BAD);
    "keyctl" = keyctl(BAD);
    "landlock_create_ruleset" = landlock_create_ruleset(NOWHERE, 0, BAD);
    "mbind" = mbind(0, 0, BAD, 0, 0, BAD);
    "migrate_pages" = migrate_pages(BAD, 0, NOWHERE, NOWHERE);
    "mount" = mount(NOWHERE, NOWHERE, NOWHERE);
    "mount_setattr" = mount_setattr(BAD, NOWHERE, BAD);
    "move_mount" = move_mount(BAD, NOWHERE, BAD, NOWHERE, BAD);
    "move_pages" = move_pages(0, 0, 0, 0, 0, BAD);
    "name_to_handle_at" = name_to_handle_at(BAD, NOWHERE, NOWHERE, NOWHERE, BAD);
    "open_by_handle_at" = open_by_handle_at(BAD, NOWHERE);
    "open_tree" = open_tree(BAD, NOWHERE, BAD);
    "perf_event_open" = perf_event_open(NOWHERE, 0, BAD, BAD, BAD);
    // Asks for the personality, changes nothing: the one call here that should succeed.
    "personality" = personality(0xffff_ffff);
    "pidfd_getfd" = pidfd_getfd(BAD, BAD, BAD);
    "pivot_root" = pivot_root(NOWHERE, NOWHERE);
    "process_madvise" = process_madvise(BAD, NOWHERE, 0, 0, BAD);
    "process_vm_readv" = process_vm_readv(BAD, 0, 0, 0, 0, BAD);
    "process_vm_writev" = process_vm_writev(BAD, 0, 0, 0, 0, BAD);
    "ptrace" = ptrace(BAD, BAD);
    "quotactl" = quotactl(BAD);
    "reboot" = reboot(0, 0, 0);
    "request_key" = request_key(NOWHERE, NOWHERE, NOWHERE, 0);
    "seccomp" = seccomp(BAD);
    "set_mempolicy" = set_mempolicy(BAD);
    "setdomainname" = setdomainname(NOWHERE, BAD);
    "sethostname" = sethostname(NOWHERE, BAD);
    "setns" = setns(BAD);
    "settimeofday" = settimeofday(NOWHERE, NOWHERE);
    "socket(AF_VSOCK)" = socket(AF_VSOCK, BAD);
    "swapoff" = swapoff(NOWHERE);
    "swapon" = swapon(NOWHERE, BAD);
    "syslog" = syslog(BAD);
    "umount2" = umount2(NOWHERE, BAD);
    "unshare" = unshare(1);
    "userfaultfd" = userfaultfd(BAD);
};

/// Calls that only this architecture has, and its second door: the x32 numbers.
#[cfg(target_arch = "x86_64")]
const MACHINE: &[Trial] = &[
    Trial("ioperm", Sysno::ioperm as i64, arguments(&[BAD])),
    Trial("iopl", Sysno::iopl as i64, arguments(&[4])),
    Trial("sysfs", Sysno::sysfs as i64, arguments(&[BAD])),
    Trial("x32 getpid", 0x4000_0000 | Sysno::getpid as i64, [0; 6]),
];
#[cfg(not(target_arch = "x86_64"))]
const MACHINE: &[Trial] = &[];

/// Tries every call, in a process that is not ours: a filter may answer with death, and then another
/// goes on behind the call that was deadly. The caller must have a single thread.
pub fn try_all() -> Calls {
    let all: Vec<&Trial> = TRIALS.iter().chain(MACHINE).collect();
    let mut answers = Vec::new();
    while let [_, ..] = &all[answers.len()..] {
        answers.extend(try_some(&all[answers.len()..]));
    }
    all.iter().map(|trial| trial.0.to_string()).zip(answers).collect()
}

/// The answers up to the first deadly one, or to the last; one at least.
fn try_some(trials: &[&Trial]) -> Vec<String> {
    let Ok((mut read, mut write)) = pipe() else { return vec!["not tried: no pipe".into()] };
    // SAFETY: the caller has one thread, so the child may use all of its memory.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            for trial in trials {
                let _ = write.write_all(&[trial.call()]);
            }
            // SAFETY: ends this process, a copy with one thread.
            unsafe { libc::_exit(0) }
        }
        Ok(ForkResult::Parent { child }) => {
            drop(write);
            let mut errnos = Vec::new();
            let _ = read.read_to_end(&mut errnos);
            let mut answers: Vec<String> = errnos.into_iter().map(answer).collect();
            match waitpid(child, None) {
                Ok(WaitStatus::Exited(_, 0)) => {}
                Ok(WaitStatus::Signaled(_, signal, _)) => answers.push(signal.to_string()),
                other => answers.push(format!("{other:?}")),
            }
            answers
        }
        Err(errno) => vec![format!("not tried: {errno:?}")],
    }
}

fn answer(errno: u8) -> String {
    match errno {
        0 => "ok".to_string(),
        errno => format!("{:?}", Errno::from_raw(errno.into())),
    }
}

impl Trial {
    /// Makes the call. Returns the error number: all of them fit into a byte.
    fn call(&self) -> u8 {
        let Trial(_, number, [a, b, c, d, e, f]) = *self;
        // SAFETY: the table holds only calls that the kernel turns down or that change nothing.
        let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
        if result < 0 { Errno::last_raw() as u8 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_listed_twice_and_none_of_them_is_done() {
        let all = try_all();
        assert_eq!(all.len(), TRIALS.len() + MACHINE.len());
        let done: Vec<_> = all.iter().filter(|(_, answer)| *answer == "ok").collect();
        let expected = |name: &str| name == "personality" || name == "x32 getpid";
        assert!(done.iter().all(|(name, _)| expected(name)), "{done:?}");
    }

    /// A filter of four instructions, seccomp(2), of this thread and its children alone.
    fn make_deadly(call: Sysno) {
        let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
        let [load, compare, end] = [0x20, 0x15, 0x06];
        let (kill, allow) = (libc::SECCOMP_RET_KILL_PROCESS, libc::SECCOMP_RET_ALLOW);
        let mut filter = [
            step(load, 0, 0),
            step(compare, 1, call as u32),
            step(end, 0, kill),
            step(end, 0, allow),
        ];
        let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
        nix::sys::prctl::set_no_new_privs().unwrap();
        let set = libc::SECCOMP_SET_MODE_FILTER;
        // SAFETY: the program outlives the call.
        assert_eq!(unsafe { libc::syscall(libc::SYS_seccomp, set, 0, &program) }, 0);
    }

    #[test]
    fn a_deadly_call_does_not_hide_those_behind_it() {
        let answers = std::thread::spawn(|| {
            make_deadly(Sysno::keyctl);
            try_all()
        });
        let answers = answers.join().unwrap();
        assert_eq!(answers["keyctl"], "SIGSYS");
        assert_eq!(answers.len(), TRIALS.len() + MACHINE.len());
        assert!(answers.iter().all(|(name, answer)| answer != "SIGSYS" || name == "keyctl"));
    }

    #[test]
    fn a_filter_is_told_apart_from_bad_arguments() {
        assert!(refused("EPERM") && refused("ENOSYS"));
        assert!(!refused("EINVAL") && !refused("EFAULT"));
    }
}
