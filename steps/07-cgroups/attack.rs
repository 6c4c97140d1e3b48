//! What step 7 stops: taking all memory, all processes, all processor time. Each hog is bounded.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use evidence::attack::{self, Attack};
use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::pause;

const MIB: usize = 1 << 20;

fn main() -> ExitCode {
    attack::main(
        "cgroups",
        &[
            Attack {
                name: "memory-hog",
                claim: "takes 200 MiB of memory",
                flags: &["--memory", "64m", "--memory-swap", "64m"],
                attempt: hog_memory,
                deadly: true,
                ..Attack::DEFAULT
            },
            Attack {
                name: "fork-bomb",
                claim: "starts 300 processes",
                flags: &["--pids-limit", "64"],
                attempt: fork_bomb,
                refusals: &[Errno::EAGAIN],
                ..Attack::DEFAULT
            },
            Attack {
                name: "cpu-hog",
                claim: "computes without end, two processes at once",
                flags: &["--cpus", "0.05"],
                attempt: hog_cpu,
                ..Attack::DEFAULT
            },
        ],
    )
}

/// Memory is given when it is first written to, not when it is asked for. Past the limit there is no
/// error to return: the kernel kills.
fn hog_memory(_told: &[String]) -> Result<String> {
    let memory = vec![1_u8; 200 * MIB];
    let sum: usize = memory.iter().step_by(4096).map(|byte| usize::from(*byte)).sum();
    Ok(format!("has {} MiB", sum * 4096 / MIB))
}

fn fork_bomb(_told: &[String]) -> Result<String> {
    let mut children = Vec::new();
    let refused = loop {
        if children.len() == 300 {
            break None;
        }
        match attack::start(pause) {
            Ok(child) => children.push(child),
            Err(error) => break Some(error),
        }
    };
    children.iter().for_each(|child| attack::end(*child));
    let count = children.len();
    match refused {
        None => Ok(format!("started {count} processes")),
        Some(error) => Err(error).context(format!("process {} is refused", count + 1)),
    }
}

/// Measures what it gets: seconds of processor time a second. Without a limit that is the number of
/// processors, or a fair share where others compute as well; with this one it is 0.05.
///
/// The least of four rounds counts: in a virtual machine, time that its host took is charged to us.
fn hog_cpu(_told: &[String]) -> Result<String> {
    let rounds: Vec<f64> = (0..4).map(|_| compute()).collect::<Result<_>>()?;
    let share = rounds.into_iter().fold(f64::MAX, f64::min);
    match share > 0.1 {
        true => Ok(format!("used {share:.2} processors")),
        false => bail!("got {share:.2} processors"),
    }
}

/// One round with a helper, each on a processor if it gets one.
fn compute() -> Result<f64> {
    let (begin, before) = (Instant::now(), processor_time()?);
    let spin = || while begin.elapsed() < Duration::from_millis(700) {};
    let helper = attack::start(spin).context("cannot start a process")?;
    spin();
    attack::end(helper);
    Ok((processor_time()? - before) / begin.elapsed().as_secs_f64())
}

/// Seconds that we and our ended children have computed, getrusage(2).
fn processor_time() -> Result<f64> {
    let mut sum = 0.0;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who).context("cannot ask for processor time")?;
        sum += (usage.user_time() + usage.system_time()).num_milliseconds() as f64 / 1000.0;
    }
    Ok(sum)
}
