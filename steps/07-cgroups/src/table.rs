//! The one table of file names: which limit is which file of which controller, in v2 and in v1,
//! and how its value is written there; Linux Documentation/admin-guide/cgroup-v{2.rst,1/}.
//!
//! net_cls and net_prio have no line: v2 has no such controllers. There the cgroup itself tells
//! whose a packet is (`nft … socket cgroupv2`, or an eBPF program attached to the cgroup).

use crate::limits::{Limits, Max};

/// A value for a file of the container's cgroup.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The limit that it is for, as the user knows it.
    pub limit: &'static str,
    pub file: String,
    pub value: String,
    /// Whether the user asked for it; what is ours by default may be missing.
    pub asked: bool,
}

/// One file of a version; no controller where the version has no such file.
pub struct Place {
    pub controller: &'static str,
    pub file: &'static str,
    /// The values that the limits make of it, each for one write(2).
    values: fn(&Limits) -> Vec<String>,
}

/// One limit in both versions.
pub struct Row {
    pub limit: &'static str,
    pub v2: Place,
    pub v1: Place,
}

impl Row {
    pub fn v2(&self, limits: &Limits) -> Vec<Write> {
        self.writes(&self.v2, limits)
    }

    pub fn v1(&self, limits: &Limits) -> Vec<Write> {
        self.writes(&self.v1, limits)
    }

    /// Where a file's name has a `WORD` to fill in, the values are `WORD=VALUE`.
    fn writes(&self, place: &Place, limits: &Limits) -> Vec<Write> {
        let asked = match self.limit {
            "--memory-swap" => limits.memory_swap.is_some(),
            limit => limit.starts_with("--"),
        };
        let write = |value: String| match value.split_once('=') {
            Some((word, value)) if place.file.contains("WORD") => {
                (place.file.replace("WORD", word), value.to_string())
            }
            _ => (place.file.to_string(), value),
        };
        let values = (place.values)(limits).into_iter().map(write);
        values.map(|(file, value)| Write { limit: self.limit, file, value, asked }).collect()
    }
}

const fn row(limit: &'static str, v2: Place, v1: Place) -> Row {
    Row { limit, v2, v1 }
}

const fn place(
    controller: &'static str,
    file: &'static str,
    values: fn(&Limits) -> Vec<String>,
) -> Place {
    Place { controller, file, values }
}

#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    row("--memory",
        place("memory",  "memory.max",                        |it| text(it.memory)),
        place("memory",  "memory.limit_in_bytes",             |it| text(it.memory))),
    row("--memory-swap",
        place("memory",  "memory.swap.max",                   swap),
        place("memory",  "memory.memsw.limit_in_bytes",       memory_and_swap)),
    row("--cpus",
        place("cpu",     "cpu.max",                           time_and_period),
        place("cpu",     "cpu.cfs_quota_us",                  |it| text(time(it)))),
    row("--cpus",
        place("",        "(in cpu.max)",                      |_| vec![]),
        place("cpu",     "cpu.cfs_period_us",                 |it| text(period(it)))),
    row("--cpu-weight",
        place("cpu",     "cpu.weight",                        |it| text(it.cpu_weight)),
        place("cpu",     "cpu.shares",                        |it| text(it.cpu_weight.map(shares)))),
    row("--cpuset-cpus",
        place("cpuset",  "cpuset.cpus",                       |it| text(it.cpuset_cpus.as_ref())),
        place("cpuset",  "cpuset.cpus",                       |it| text(it.cpuset_cpus.as_ref()))),
    row("--cpuset-mems",
        place("cpuset",  "cpuset.mems",                       |it| text(it.cpuset_mems.as_ref())),
        place("cpuset",  "cpuset.mems",                       |it| text(it.cpuset_mems.as_ref()))),
    row("--pids-limit",
        place("pids",    "pids.max",                          |it| text(it.pids)),
        place("pids",    "pids.max",                          |it| text(it.pids))),
    row("--io-max",
        place("io",      "io.max",                            |it| io(it, "rbps", " rbps=")),
        place("blkio",   "blkio.throttle.read_bps_device",    |it| io(it, "rbps", " "))),
    row("--io-max",
        place("io",      "io.max",                            |it| io(it, "wbps", " wbps=")),
        place("blkio",   "blkio.throttle.write_bps_device",   |it| io(it, "wbps", " "))),
    row("--io-max",
        place("io",      "io.max",                            |it| io(it, "riops", " riops=")),
        place("blkio",   "blkio.throttle.read_iops_device",   |it| io(it, "riops", " "))),
    row("--io-max",
        place("io",      "io.max",                            |it| io(it, "wiops", " wiops=")),
        place("blkio",   "blkio.throttle.write_iops_device",  |it| io(it, "wiops", " "))),
    row("--hugetlb",
        place("hugetlb", "hugetlb.WORD.max",                  pages),
        place("hugetlb", "hugetlb.WORD.limit_in_bytes",       pages)),
    // v2 has no files for devices: an eBPF program decides, and comes with a later step.
    row("devices",
        place("",        "(eBPF)",                            |_| vec![]),
        place("devices", "devices.WORD",                      devices)),
    // freeze() and thaw() write these. v2 needs no controller for it.
    row("freeze",
        place("",        "cgroup.freeze",                     |_| vec![]),
        place("freezer", "freezer.state",                     |_| vec![])),
];

