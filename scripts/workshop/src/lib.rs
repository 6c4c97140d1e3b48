//! What the companion and the book both know of the workshop: its steps, where they are, and what is
//! in their sources.

pub mod checkout;
pub mod exercise;
pub mod source;
pub mod steps;
