//! What a container may use, as plain data: filled from the command line here, from an OCI
//! configuration later. Every value is checked where it is read, with one line if it is wrong.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::sys::stat::{SFlag, major, minor, stat};

use crate::devices::Device;

/// The limits of one container. `None` and empty lists leave the kernel's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of memory and swap together, as Docker counts; without it twice `memory`.
    pub memory_swap: Option<Max>,
    pub cpu_quota: Option<Quota>,
    /// The share of processor time against neighbours, 1 to 10000; 100 is the kernel's default.
    pub cpu_weight: Option<u64>,
    /// Processors, `0-1,3`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes, `0`.
    pub cpuset_mems: Option<String>,
    /// Processes and threads.
    pub pids: Option<Max>,
    pub io: Vec<Io>,
    pub hugetlb: Vec<Hugetlb>,
    /// Which devices may be opened; rules apply in order, and without one all devices may.
    pub devices: Vec<Device>,
}

/// `time` microseconds of processor time in every `period` microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quota {
    pub time: u64,
    pub period: u64,
}

/// A number, or no limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Max {
    At(u64),
    Unlimited,
}

/// Limits on one block device: bytes and operations a second, read and written.
#[derive(Debug, Clone, PartialEq)]
pub struct Io {
    /// `MAJOR:MINOR` of a whole disk; the kernel counts no partitions.
    pub device: String,
    /// `rbps`, `wbps`, `riops` or `wiops`, as io.max spells them, and how much.
    pub most: Vec<(String, Max)>,
}

/// Bytes of huge pages of one size, `2MB`.
#[derive(Debug, Clone, PartialEq)]
pub struct Hugetlb {
    pub page: String,
    pub bytes: u64,
}

impl fmt::Display for Max {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Max::At(number) => number.fmt(f),
            Max::Unlimited => f.write_str("max"),
        }
    }
}

/// Bytes, or with k, m, g or t (powers of 1024): `64m`, `1.5g`, `1048576`.
pub fn size(text: &str) -> Result<u64> {
    let wrong = || format!("{text:?} is not a size: 64m, 1g, or bytes");
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches("ib").trim_end_matches('b');
    let (number, shift) = match digits.char_indices().last() {
        Some((at, 'k')) => (&digits[..at], 10),
        Some((at, 'm')) => (&digits[..at], 20),
        Some((at, 'g')) => (&digits[..at], 30),
        Some((at, 't')) => (&digits[..at], 40),
        _ => (digits, 0),
    };
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(1 << shift).with_context(wrong)?,
        Err(_) => (positive(number).with_context(wrong)? * (1u64 << shift) as f64) as u64,
    };
    ensure!(bytes > 0, "a size of 0 leaves nothing to run in");
    ensure!(bytes < u64::MAX, wrong());
    Ok(bytes)
}

/// `-1` is no limit, as for Docker; so is `max`, as for the kernel.
pub fn size_or_unlimited(text: &str) -> Result<Max> {
    match text {
        "-1" | "max" => Ok(Max::Unlimited),
        _ => Ok(Max::At(size(text)?)),
    }
}

/// The same for a count.
pub fn count_or_unlimited(text: &str) -> Result<Max> {
    match (text, text.parse()) {
        ("-1" | "max", _) => Ok(Max::Unlimited),
        (_, Ok(count)) if count > 0 => Ok(Max::At(count)),
        _ => bail!("{text:?} is not a number above 0, and not -1 (no limit)"),
    }
}

/// How many processors' worth of time, `0.5`, as a quota in periods of a tenth of a second.
///
/// The kernel knows no half processors: it lets the cgroup run for `time` microseconds in every
/// `period`, then throttles it; cgroup-v2.rst, cpu.max. Less than 1000 it does not take. What is
/// not `positive` is an error.
///
/// Exercise 7.1
pub fn cpus(text: &str) -> Result<Quota> {
    let cpus = positive(text).with_context(|| format!("{text:?} is not a number like 0.5"))?;
    let period = 100_000;
    let time = (cpus * period as f64).round() as u64;
    ensure!(time >= 1000, "the kernel's smallest share of a processor is 0.01");
    Ok(Quota { time, period })
}

