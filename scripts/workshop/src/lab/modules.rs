//! Loads kernel modules inside the lab: hosts without kmod (containers, often) have no program for it.

use anyhow::{Context, Result};
use nix::errno::Errno;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;

/// Loads a module, by its name or an alias (`rtnl-link-veth`), after the modules that it needs.
/// `directory` is that of modules.dep and modules.alias, see modprobe(8).
pub fn load(directory: &Path, name: &str) -> Result<()> {
    let read = |file| {
        fs::read_to_string(directory.join(file)).with_context(|| format!("cannot read {file}"))
    };
    // Modules and their files differ in `-` and `_`, and nobody is to care.
    let plain = |name: &str| name.replace('-', "_");
    let aliases = read("modules.alias")?;
    let module = aliases.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        ["alias", alias, module] if plain(alias) == plain(name) => Some(module),
        _ => None,
    });
    let file = format!("/{}.ko", plain(module.unwrap_or(name)));
    let dependencies = read("modules.dep")?;
    let lines = dependencies.lines().filter_map(|line| line.split_once(':'));
    let (path, needed) = { lines }
        .find(|(path, _)| plain(path).ends_with(&file))
        .with_context(|| format!("there is no module {name} in {}", directory.display()))?;
    for path in needed.split_whitespace().rev().chain([path]) {
        insert(&directory.join(path))?;
    }
    Ok(())
}

fn insert(module: &Path) -> Result<()> {
    let file = File::open(module).with_context(|| format!("cannot open {}", module.display()))?;
    // SAFETY: finit_module(2) reads an open file and an empty string of parameters.
    let result =
        unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
    match Errno::result(result) {
        Ok(_) | Err(Errno::EEXIST) => Ok(()),
        Err(e) => Err(e).with_context(|| format!("cannot load {}", module.display())),
    }
}