fn text(value: Option<impl ToString>) -> Vec<String> {
    value.iter().map(ToString::to_string).collect()
}

fn time(limits: &Limits) -> Option<u64> {
    limits.cpu_quota.map(|it| it.time)
}

fn period(limits: &Limits) -> Option<u64> {
    limits.cpu_quota.map(|it| it.period)
}

fn time_and_period(limits: &Limits) -> Vec<String> {
    text(limits.cpu_quota.map(|it| format!("{} {}", it.time, it.period)))
}

/// Docker's default is twice the memory: without a limit on swap, one on memory bites late.
fn memory_and_swap_max(limits: &Limits) -> Option<Max> {
    let twice = |memory: u64| Max::At(memory.saturating_mul(2));
    limits.memory_swap.or(limits.memory.map(twice))
}

/// v1 counts as Docker does, memory and swap together; -1 is no limit.
fn memory_and_swap(limits: &Limits) -> Vec<String> {
    let value = memory_and_swap_max(limits).map(|total| match total {
        Max::At(bytes) => bytes.to_string(),
        Max::Unlimited => "-1".to_string(),
    });
    text(value)
}

/// v2 counts swap alone.
fn swap(limits: &Limits) -> Vec<String> {
    let memory = limits.memory.unwrap_or_default();
    text(memory_and_swap_max(limits).map(|total| match total {
        Max::At(bytes) => Max::At(bytes.saturating_sub(memory)),
        Max::Unlimited => Max::Unlimited,
    }))
}

/// v2's weights are 1 to 10000 around 100, v1's shares 2 to 262144 around 1024.
fn shares(weight: u64) -> u64 {
    (weight * 1024 / 100).max(2)
}

/// v1 has no word for "no limit" here but 0.
fn io(limits: &Limits, key: &str, between: &str) -> Vec<String> {
    let none = if between == " " { "0" } else { "max" };
    let value = |most: &Max| match most {
        Max::At(number) => number.to_string(),
        Max::Unlimited => none.to_string(),
    };
    let all = limits.io.iter().flat_map(|io| io.most.iter().map(move |most| (&io.device, most)));
    all.filter(|(_, (of, _))| of == key)
        .map(|(device, (_, most))| format!("{device}{between}{}", value(most)))
        .collect()
}

fn pages(limits: &Limits) -> Vec<String> {
    limits.hugetlb.iter().map(|it| format!("{}={}", it.page, it.bytes)).collect()
}

fn devices(limits: &Limits) -> Vec<String> {
    let verb = |allow| if allow { "allow" } else { "deny" };
    limits.devices.iter().map(|it| format!("{}={}", verb(it.allow), it.rule)).collect()
}

#[cfg(test)]
mod tests;
