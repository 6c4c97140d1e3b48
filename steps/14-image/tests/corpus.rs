//! Replays the inputs that fuzzing has found to be worth keeping, tests/fuzz: each takes the program
//! a way of its own.

#[path = "../../../tests/fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::Path;

fn replay(name: &str, target: fn(&[u8])) {
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(name);
    let inputs: Vec<_> = fs::read_dir(inputs).expect("a corpus").flatten().collect();
    assert!(inputs.len() >= 10, "only {} inputs", inputs.len());
    for input in inputs {
        target(&fs::read(input.path()).expect("an input"));
    }
}

#[test]
fn references() {
    replay("reference", targets::reference);
}

#[test]
fn manifests() {
    replay("manifest", targets::manifest);
}

#[test]
fn layers() {
    replay("layer", targets::layer);
}
