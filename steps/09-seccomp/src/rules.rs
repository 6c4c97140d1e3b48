//! What a filter decides, in the kernel's terms: numbers, not names. Any source of rules fills a
//! `Rules` (a Docker profile, the `linux.seccomp` of an OCI bundle), and `compile` makes it a
//! program. Of several rules for one call the first that matches wins.

/// A filter before it is compiled.
#[derive(Debug)]
pub struct Rules {
    /// The answer for a call that no rule matches.
    pub default: Action,
    /// In order: for one call number, an earlier rule wins over a later one.
    pub rules: Vec<Rule>,
}

/// One call and what becomes of it when all conditions hold; with none, always.
#[derive(Debug)]
pub struct Rule {
    /// The call's number in the native architecture's table.
    pub call: u32,
    pub action: Action,
    pub conditions: Vec<Condition>,
}

/// What the kernel does with a call: the actions of seccomp(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Allow,
    /// The call does not run and gives this errno.
    Errno(u16),
    KillProcess,
    KillThread,
    /// SIGSYS.
    Trap,
    /// A tracer decides, and is told this number; ENOSYS without one.
    Trace(u16),
    /// Allowed, and written to the kernel's log.
    Log,
    /// A supervisor decides, seccomp_unotify(2); ENOSYS without one.
    Notify,
}

/// A test on one of the six arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// 0 to 5.
    pub argument: u8,
    pub comparison: Comparison,
}

/// The argument, all 64 bits of it and without a sign, compared with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    Ne(u64),
    Lt(u64),
    Le(u64),
    Eq(u64),
    Ge(u64),
    Gt(u64),
    /// The bits under the mask equal the value. `EQ` under 0xffffffff suits a call that takes
    /// an `int`: the kernel looks at those bits alone, so others must not change the verdict.
    MaskedEq {
        mask: u64,
        value: u64,
    },
}

impl Action {
    /// The word that a filter returns for it, seccomp(2): action above, data in the low 16 bits.
    pub fn word(self) -> u32 {
        match self {
            Action::Allow => libc::SECCOMP_RET_ALLOW,
            Action::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Action::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
            Action::KillThread => libc::SECCOMP_RET_KILL_THREAD,
            Action::Trap => libc::SECCOMP_RET_TRAP,
            Action::Trace(message) => libc::SECCOMP_RET_TRACE | u32::from(message),
            Action::Log => libc::SECCOMP_RET_LOG,
            Action::Notify => libc::SECCOMP_RET_USER_NOTIF,
        }
    }

    /// True if a call that nobody thought of runs.
    pub fn lets_through(self) -> bool {
        matches!(self, Action::Allow | Action::Log | Action::Trace(_))
    }
}
