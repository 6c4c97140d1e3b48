//! Capability sets as the kernel keeps them: 64 bits, a bit a capability; see capabilities(7).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names by bit number; linux/capability.h.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// A set of capabilities. In JSON, its 16 hexadecimal digits, as /proc writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set(pub u64);

impl Set {
    /// Reads 16 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Set> {
        u64::from_str_radix(text, 16).ok().map(Set)
    }

    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in this set and not in `other`.
    pub fn without(self, other: Set) -> Set {
        Set(self.0 & !other.0)
    }

    /// The names, in bit order; a capability newer than this table is `CAP_41` and so on.
    pub fn names(self) -> Vec<String> {
        (0..64usize)
            .filter(|bit| self.0 & (1 << bit) != 0)
            .map(|bit| NAMES.get(bit).map_or(format!("CAP_{bit}"), |n| n.to_string()))
            .collect()
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Set {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Set {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Set, D::Error> {
        let text = String::deserialize(deserializer)?;
        Set::parse(&text).ok_or_else(|| serde::de::Error::custom("not a capability set"))
    }
}

/// The five sets of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    pub inheritable: Set,
    pub permitted: Set,
    pub effective: Set,
    pub bounding: Set,
    pub ambient: Set,
}

impl Capabilities {
    /// Builds the five from the lines `CapInh` … `CapAmb` of a status file.
    pub fn parse<'a>(line: impl Fn(&'static str) -> Option<&'a str>) -> Option<Capabilities> {
        Some(Capabilities {
            inheritable: Set::parse(line("CapInh")?)?,
            permitted: Set::parse(line("CapPrm")?)?,
            effective: Set::parse(line("CapEff")?)?,
            bounding: Set::parse(line("CapBnd")?)?,
            ambient: Set::parse(line("CapAmb")?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        let docker = Set::parse("00000000a80425fb").unwrap();
        assert_eq!(docker.len(), 14);
        assert_eq!(docker.names()[13], "CAP_SETFCAP");
        assert_eq!(docker.to_string(), "00000000a80425fb");
        assert_eq!(Set(1 << 50).names(), ["CAP_50"]);
        assert!(docker.without(Set(u64::MAX)).is_empty());
    }
}
