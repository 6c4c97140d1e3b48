//! The book: mdBook, with what it shows taken from the steps and from real runs, and with what is
//! missing or no longer so an error that names file and line.

pub mod bless;
pub mod build;
pub mod chapter;
pub mod code;
pub mod console;
pub mod exercises;
pub mod expand;
pub mod fence;
pub mod finish;
pub mod flag_check;
pub mod flags;
pub mod links;
pub mod listing;
pub mod man;
pub mod picture;
pub mod place;
pub mod quiz;
pub mod rename;
pub mod serve;
pub mod source_pages;
pub mod structure;
pub mod tables;
pub mod theme;
pub mod transcript;
