//! Which devices a container may make and open. Only v1 has files for it; on v2 the same rules
//! become an eBPF program, in a later step.

/// One rule, in the words of the v1 files: `c 1:3 rwm`; `*` is any number, `a` every device.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    pub allow: bool,
    pub rule: String,
}

/// Docker's list: any node may be made (m), but of those only these may be opened.
const OPEN_TO_ALL: [&str; 11] = [
    "c *:* m",     // any character device, to make but not to open
    "b *:* m",     // any block device, the same
    "c 1:3 rwm",   // /dev/null
    "c 1:5 rwm",   // /dev/zero
    "c 1:7 rwm",   // /dev/full
    "c 1:8 rwm",   // /dev/random
    "c 1:9 rwm",   // /dev/urandom
    "c 5:0 rwm",   // /dev/tty
    "c 5:1 rwm",   // /dev/console
    "c 5:2 rwm",   // /dev/ptmx
    "c 136:* rwm", // /dev/pts/*
];

impl Device {
    /// Nothing, then Docker's list: a disk's node that someone made cannot be opened.
    pub fn defaults() -> Vec<Device> {
        let deny = Device { allow: false, rule: "a *:* rwm".to_string() };
        let allow = OPEN_TO_ALL.iter().map(|rule| Device { allow: true, rule: rule.to_string() });
        std::iter::once(deny).chain(allow).collect()
    }
}
