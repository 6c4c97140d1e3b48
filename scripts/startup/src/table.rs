//! The figures as a table, each as a ratio to the peer of its goal.

use serde_json::{Value, json};

use crate::measure::Figures;

/// A promise: subject over reference is at most (or for rates, at least) this.
pub struct Goal {
    pub text: String,
    pub measured: f64,
    pub met: bool,
}

const RATIOS: [(&str, &str, f64); 7] = [
    ("seccomp", "floor", 1.25),
    ("seccomp", "crun", 0.33),
    ("seccomp", "bwrap", 0.60),
    ("chroot", "chroot(8)", 1.0),
    ("uts", "unshare --uts", 1.0),
    ("16 layers", "seccomp", 1.25),
    ("128 layers", "seccomp", 2.0),
];
const RATES: [(usize, f64); 2] = [(8, 3.0), (32, 3.0)];
const PEAK_KIB: u64 = 2048;

/// The goals that can be judged with what was measured.
pub fn goals(figures: &[Figures]) -> Vec<Goal> {
    let find = |name: &str| figures.iter().find(|figures| figures.name == name);
    let mut goals = Vec::new();
    for (subject, reference, most) in RATIOS {
        if let (Some(subject), Some(reference)) = (find(subject), find(reference)) {
            let measured = subject.median_ms() / reference.median_ms();
            let text = format!("{} / {} ≤ {most}", subject.name, reference.name);
            goals.push(Goal { text, measured, met: measured <= most });
        }
    }
    for (at_once, least) in RATES {
        if let (Some(ours), Some(crun)) = (find("seccomp"), find("crun")) {
            let Some(measured) = rate(ours, at_once).zip(rate(crun, at_once)) else { continue };
            let measured = measured.0 / measured.1;
            let text = format!("seccomp / crun a second, {at_once} at a time ≥ {least}");
            goals.push(Goal { text, measured, met: measured >= least });
        }
    }
    if let Some(ours) = find("seccomp") {
        let text = format!("peak memory of seccomp ≤ {PEAK_KIB} KiB");
        goals.push(Goal { text, measured: ours.peak_kib as f64, met: ours.peak_kib <= PEAK_KIB });
    }
    goals
}

fn rate(figures: &Figures, at_once: usize) -> Option<f64> {
    figures.per_second.iter().find(|(count, _)| *count == at_once).map(|(_, rate)| *rate)
}

/// For people.
pub fn print(figures: &[Figures], goals: &[Goal]) {
    let floor = figures.iter().find(|figures| figures.name == "floor").map(Figures::median_ms);
    println!(
        "{:<14} {:>8} {:>8} {:>8} {:>9}  a second, 1/8/32 at a time",
        "", "ms", "cpu ms", "/ floor", "peak KiB"
    );
    for figures in figures {
        let ratio =
            floor.map_or(String::new(), |floor| format!("{:.2}", figures.median_ms() / floor));
        let rates: Vec<String> =
            figures.per_second.iter().map(|(_, rate)| format!("{rate:.0}")).collect();
        println!(
            "{:<14} {:>8.2} {:>8.2} {:>8} {:>9}  {}",
            figures.name,
            figures.median_ms(),
            figures.median_cpu_ms(),
            ratio,
            figures.peak_kib,
            rates.join(" / ")
        );
    }
    println!();
    for goal in goals {
        println!(
            "{} {}: {:.2}",
            if goal.met { "met   " } else { "missed" },
            goal.text,
            goal.measured
        );
    }
}

/// For programs.
pub fn json(figures: &[Figures], goals: &[Goal]) -> Value {
    let subjects: Vec<Value> = figures
        .iter()
        .map(|figures| {
            json!({ "name": figures.name, "median_ms": figures.median_ms(),
                "median_cpu_ms": figures.median_cpu_ms(), "peak_kib": figures.peak_kib,
                "per_second": figures.per_second })
        })
        .collect();
    let goals: Vec<Value> = goals
        .iter()
        .map(|goal| json!({ "goal": goal.text, "measured": goal.measured, "met": goal.met }))
        .collect();
    json!({ "subjects": subjects, "goals": goals })
}
