//! Images that step 14 has pulled: only its program can remove them, for their files belong to ids that
//! it alone maps. Who has not built it has no images.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;

use super::Report;
use crate::checkout;

/// Where root's images are, which others cannot remove.
const ROOTS: &str = "/var/lib/container-workshop";

pub fn clean(report: &mut Report) -> Result<()> {
    let program = checkout::programs()?.join("image");
    if program.exists() {
        note(prune(&program), report);
    }
    if !geteuid().is_root() && Path::new(ROOTS).exists() {
        report.note("root's images", Err(anyhow::anyhow!("they are in {ROOTS}")));
    }
    Ok(())
}

/// A line for each that it says it has removed.
fn note(said: Result<String>, report: &mut Report) {
    let lines = match said {
        Ok(said) => said,
        Err(error) => return report.note("images", Err(error)),
    };
    for line in lines.lines() {
        match line.split_once(": ") {
            Some(("removed", what)) => report.note(what, Ok(())),
            _ => report.note("images", Err(anyhow::anyhow!("{line}"))),
        }
    }
}

fn prune(program: &Path) -> Result<String> {
    let output = Command::new(program)
        .args(["prune", "--all"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.lines().next().unwrap_or_default().trim_start_matches("error: "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(said: Result<String>) -> (usize, usize) {
        let mut report = Report::default();
        note(said, &mut report);
        (report.removed, report.failed)
    }

    #[test]
    fn what_the_program_says_is_what_went() {
        let all = "removed: 2 images, 3 unpacked layers, 1 MiB of blobs\nremoved: the store /x\n";
        assert_eq!(counted(Ok(all.into())), (2, 0));
        assert_eq!(counted(Ok(String::new())), (0, 0));
        assert_eq!(counted(Ok("kept: 1 layer, in use by containers\n".into())), (0, 1));
        assert_eq!(counted(prune(Path::new("/bin/false"))), (0, 1));
    }
}
