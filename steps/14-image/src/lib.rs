//! Step 14, image: the file tree comes from a registry. An image is a list of tar archives, each
//! named by what it holds, and a JSON document that lists them. `pull` fetches and unpacks what is
//! missing, `store` keeps each layer once, and overlay puts them together: nothing is copied.

mod bring;
pub mod commands;
pub mod config;
pub mod container;
pub mod digest;
pub mod export;
pub mod files;
pub mod flatten;
pub mod import;
mod layers;
pub mod manifest;
pub mod media;
pub mod namespace;
mod passwd;
pub mod platform;
pub mod progress;
pub mod pull;
pub mod reference;
pub mod registry;
mod show;
pub mod source;
pub mod store;
pub mod unpack;
