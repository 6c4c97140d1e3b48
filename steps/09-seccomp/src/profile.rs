//! Docker's profile format, which contains the `linux.seccomp` of the OCI runtime specification:
//! names of calls, and clauses that make a rule depend on capabilities, architecture or kernel.
//! `rules` keeps what holds on one host and turns names into numbers. Facts: docs.docker.com,
//! "Seccomp security profiles for Docker", and config-linux.md of the OCI specification.

use serde::{Deserialize, Deserializer};

use crate::names::Call;
use crate::rules::{Action, Comparison, Condition, Rule, Rules};

/// A profile as it is written. Unknown fields are ignored, as Docker does; so are the
/// architectures, for only the native one is served. All conditions of a rule must hold, and of
/// a call's rules the first that matches wins. (The usual runtimes take two conditions on the
/// same argument as alternatives, which makes a range of an allowlist wider than it reads.)
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: ActionName,
    #[serde(default, deserialize_with = "errno")]
    default_errno_ret: Option<u16>,
    #[serde(default, deserialize_with = "nullable")]
    syscalls: Vec<Syscalls>,
}

/// One rule for several calls.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Syscalls {
    #[serde(default, deserialize_with = "nullable")]
    names: Vec<Call>,
    /// The oldest profiles have one name a rule.
    name: Option<Call>,
    action: ActionName,
    #[serde(default, deserialize_with = "errno")]
    errno_ret: Option<u16>,
    #[serde(default, deserialize_with = "nullable")]
    args: Vec<Argument>,
    #[serde(default, deserialize_with = "nullable")]
    includes: Clause,
    #[serde(default, deserialize_with = "nullable")]
    excludes: Clause,
}

#[derive(Clone, Copy, Deserialize)]
enum ActionName {
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_KILL_THREAD", alias = "SCMP_ACT_KILL")]
    KillThread,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    #[serde(deserialize_with = "index")]
    index: u8,
    value: u64,
    #[serde(default, deserialize_with = "nullable")]
    value_two: u64,
    op: Operator,
}

#[derive(Clone, Copy, Deserialize)]
enum Operator {
    #[serde(rename = "SCMP_CMP_NE")]
    Ne,
    #[serde(rename = "SCMP_CMP_LT")]
    Lt,
    #[serde(rename = "SCMP_CMP_LE")]
    Le,
    #[serde(rename = "SCMP_CMP_EQ")]
    Eq,
    #[serde(rename = "SCMP_CMP_GE")]
    Ge,
    #[serde(rename = "SCMP_CMP_GT")]
    Gt,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEq,
}

/// When a rule applies (`includes`: all of it) or does not (`excludes`: any of it).
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Clause {
    #[serde(default, deserialize_with = "nullable")]
    caps: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    arches: Vec<String>,
    min_kernel: Option<Version>,
}

/// A kernel version's first two numbers, so that 4.10 is more than 4.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Version(pub u32, pub u32);

impl TryFrom<String> for Version {
    type Error = String;

    /// From `4.8`, also from a release as uname(2) has it: `6.18.44-fc`. None is before all.
    fn try_from(text: String) -> Result<Version, String> {
        if text.is_empty() {
            return Ok(Version(0, 0));
        }
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(version)), Some(Ok(revision))) => Ok(Version(version, revision)),
            _ => Err(format!("`{text}` is no kernel version")),
        }
    }
}

/// What a profile's clauses ask about.
pub struct Host<'a> {
    /// The container's bounding set, as `CAP_SYS_CHROOT`.
    pub capabilities: &'a [&'a str],
    pub kernel: Version,
}

/// Docker's clauses call architectures as Go does.
const ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };

impl Profile {
    /// The rules that hold on `host`, in the profile's order. A name that the architecture does
    /// not have is skipped: profiles are written for many.
    pub fn rules(&self, host: &Host) -> Rules {
        let mut rules = Vec::with_capacity(512);
        for entry in self.syscalls.iter().filter(|entry| entry.applies(host)) {
            let action = entry.action.with(entry.errno_ret);
            for Call(number) in entry.name.iter().chain(&entry.names) {
                let conditions = entry.args.iter().map(Argument::condition);
                rules.extend(number.map(|call| Rule {
                    call,
                    action,
                    conditions: conditions.collect(),
                }));
            }
        }
        Rules { default: self.default_action.with(self.default_errno_ret), rules }
    }
}

impl Syscalls {
    fn applies(&self, host: &Host) -> bool {
        let (includes, excludes) = (&self.includes, &self.excludes);
        let has = |name: &String| host.capabilities.contains(&name.as_str());
        let native = |name: &String| name == ARCHITECTURE;
        includes.caps.iter().all(has)
            && (includes.arches.is_empty() || includes.arches.iter().any(native))
            && includes.min_kernel.is_none_or(|least| host.kernel >= least)
            && !excludes.caps.iter().any(has)
            && !excludes.arches.iter().any(native)
            && excludes.min_kernel.is_none_or(|least| host.kernel < least)
    }
}

impl ActionName {
    /// The number that goes with the action is EPERM where the profile has none.
    fn with(self, number: Option<u16>) -> Action {
        let number = number.unwrap_or(libc::EPERM as u16);
        match self {
            ActionName::Allow => Action::Allow,
            ActionName::Errno => Action::Errno(number),
            ActionName::KillProcess => Action::KillProcess,
            ActionName::KillThread => Action::KillThread,
            ActionName::Trap => Action::Trap,
            ActionName::Trace => Action::Trace(number),
            ActionName::Log => Action::Log,
            ActionName::Notify => Action::Notify,
        }
    }
}

impl Argument {
    fn condition(&self) -> Condition {
        let value = self.value;
        let comparison = match self.op {
            Operator::Ne => Comparison::Ne(value),
            Operator::Lt => Comparison::Lt(value),
            Operator::Le => Comparison::Le(value),
            Operator::Eq => Comparison::Eq(value),
            Operator::Ge => Comparison::Ge(value),
            Operator::Gt => Comparison::Gt(value),
            Operator::MaskedEq => Comparison::MaskedEq { mask: value, value: self.value_two },
        };
        Condition { argument: self.index, comparison }
    }
}

/// Programs written in Go leave `null` where a list is empty.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// The kernel would cut a larger errno to 4095 (MAX_ERRNO).
fn errno<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    match Option::deserialize(from)? {
        Some(number @ 4096..) => {
            Err(serde::de::Error::custom(format!("{number} is no errno: they end at 4095")))
        }
        number => Ok(number),
    }
}

fn index<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    match u8::deserialize(from)? {
        index @ 0..=5 => Ok(index),
        index => Err(serde::de::Error::custom(format!("no argument {index}: they are 0 to 5"))),
    }
}
