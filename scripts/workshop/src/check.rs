//! `workshop check`: the kernel is asked about the learner's container, and says what holds.

pub mod here;
mod report;
pub mod runner;

pub use report::Report;
