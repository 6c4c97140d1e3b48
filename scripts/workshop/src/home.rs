//! Bare `workshop`: where the learner is; before there is anything of theirs, the steps, and what can be
//! done with them.

use anyhow::Result;
use evidence::paint::{self, Paint};
use std::io::stdout;

use crate::{my::My, progress, steps::Step};

const COMMANDS: [(&str, &str); 9] = [
    ("cargo workshop tour", "all of it in two minutes: start here"),
    ("cargo workshop doctor", "what each step needs, tried on this machine"),
    ("cargo workshop start 1", "write it yourself, step by step"),
    ("cargo workshop run N", "a shell in step N's container"),
    ("cargo workshop xray N", "which walls it has, and the evidence"),
    ("cargo workshop attack N", "what got out before step N, and does no more"),
    ("cargo workshop book", "what the kernel does, step by step: read along"),
    ("cargo workshop lab", "a machine of your own, without root"),
    ("cargo workshop clean", "everything that the workshop left here, gone"),
];

pub fn show() -> Result<i32> {
    match My::open(None) {
        Ok(my) => progress::show(&my),
        Err(_) => overview(),
    }
}

fn overview() -> Result<i32> {
    crate::end_with_reader();
    let paint = Paint(paint::wanted(&stdout()));
    println!("\n{}\n", paint.bold("Nine steps to a container"));
    Step::walls().for_each(|step| list(step, &paint));
    println!("\n{}\n", paint.bold("From container to engine"));
    Step::all().filter(|step| !step.takes_root()).for_each(|step| list(step, &paint));
    println!();
    for (command, does) in COMMANDS {
        println!("  {:24}  {}", command, paint.dim(does));
    }
    println!();
    Ok(0)
}

fn list(step: Step, paint: &Paint) {
    let number = paint.green(&format!("{:>2}", step.number()));
    println!("  {number}  {}  {}", paint.bold(&format!("{:8}", step.name())), step.adds());
}
