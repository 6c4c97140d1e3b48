//! Every limit, as the table writes it for both versions.

use super::*;
use crate::devices::Device;
use crate::limits::{Hugetlb, Io, Quota};

fn full() -> Limits {
    Limits {
        memory: Some(64 << 20),
        memory_swap: Some(Max::At(96 << 20)),
        cpu_quota: Some(Quota { time: 50_000, period: 100_000 }),
        cpu_weight: Some(100),
        cpuset_cpus: Some("0".into()),
        pids: Some(Max::Unlimited),
        io: vec![Io {
            device: "8:0".into(),
            most: vec![("rbps".into(), Max::At(7)), ("wiops".into(), Max::Unlimited)],
        }],
        hugetlb: vec![Hugetlb { page: "2MB".into(), bytes: 4 << 20 }],
        devices: Device::defaults()[..2].to_vec(),
        ..Limits::default()
    }
}

fn all(of: impl Fn(&Row) -> Vec<Write>) -> Vec<(String, String)> {
    let writes = TABLE.iter().flat_map(of);
    writes.map(|write| (write.file, write.value)).collect()
}

fn expect(writes: Vec<(String, String)>, expected: &[(&str, &str)]) {
    let writes: Vec<(&str, &str)> =
        writes.iter().map(|(file, value)| (&**file, &**value)).collect();
    assert_eq!(writes, expected);
}

#[test]
fn values_in_v2() {
    let (limits, mib32) = (full(), (32 << 20).to_string());
    expect(
        all(|row| row.v2(&limits)),
        &[
            ("memory.max", "67108864"),
            ("memory.swap.max", &mib32),
            ("cpu.max", "50000 100000"),
            ("cpu.weight", "100"),
            ("cpuset.cpus", "0"),
            ("pids.max", "max"),
            ("io.max", "8:0 rbps=7"),
            ("io.max", "8:0 wiops=max"),
            ("hugetlb.2MB.max", "4194304"),
        ],
    );
}

#[test]
fn values_in_v1() {
    let limits = full();
    expect(
        all(|row| row.v1(&limits)),
        &[
            ("memory.limit_in_bytes", "67108864"),
            ("memory.memsw.limit_in_bytes", "100663296"),
            ("cpu.cfs_quota_us", "50000"),
            ("cpu.cfs_period_us", "100000"),
            ("cpu.shares", "1024"),
            ("cpuset.cpus", "0"),
            ("pids.max", "max"),
            ("blkio.throttle.read_bps_device", "8:0 7"),
            ("blkio.throttle.write_iops_device", "8:0 0"),
            ("hugetlb.2MB.limit_in_bytes", "4194304"),
            ("devices.deny", "a *:* rwm"),
            ("devices.allow", "c *:* m"),
        ],
    );
}

#[test]
fn swap_follows_memory_unless_it_is_said() {
    let limits = Limits { memory: Some(64), ..Limits::default() };
    assert_eq!((swap(&limits), memory_and_swap(&limits)), (vec!["64".into()], vec!["128".into()]));
    assert!(swap(&Limits::default()).is_empty());
}
