//! `workshop book`: builds and serves the book. A package of its own does it, scripts/book, so that nobody
//! has to build mdBook who only builds steps.

use std::{env, os::unix::process::CommandExt, process::Command};

use anyhow::{Result, bail};

use crate::{build, checkout};

#[derive(clap::Args)]
pub struct Args {
    /// On 127.0.0.1
    #[arg(long, default_value_t = 3000)]
    port: u16,
}

pub fn book(args: &Args) -> Result<i32> {
    if let Some(kit) = checkout::kit() {
        let page = kit.join("book/book/index.html");
        if !page.is_file() {
            bail!("this kit has no book in it");
        }
        println!("Open {} in a browser.", page.display());
        return Ok(0);
    }
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(checkout::checkout()?).args(["run", "--quiet", "--package", "book"]);
    let error = cargo.args(["--", "serve", "--port"]).arg(args.port.to_string()).exec();
    Err(build::no_cargo(error))
}
