//! Step 14: the layers come from a registry.

fn main() {}
