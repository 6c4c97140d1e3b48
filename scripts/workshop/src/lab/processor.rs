//! One processor for all of a lab. Its kernel and its programs take turns, two changes for each system call
//! and each page that is touched: a change is several times dearer when it has to wake another, idle
//! processor. So they are kept together, and move on together when others work there too.

use std::{fs, time::Duration};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity},
    sys::signal::{SigSet, Signal},
    unistd::Pid,
};

/// Binds this process, and whatever it starts, to the processor where the host has put it.
/// It makes system calls only, and so may be called between fork and exec.
pub fn stay() {
    // A sandbox may forbid it: then the lab is slow, and works.
    if let Ok(processor) = sched_getcpu() {
        let _ = sched_setaffinity(Pid::from_raw(0), &only(processor));
    }
}

/// Looks after the processor of a kernel.
pub struct Processor {
    kernel: Pid,
    /// How long the kernel has waited so far, and in all, for others to leave the processor to it.
    waited: Duration,
}

impl Processor {
    pub fn of(kernel: Pid) -> Processor {
        Processor { kernel, waited: waited(kernel) }
    }

    /// How long to let things go: as no two labs wait equally long, they do not chase each other.
    pub fn pause(&self) -> Duration {
        Duration::from_millis(400 + self.kernel.as_raw() as u64 % 256)
    }

    /// After each pause: to the next processor, if the kernel has waited for a good part of it.
    pub fn look(&mut self) {
        let waited = waited(self.kernel);
        let crowded = waited.saturating_sub(self.waited) > self.pause() / 5;
        self.waited = waited;
        if crowded && let Some(next) = next(self.kernel) {
            let children = format!("/proc/{0}/task/{0}/children", self.kernel);
            let children = fs::read_to_string(children).unwrap_or_default();
            let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
            // What the kernel starts from now on comes along by itself.
            for pid in std::iter::once(self.kernel).chain(children.map(Pid::from_raw)) {
                let _ = sched_setaffinity(pid, &only(next));
            }
        }
    }
}

/// A signal of these, or none in this time.
pub fn signal_within(signals: &SigSet, time: Duration) -> Option<Signal> {
    let time = libc::timespec {
        tv_sec: time.as_secs() as libc::time_t,
        tv_nsec: time.subsec_nanos() as libc::c_long,
    };
    // SAFETY: both are read only, and ours; where more would be said of the signal may be null.
    let number = unsafe { libc::sigtimedwait(signals.as_ref(), std::ptr::null_mut(), &time) };
    Signal::try_from(number).ok()
}

fn only(processor: usize) -> CpuSet {
    let mut set = CpuSet::new();
    let _ = set.set(processor);
    set
}

/// The processor after the kernel's, among those that we may use.
fn next(kernel: Pid) -> Option<usize> {
    let (ours, its) = (sched_getaffinity(Pid::from_raw(0)).ok()?, sched_getaffinity(kernel).ok()?);
    let has = |set: &CpuSet, number| set.is_set(number).unwrap_or(false);
    let current = (0..CpuSet::count()).find(|number| has(&its, *number))?;
    let others = (current + 1..CpuSet::count()).chain(0..current);
    others.into_iter().find(|number| has(&ours, *number))
}

/// The second number of /proc/PID/schedstat is the time in a run queue; some kernels do not have it.
fn waited(kernel: Pid) -> Duration {
    let text = fs::read_to_string(format!("/proc/{kernel}/schedstat")).unwrap_or_default();
    let nanoseconds = text.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_processor_is_another_that_we_may_use() {
        let ours = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let count = (0..CpuSet::count()).filter(|number| ours.is_set(*number).unwrap()).count();
        std::thread::spawn(move || {
            stay();
            let here = sched_getaffinity(Pid::from_raw(0)).unwrap();
            assert_eq!((0..CpuSet::count()).filter(|n| here.is_set(*n).unwrap()).count(), 1);
            // We ourselves are bound now: there is no other.
            assert_eq!(next(Pid::from_raw(0)), None);
        })
        .join()
        .unwrap();
        let whole = next(Pid::from_raw(0));
        assert_eq!(whole.is_some(), count > 1, "{count} processors, next is {whole:?}");
    }
}
