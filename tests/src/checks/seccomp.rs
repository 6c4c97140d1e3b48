//! Step 9: the kernel answers only the system calls that a container needs.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::{Check, Context, Ended, Need, expect};
use crate::Process;

const STEP: Check = Check { step: 9, ..Check::DEFAULT };

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "a-filter-is-installed",
        asks: "Is Seccomp 2 in /proc/PID/status, with one filter more than ours?",
        look_at: "lib.rs: install, main.rs; seccomp(2), proc_pid_status(5)",
        exercise: "9.1",
        run: a_filter_is_installed,
        ..STEP
    },
    Check {
        name: "no-new-privileges",
        asks: "Is NoNewPrivs 1 in /proc/PID/status, with and without a filter?",
        look_at: "lib.rs: install; PR_SET_NO_NEW_PRIVS(2const)",
        exercise: "9.1",
        run: no_new_privileges,
        ..STEP
    },
    Check {
        name: "calls-that-are-refused",
        asks: "Are the calls that a container must not make refused with EPERM?",
        look_at: "compile.rs: dispatch, default.json; seccomp(2), syscalls(2)",
        exercise: "9.3",
        run: calls_that_are_refused,
        ..STEP
    },
    Check {
        name: "calls-that-are-allowed",
        asks: "Are calls that programs need answered by the kernel, and not by the filter?",
        look_at: "compile.rs: dispatch, default.json; seccomp(2)",
        exercise: "9.3",
        before: Some("without a filter every call is answered by the kernel"),
        run: calls_that_are_allowed,
        ..STEP
    },
    Check {
        name: "clone3-is-not-there",
        asks: "Is clone3, whose flags a filter cannot read, answered with ENOSYS, and clone with CLONE_NEWUSER with EPERM?",
        look_at: "compile.rs: dispatch, default.json: clone, clone3; clone(2)",
        exercise: "9.3",
        run: clone3_is_not_there,
        ..STEP
    },
    Check {
        name: "x32-is-not-there",
        asks: "Is a call by its x32 number refused?",
        look_at: "compile.rs: dispatch, ranges; syscall(2), seccomp(2)",
        exercise: "9.3",
        needs: &[Need::X86],
        before: Some("most kernels are built without x32"),
        run: x32_is_not_there,
        ..STEP
    },
    Check {
        name: "newer-calls-are-not-there",
        asks: "Is a call that is newer than the profile answered with ENOSYS, so that programs use an older one?",
        look_at: "compile.rs: dispatch, ranges; seccomp(2), syscalls(2)",
        exercise: "9.3",
        before: Some("the kernel does not know it either"),
        run: newer_calls_are_not_there,
        ..STEP
    },
    Check {
        name: "foreign-architecture-kills",
        asks: "Is a process that makes a call of 32-bit x86, by `int 0x80`, killed with SIGSYS?",
        look_at: "compile.rs: compile; seccomp(2): the field arch",
        exercise: "9.2",
        needs: &[Need::Int80],
        run: foreign_architecture_kills,
        ..STEP
    },
    Check {
        name: "programs-compile",
        asks: "Is a profile of a rule for every call taken by the kernel, and one that is too long an error?",
        look_at: "compile.rs: compile; seccomp(2): BPF_MAXINSNS",
        exercise: "9.2",
        run: programs_compile,
        ..STEP
    },
    Check {
        name: "comparisons-of-64-bits",
        asks: "Do the comparisons >, >=, <, <= of a profile look at all 64 bits of an argument, without a sign?",
        look_at: "compare.rs: above; seccomp(2)",
        exercise: "9.4",
        run: comparisons_of_64_bits,
        ..STEP
    },
    Check {
        name: "terminal-commands",
        asks: "Is TIOCSTI refused, whatever its upper 32 bits, and are TIOCGWINSZ and FIONREAD allowed?",
        look_at: "main.rs: filter.install, default.json: ioctl, compare.rs; ioctl_tty(2)",
        exercise: "9",
        run: terminal_commands,
        ..STEP
    },
    Check {
        name: "own-profile",
        asks: "Does a profile in Docker's format refuse what it says, with the error that it says?",
        look_at: "main.rs: seccomp::load, profile.rs, rules.rs; seccomp(2)",
        exercise: "9",
        run: own_profile,
        ..STEP
    },
    Check {
        name: "unconfined",
        asks: "With seccomp=unconfined, is there no filter more than ours?",
        look_at: "main.rs: seccomp::load; seccomp(2)",
        exercise: "9",
        before: Some("without this step there is no filter either"),
        run: unconfined,
        ..STEP
    },
    Check {
        name: "broken-profile-is-an-error",
        asks: "Is a profile that cannot be read or understood an error, and the command not run? And one that can none?",
        look_at: "main.rs: seccomp::load, before the clone",
        exercise: "9",
        run: broken_profile_is_an_error,
        ..STEP
    },
];

