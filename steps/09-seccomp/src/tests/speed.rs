//! How long the filter is, how long it runs, and what it costs; `--release -- --ignored` prints.

use std::time::{Duration, Instant};

use super::interpreter::run;
use super::{ALLOW, program};
use crate::names::number;
use crate::{Args, DEFAULT, Filter, load};

#[test]
fn the_default_filter_is_short_and_its_dispatch_balanced() {
    let program = program(DEFAULT);
    assert!(program.len() <= 150, "{} instructions", program.len());
    let by_argument = ["clone", "ioctl", "personality", "socket"].map(number);
    let steps: Vec<usize> = (0..470)
        .filter(|call| !by_argument.contains(&Some(*call)))
        .map(|call| run(&program, call, [0; 6]).steps)
        .collect();
    let (most, sum) = (steps.iter().max().unwrap(), steps.iter().sum::<usize>());
    let mean = sum as f64 / steps.len() as f64;
    println!("{} instructions, {mean:.2} a call, at most {most}", program.len());
    assert!(*most <= 12, "{most} instructions for one call");
}

fn median(mut act: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..201)
        .map(|_| {
            let start = Instant::now();
            act();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[100]
}

#[test]
#[ignore = "a measurement"]
fn load_and_install() {
    let args = Args { security: Vec::new() };
    println!("first load {:?}", {
        let start = Instant::now();
        load(&args).unwrap();
        start.elapsed()
    });
    println!("load {:?}", median(|| drop(load(&args).unwrap())));
    println!(
        "json alone {:?}",
        median(|| drop(serde_json::from_str::<crate::profile::Profile>(DEFAULT).unwrap()))
    );
    println!("parse {:?}", median(|| drop(crate::parse(DEFAULT).unwrap())));
    let rules = crate::parse(DEFAULT).unwrap();
    println!("compile {:?}", median(|| drop(Filter::new(&rules).unwrap())));
    println!("install {:?}", median_install(&Filter::new(&rules).unwrap()));
    let linear = linear(&program(DEFAULT));
    println!("install linear, {} instructions {:?}", linear.program.len(), median_install(&linear));
}

/// Each in a thread of its own: a filter stays.
fn median_install(filter: &Filter) -> Duration {
    let mut times: Vec<Duration> = (0..51)
        .map(|_| {
            std::thread::scope(|scope| {
                scope
                    .spawn(|| {
                        let start = Instant::now();
                        filter.install().unwrap();
                        start.elapsed()
                    })
                    .join()
                    .unwrap()
            })
        })
        .collect();
    times.sort();
    times[25]
}

/// The same verdicts for calls without conditions, one comparison after the other.
fn linear(balanced: &[libc::sock_filter]) -> Filter {
    let op = |code: u32, k: u32, jf: u8| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let mut program = vec![op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for call in (0..470).filter(|call| run(balanced, *call, [0; 6]).word == ALLOW) {
        program.push(op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call, 1));
        program.push(op(libc::BPF_RET | libc::BPF_K, ALLOW, 0));
    }
    program.push(op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | 1, 0));
    Filter { program }
}
