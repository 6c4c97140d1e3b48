//! Cgroups of ours: named `workshop-…`, in any hierarchy that is mounted here.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use evidence::mountinfo;

use super::Report;

/// How step 7's names begin.
const PREFIX: &str = "workshop-";

pub fn clean(report: &mut Report) -> Result<()> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
    for mount in mountinfo::parse(&text) {
        if mount.fstype.starts_with("cgroup") {
            for group in find(Path::new(&mount.point)) {
                let result = remove(&group).context("cannot remove it");
                report.note(&format!("cgroup {}", group.display()), result);
            }
        }
    }
    Ok(())
}

/// The cgroups of ours at or below `directory`, outermost only.
fn find(directory: &Path) -> Vec<PathBuf> {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with(PREFIX) {
        return vec![directory.to_owned()];
    }
    children(directory).iter().flat_map(|child| find(child)).collect()
}

/// Cgroups are removed from the innermost outwards, by rmdir(2): their files go with them.
fn remove(group: &Path) -> std::io::Result<()> {
    children(group).iter().try_for_each(|child| remove(child))?;
    fs::remove_dir(group)
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ours_is_found_however_deep() {
        let top = tempfile::tempdir().unwrap();
        for path in ["a/workshop-c1/inner", "a/theirs", "workshop-c2"] {
            fs::create_dir_all(top.path().join(path)).unwrap();
        }
        let mut found = find(top.path());
        found.sort();
        assert_eq!(found, [top.path().join("a/workshop-c1"), top.path().join("workshop-c2")]);
        found.iter().for_each(|group| remove(group).unwrap());
        assert!(top.path().join("a/theirs").exists() && find(top.path()).is_empty());
    }
}