fn filters(process: &Process) -> Result<(u32, u32)> {
    let status = process.status.get().context("/proc/PID/status cannot be read")?;
    Ok((status.seccomp.context("no Seccomp line")?, status.seccomp_filters.unwrap_or(0)))
}

fn a_filter_is_installed(context: &Context) -> Result<()> {
    let container = context.start(&["probe"])?;
    let (ours, theirs) = (filters(&Process::own()?)?, filters(&container.process()?)?);
    expect("mode and number of filters", &theirs, &(2, ours.1 + 1))?;
    expect("the mode, seen from inside", &container.probe(0)?.seccomp.get().copied(), &Some(2))
}

fn no_new_privileges(context: &Context) -> Result<()> {
    for option in ["no-new-privileges", "seccomp=unconfined"] {
        let process = context.container().option("--security-opt", option).start(&[])?.process()?;
        let status = process.status.get().context("/proc/PID/status cannot be read")?;
        expect("NoNewPrivs", &status.no_new_privs, &Some(true))?;
    }
    Ok(())
}

/// The calls that Docker's default profile refuses a process without extra capabilities.
const REFUSED: [&str; 42] = [
    "acct",
    "add_key",
    "bpf",
    "clock_settime",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "mbind",
    "migrate_pages",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pidfd_getfd",
    "pivot_root",
    "process_madvise",
    "quotactl",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "umount2",
    "unshare",
];

fn calls_that_are_refused(context: &Context) -> Result<()> {
    let calls = context.start(&["probe"])?.probe(0)?.calls;
    for name in
        REFUSED.iter().chain(&["syslog", "userfaultfd", "ioctl(TIOCSTI)", "socket(AF_VSOCK)"])
    {
        let answer = calls.get(*name).with_context(|| format!("the probe did not try {name}"))?;
        expect(name, &**answer, "EPERM")?;
    }
    Ok(())
}

fn calls_that_are_allowed(context: &Context) -> Result<()> {
    let container = context.start(&["probe", "forks 3", "loopback", "pty"])?;
    let calls = container.probe(0)?.calls;
    let wanted = [
        ("personality", "ok"),
        ("chroot", "EFAULT"),
        ("seccomp", "EINVAL"),
        ("ptrace", "ESRCH"),
        ("process_vm_readv", "EINVAL"),
        ("name_to_handle_at", "EFAULT"),
    ];
    for (name, answer) in wanted {
        let found = calls.get(name).with_context(|| format!("the probe did not try {name}"))?;
        ensure!(
            found == answer || !crate::calls::refused(found),
            "{name} is answered with {found}"
        );
    }
    for (deed, answer) in [(1, "ok 3"), (2, "ok"), (3, "ok /dev/pts/0")] {
        expect("what programs do", &*container.answer(deed)?, answer)?;
    }
    Ok(())
}

fn clone3_is_not_there(context: &Context) -> Result<()> {
    let calls = context.start(&["probe"])?.probe(0)?.calls;
    expect("clone3", &*calls["clone3"], "ENOSYS")?;
    expect("clone with CLONE_NEWUSER", &*calls["clone(CLONE_NEWUSER)"], "EPERM")
}

fn x32_is_not_there(context: &Context) -> Result<()> {
    let calls = context.start(&["probe"])?.probe(0)?.calls;
    ensure!(
        crate::calls::refused(&calls["x32 getpid"]),
        "getpid is answered with {}",
        calls["x32 getpid"]
    );
    Ok(())
}

fn foreign_architecture_kills(context: &Context) -> Result<()> {
    expect("getpid by int 0x80", context.container().run(&["int80"])?.answer(0)?, "SIGSYS")
}

/// Runs `deeds` under a profile that allows all but what `rules` say.
fn under(context: &Context, rules: &str, deeds: &[&str]) -> Result<Ended> {
    let own = context.scene.own_root()?;
    let file = own.beside("profile.json");
    let profile = format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rules}]}}"#);
    fs::write(&file, profile)?;
    let option = format!("seccomp={}", file.display());
    context.container().option("--security-opt", option).run(deeds)
}

