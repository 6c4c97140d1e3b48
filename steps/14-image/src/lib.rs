//! Step 14, image: the file tree comes from a registry. An image is a list of tar archives, each
//! named by what it holds, and a JSON document that lists them. `pull` fetches and unpacks what is
//! missing, `store` keeps each layer once, and overlay puts them together: nothing is copied.

pub mod config;
pub mod digest;
pub mod manifest;
pub mod media;
pub mod platform;
pub mod reference;
