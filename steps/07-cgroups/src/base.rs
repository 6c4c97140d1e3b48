//! Where this process is in the hierarchies, read from /proc/self/cgroup and
//! /proc/self/mountinfo, cgroups(7): hosts mount them in different places, containers see a part
//! of them, and with a cgroup namespace every path starts anew.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use crate::files::text;

/// One hierarchy as this process sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Hierarchy {
    /// The v1 controllers that are bound to it; none for cgroup v2.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The directory of this process's own cgroup, at or below `mount`.
    pub own: PathBuf,
}

/// All hierarchies that this process is in and that are mounted where it can see its cgroup.
#[derive(Debug, Default, PartialEq)]
pub struct Base {
    pub v2: Option<Hierarchy>,
    pub v1: Vec<Hierarchy>,
}

/// A line of /proc/self/mountinfo about a cgroup file system, proc_pid_mountinfo(5).
struct Mount {
    /// Which directory of the hierarchy is mounted, seen from our cgroup namespace.
    root: PathBuf,
    point: PathBuf,
    v2: bool,
    read_only: bool,
    options: Vec<String>,
}

impl Base {
    /// Asks the kernel.
    pub fn find() -> Result<Base> {
        let [cgroup, mounts] = ["/proc/self/cgroup", "/proc/self/mountinfo"].map(Path::new);
        Ok(Base::parse(&text(cgroup)?, &text(mounts)?))
    }

    /// Finds the directory of every line of `cgroup` in the mounts of `mountinfo`.
    pub fn parse(cgroup: &str, mountinfo: &str) -> Base {
        let mounts: Vec<Mount> = mountinfo.lines().filter_map(Mount::parse).collect();
        let mut base = Base::default();
        for line in cgroup.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(names), Some(path)) = (fields.next(), fields.next()) else { continue };
            let Some(hierarchy) = locate(names, Path::new(path), &mounts) else { continue };
            match names {
                "" => base.v2 = Some(hierarchy),
                _ => base.v1.push(hierarchy),
            }
        }
        base
    }

    /// The v1 hierarchy that `controller` is bound to.
    pub fn v1(&self, controller: &str) -> Option<&Hierarchy> {
        self.v1.iter().find(|hierarchy| hierarchy.controllers.iter().any(|it| it == controller))
    }
}

impl Mount {
    /// `31 23 0:28 ROOT POINT OPTIONS … - TYPE SOURCE SUPEROPTIONS`
    fn parse(line: &str) -> Option<Mount> {
        let (before, after) = line.split_once(" - ")?;
        let before: Vec<&str> = before.split(' ').collect();
        let mut after = after.split(' ');
        let v2 = match after.next()? {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        let options: Vec<String> = after.nth(1)?.split(',').map(String::from).collect();
        let read_only = before.get(5)?.split(',').chain(options.iter().map(String::as_str));
        let read_only = read_only.into_iter().any(|option| option == "ro");
        Some(Mount {
            root: unescape(before.get(3)?),
            point: unescape(before.get(4)?),
            v2,
            read_only,
            options,
        })
    }

    /// `names` is the second field of a line of /proc/self/cgroup, empty for v2.
    fn is_of(&self, names: &str) -> bool {
        match names {
            "" => self.v2,
            _ => !self.v2 && names.split(',').all(|name| self.options.iter().any(|it| it == name)),
        }
    }

    /// The directory in which the cgroup `path` is seen through this mount. Not every mount shows
    /// it: in a cgroup namespace a mount from outside has `/..` for its root, and a process that
    /// was moved out has `/../other` for its path.
    fn shows(&self, path: &Path) -> Option<PathBuf> {
        let rest = path.strip_prefix(&self.root).ok()?;
        let below = rest.components().all(|part| matches!(part, Component::Normal(_)));
        below.then(|| self.point.join(rest)).map(|dir| dir.components().collect())
    }
}

/// Of several mounts the best is writable, then the one that shows most of the hierarchy.
fn locate(names: &str, path: &Path, mounts: &[Mount]) -> Option<Hierarchy> {
    let shown = mounts.iter().filter(|mount| mount.is_of(names));
    let shown = shown.filter_map(|mount| Some((mount, mount.shows(path)?)));
    let (mount, own) = shown.min_by_key(|(mount, _)| {
        (mount.read_only, mount.root.components().count(), mount.point.components().count())
    })?;
    let controllers = names.split(',').filter(|name| !name.is_empty()).map(String::from).collect();
    Some(Hierarchy { controllers, mount: mount.point.clone(), own })
}

/// Spaces, tabs, newlines and backslashes stand as `\040` and so on in mountinfo.
fn unescape(field: &str) -> PathBuf {
    let mut parts = field.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (octal, rest) = part.split_at_checked(3).unwrap_or((part, ""));
        bytes.extend(u8::from_str_radix(octal, 8));
        bytes.extend(rest.bytes());
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(base: &Base) -> (&str, &str) {
        let hierarchy = base.v2.as_ref().unwrap();
        (hierarchy.mount.to_str().unwrap(), hierarchy.own.to_str().unwrap())
    }

    fn v1<'a>(base: &'a Base, controller: &str) -> Option<&'a str> {
        base.v1(controller).map(|hierarchy| hierarchy.own.to_str().unwrap())
    }

    #[test]
    fn a_systemd_user_session_on_pure_v2() {
        let base = Base::parse(
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/foot.scope\n",
            "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
        );
        let own =
            "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/foot.scope";
        assert_eq!(v2(&base), ("/sys/fs/cgroup", own));
        assert!(base.v1.is_empty());
    }

    #[test]
    fn a_hybrid_host() {
        let base = Base::parse(
            "4:memory:/a/b\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n",
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
             35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        );
        assert_eq!(v2(&base), ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified"));
        assert_eq!(v1(&base, "memory"), Some("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(v1(&base, "cpuacct"), Some("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(v1(&base, "pids"), None);
    }

    #[test]
    fn a_v1_host_has_a_v2_line_but_no_v2_mount() {
        let base = Base::parse(
            "11:memory:/user.slice\n0::/\n",
            "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
        );
        assert_eq!(base.v2, None);
        assert_eq!(v1(&base, "memory"), Some("/sys/fs/cgroup/memory/user.slice"));
    }

    #[test]
    fn a_cgroup_namespace_of_our_own_and_a_mount_from_outside() {
        let outside = "30 23 0:26 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(Base::parse("0::/\n", outside).v2, None);
        let inside = "90 80 0:26 / /mnt/my\\040cgroups rw - cgroup2 none rw\n";
        let base = Base::parse("0::/\n", &format!("{outside}{inside}"));
        assert_eq!(v2(&base), ("/mnt/my cgroups", "/mnt/my cgroups"));
        assert_eq!(Base::parse("0::/../other\n", inside).v2, None);
    }

    #[test]
    fn docker_in_docker_on_v1_sees_its_own_part() {
        let base = Base::parse(
            "4:memory:/docker/f00/inner\n",
            "35 31 0:32 /docker/f00 /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n\
             36 31 0:32 /docker/f00 /mnt rw,nosuid - cgroup cgroup rw,memory\n",
        );
        assert_eq!(v1(&base, "memory"), Some("/mnt/inner"));
    }
}