/// A list as cpuset(7) has it: `0-1,3`.
pub fn list(text: &str) -> Result<String> {
    let number = |text: &str| text.parse::<u32>().is_ok();
    let range = |part: &str| match part.split_once('-') {
        Some((first, last)) => number(first) && number(last),
        None => number(part),
    };
    ensure!(text.split(',').all(range), "{text:?} is not a list like 0-1,3");
    Ok(text.to_string())
}

fn positive(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)
}

impl FromStr for Io {
    type Err = Error;

    /// `DEVICE:KEY=VALUE[,KEY=VALUE…]`, the device by its path or its numbers.
    fn from_str(text: &str) -> Result<Io> {
        let words = || format!("{text:?} is not like /dev/vda:rbps=1m,wiops=100");
        let (first, _) = text.split_once('=').with_context(words)?;
        let (device, _) = first.rsplit_once(':').with_context(words)?;
        let most = text[device.len() + 1..].split(',').map(io_word).collect::<Result<_>>();
        Ok(Io { device: numbers(device)?, most: most.with_context(words)? })
    }
}

/// `rbps=1m`
fn io_word(word: &str) -> Result<(String, Max)> {
    let (key, value) = word.split_once('=').with_context(|| format!("{word:?} has no ="))?;
    let value = match key {
        "rbps" | "wbps" => size_or_unlimited(value)?,
        "riops" | "wiops" => count_or_unlimited(value)?,
        _ => bail!("{key:?} is none of rbps, wbps, riops, wiops"),
    };
    Ok((key.to_string(), value))
}

/// `MAJOR:MINOR` of a block device given by path, or by those numbers.
fn numbers(device: &str) -> Result<String> {
    let number = |text: &str| text.parse::<u32>().is_ok();
    if device.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor)) {
        return Ok(device.to_string());
    }
    let refused = |it: Errno| anyhow!("cannot look at {device}: {}", chroot::describe(it));
    let node = stat(device).map_err(refused)?;
    let is_disk = node.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFBLK.bits();
    ensure!(is_disk, "{device} is not a block device");
    Ok(format!("{}:{}", major(node.st_rdev), minor(node.st_rdev)))
}

impl FromStr for Hugetlb {
    type Err = Error;

    /// `2MB=64m`
    fn from_str(text: &str) -> Result<Hugetlb> {
        let words = || format!("{text:?} is not like 2MB=64m");
        let (page, bytes) = text.split_once('=').with_context(words)?;
        let unit = page.trim_start_matches(|digit: char| digit.is_ascii_digit());
        ensure!(unit != page && matches!(unit, "KB" | "MB" | "GB"), words());
        Ok(Hugetlb { page: page.to_string(), bytes: size(bytes)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("64m", 64 << 20), ("1g", 1 << 30), ("4096", 4096), ("1.5k", 1536), ("2MiB", 2 << 20)]
        {
            assert_eq!(size(text).unwrap(), bytes, "{text}");
        }
        for text in [
            "",
            "m",
            "0",
            "-1",
            "64x",
            "1e400",
            "inf",
            "NaN",
            "99999999999t",
            "99999999999999999999",
            "64 m",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(size_or_unlimited("-1").unwrap(), Max::Unlimited);
    }

    #[test]
    fn other_values() {
        assert_eq!(cpus("0.5").unwrap(), Quota { time: 50_000, period: 100_000 });
        assert!(cpus("0.001").is_err() && cpus("-1").is_err() && cpus("NaN").is_err());
        assert!(list("0-1,3").is_ok() && list("0-").is_err() && list("").is_err());
        assert!(count_or_unlimited("0").is_err());
        let io: Io = "8:0:rbps=1m,wiops=max".parse().unwrap();
        assert_eq!(io.device, "8:0");
        assert_eq!(io.most, [("rbps".into(), Max::At(1 << 20)), ("wiops".into(), Max::Unlimited)]);
        for text in
            ["8:0", "8:0:rbps", "8:0:reads=1", "/dev/null:rbps=1m", "/no/such:rbps=1m", "=1"]
        {
            assert!(text.parse::<Io>().is_err(), "{text}");
        }
        assert!("2MB=64m".parse::<Hugetlb>().is_ok());
        assert!("2=64m".parse::<Hugetlb>().is_err() && "../2MB=1m".parse::<Hugetlb>().is_err());
    }
}
