//! What transcripts are run with: the steps' programs under names like `step9`, the companion
//! with all that it needs, a root directory, and the files that say who the users are. A directory that is
//! gone when this is dropped.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use workshop::{checkout, steps::Step};

use crate::place::{programs, read, write};

/// The ordinary user, of whom the machine itself knows nothing.
pub const USER: &str = "you";
pub const UID: u32 = 1000;

pub struct Kit {
    directory: TempDir,
}

impl Kit {
    /// Makes it; the companion builds what is not built yet.
    pub fn new() -> Result<Kit> {
        let directory = TempDir::with_prefix_in("book-", programs()?);
        let kit =
            Kit { directory: directory.context("cannot make a directory for the transcripts")? };
        open(kit.path())?;
        kit.programs().context("cannot gather the programs")?;
        kit.sources()?;
        kit.rootfs()?;
        kit.users()?;
        Ok(kit)
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// In `bin`, as in an offline kit; and in `path`, which is first in PATH, as readers call them.
    fn programs(&self) -> Result<()> {
        let (from, to) = (programs()?, self.path().join("srv"));
        for directory in ["bin/examples", "path"] {
            fs::create_dir_all(to.join(directory))?;
        }
        for name in ["workshop", "probe", "act"] {
            take(&from.join(name), &to.join("bin").join(name))?;
        }
        for step in Step::all() {
            build(step)?;
            let (name, attack) = (step.name(), format!("examples/attack-{}", step.name()));
            take(&from.join(name), &to.join("bin").join(name))?;
            take(&from.join(&attack), &to.join("bin").join(&attack))?;
            symlink(format!("/srv/bin/{name}"), to.join(format!("path/step{}", step.number())))?;
        }
        // For the chapter on images; it lives and dies with the stand-in in which it is started.
        symlink("/srv/scripts/registry", to.join("path/registry"))?;
        if let Some(server) = on_path("docker-registry") {
            take(&server, &to.join("path/docker-registry"))?;
        }
        let cargo = to.join("path/cargo");
        write(&cargo, "#!/bin/sh\nshift\nexec /srv/bin/workshop \"$@\"\n")?;
        open(&cargo)
    }

    /// What makes it a kit for the companion, so that it builds nothing.
    fn sources(&self) -> Result<()> {
        let (from, to) = (checkout::checkout()?, self.path().join("srv"));
        for name in ["steps", "scripts", "Cargo.toml", ".cargo"] {
            let done =
                Command::new("cp").arg("-r").arg(from.join(name)).arg(to.join(name)).status();
            ensure!(done.context("cannot run cp")?.success(), "cannot copy {name}");
        }
        Ok(())
    }

    fn rootfs(&self) -> Result<()> {
        let rootfs = self.path().join("rootfs");
        let script = checkout::checkout()?.join("scripts/rootfs");
        let output = Command::new(script).arg("--busybox").arg(&rootfs).output();
        let output = output.context("cannot run scripts/rootfs")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        take(&programs()?.join("probe"), &rootfs.join("usr/bin/probe"))
    }

    /// A copy of the machine's settings, with our user in the place of whoever has its name or number.
    fn users(&self) -> Result<()> {
        let etc = self.path().join("etc");
        let done = Command::new("cp").args(["-a", "/etc"]).arg(&etc).status();
        ensure!(done.context("cannot run cp")?.success(), "cannot copy /etc");
        let ours = [
            ("passwd", format!("{USER}:x:{UID}:{UID}::/home/{USER}:/bin/bash")),
            ("group", format!("{USER}:x:{UID}:")),
        ];
        for (name, line) in ours {
            let others = read(&etc.join(name))?;
            let others = others.lines().filter(|it| !is_ours(it)).map(|it| format!("{it}\n"));
            write(&etc.join(name), &(others.collect::<String>() + &line + "\n"))?;
        }
        let ids = format!("root:524288:65536\n{USER}:100000:65536\n");
        write(&etc.join("subuid"), &ids)?;
        write(&etc.join("subgid"), &ids)
    }
}

/// Whether a line is of somebody with our user's name or number.
fn is_ours(line: &str) -> bool {
    let fields: Vec<&str> = line.split(':').collect();
    fields[0] == USER || fields.get(2) == Some(&UID.to_string().as_str())
}

/// Has the companion build a step and its attack, which only says here what it could do.
fn build(step: Step) -> Result<()> {
    let mut workshop = Command::new(programs()?.join("workshop"));
    let output = workshop.args(["attack", step.name(), "--here", "--", "--list"]).output();
    let output = output.context("cannot run the workshop")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A second name for a program, or else a copy.
/// Where our PATH has a program: it may be where only this test looks.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|it| it.join(name)).find(|it| it.is_file())
}

fn take(from: &Path, to: &PathBuf) -> Result<()> {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<()> {
    fs::set_permissions(path, PermissionsExt::from_mode(0o755))
        .with_context(|| format!("cannot open {} to all", path.display()))
}