/// A condition takes six instructions, and the kernel no more than 4096 in all.
fn programs_compile(context: &Context) -> Result<()> {
    let rule = |value: usize| {
        format!(
            r#"{{"names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95,
               "args": [{{"index": 0, "op": "SCMP_CMP_EQ", "value": {value}}}]}}"#
        )
    };
    let rules = |count: usize| (1..=count).map(rule).collect::<Vec<_>>().join(",");
    let ended = under(context, &rules(400), &["getpgid 0", "getpgid 190"])?;
    expect("a call that no rule names", ended.answer(0)?, "ok")?;
    expect("a call that the last rule names", ended.answer(1)?, "EOPNOTSUPP")?;
    let ended = under(context, &rules(4096), &["getpgid 0"])?;
    ensure!(ended.stderr.contains("4096"), "no error says how long it may be: {}", ended.stderr);
    ended.expect_code(125)
}

/// getpgid(2) is given values around 2^32 + 1. It looks at their low 32 bits, so that 0 is the caller
/// and 1 is process 1: the kernel itself takes them all.
fn comparisons_of_64_bits(context: &Context) -> Result<()> {
    let values = ["1", "100000000", "100000001", "200000000", "ffffffff00000001"];
    let deeds = values.map(|value| format!("getpgid {value}"));
    let deeds = deeds.each_ref().map(String::as_str);
    for (operator, refused) in [
        ("GT", [false, false, false, true, true]),
        ("GE", [false, false, true, true, true]),
        ("LT", [true, true, false, false, false]),
        ("LE", [true, true, true, false, false]),
    ] {
        let rule = format!(
            r#"{{"names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95,
               "args": [{{"index": 0, "op": "SCMP_CMP_{operator}", "value": 4294967297}}]}}"#
        );
        let ended = under(context, &rule, &deeds)?;
        for (number, refused) in refused.into_iter().enumerate() {
            let what = format!("0x{} {operator} 0x100000001", values[number]);
            let wanted = if refused { "EOPNOTSUPP" } else { "ok" };
            expect(&what, ended.answer(number)?, wanted)?;
        }
    }
    Ok(())
}

/// A number that no table of calls has reached yet, and the last before the x32 numbers.
fn newer_calls_are_not_there(context: &Context) -> Result<()> {
    for number in ["4095", "1073741823"] {
        let ended = context.container().run(&[&format!("call {number}")])?;
        expect(&format!("call {number}"), ended.answer(0)?, "ENOSYS")?;
    }
    Ok(())
}

fn terminal_commands(context: &Context) -> Result<()> {
    let container =
        context.start(&["ioctl 5412", "ioctl 100005412", "ioctl 5413", "ioctl 541b"])?;
    expect("TIOCSTI", &*container.answer(0)?, "EPERM")?;
    expect("TIOCSTI with a bit that the kernel ignores", &*container.answer(1)?, "EPERM")?;
    expect("TIOCGWINSZ", &*container.answer(2)?, "ok")?;
    expect("FIONREAD", &*container.answer(3)?, "ok")
}

fn own_profile(context: &Context) -> Result<()> {
    let own = context.scene.own_root()?;
    let file = own.beside("profile.json");
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
        {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 11,
         "args": [{"index": 1, "op": "SCMP_CMP_EQ", "value": 10}]}]}"#;
    fs::write(&file, profile)?;
    let run = context.container().option("--security-opt", format!("seccomp={}", file.display()));
    let ended = run.run(&["mkdir /tmp/x", "write /tmp/y z", "kill 1 SIGUSR1", "kill 1 SIGCONT"])?;
    expect("mkdir", ended.answer(0)?, "EOPNOTSUPP")?;
    expect("what it does not name", ended.answer(1)?, "ok")?;
    expect("kill with signal 10", ended.answer(2)?, "EAGAIN")?;
    expect("kill with another", ended.answer(3)?, "ok")
}

fn unconfined(context: &Context) -> Result<()> {
    let container = context.container().option("--security-opt", "seccomp=unconfined").start(&[])?;
    expect(
        "mode and number of filters",
        &filters(&container.process()?)?,
        &filters(&Process::own()?)?,
    )
}

fn broken_profile_is_an_error(context: &Context) -> Result<()> {
    let own = context.scene.own_root()?;
    let file = own.beside("broken.json");
    fs::write(&file, r#"{"defaultAction": "SCMP_ACT_PERHAPS"}"#)?;
    for file in [file, own.beside("none.json")] {
        let run =
            context.container().option("--security-opt", format!("seccomp={}", file.display()));
        let ended = run.run(&["ls /"])?;
        ended.expect_code(125)?;
        let name = file.display().to_string();
        ensure!(ended.stderr.contains(&name) && ended.lines.is_empty(), "{ended}");
    }
    expect("the same with a profile", under(context, "", &["ls /mnt"])?.answer(0)?, "ok")
}
