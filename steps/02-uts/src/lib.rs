//! Step 2, uts: the container's own host name and NIS domain name.
//! A new UTS namespace starts as a copy of the old one; what is set in it stays in it.

use anyhow::{Context, Result};
use chroot::HintExt;
use nix::errno::Errno;
use nix::sched::{self, CloneFlags};

/// See uts_namespaces(7).
pub const NAMESPACE: CloneFlags = CloneFlags::CLONE_NEWUTS;

const TOO_LONG: &str = "the kernel keeps at most 64 bytes of it";

/// The container's names.
#[derive(clap::Args)]
#[group(skip)]
pub struct Args {
    /// What the host calls this container [default: c and our process id]
    #[arg(long, default_value_t = default_name(), hide_default_value = true, value_parser = name)]
    pub name: String,

    /// The host name inside
    #[arg(long, default_value = "container")]
    pub hostname: String,

    /// The NIS domain name inside
    #[arg(long, default_value = "(none)")]
    pub domainname: String,
}

/// It becomes the name of a cgroup's directory and of a network interface.
fn name(text: &str) -> Result<String, String> {
    let usable = |it: char| it.is_alphanumeric() || "_.-".contains(it);
    match text.starts_with(|it: char| it.is_alphanumeric()) && text.chars().all(usable) {
        true => Ok(text.into()),
        false => Err(
            "a name has letters, digits, `_`, `.` and `-`, and begins with one of the first two"
                .into(),
        ),
    }
}

/// No two processes have the same id at the same time.
fn default_name() -> String {
    format!("c{}", std::process::id())
}

/// Moves this process into a new UTS namespace: what is renamed from here on is not the host.
///
/// unshare(2) with this step's `NAMESPACE`. It needs CAP_SYS_ADMIN, so for EPERM add a hint that
/// says so.
///
/// Exercise 2.1
pub fn unshare() -> Result<()> {
    sched::unshare(NAMESPACE)
        .context("cannot make a UTS namespace")
        .hint(Errno::EPERM, "it needs CAP_SYS_ADMIN: run this step with sudo, or in the lab")
}

/// Sets the host name and the domain name of this process's UTS namespace.
pub fn set_names(args: &Args) -> Result<()> {
    set_hostname(&args.hostname)?;
    set_domainname(&args.domainname)
}

/// Gives this process's UTS namespace the host name `name`, sethostname(2): it is what uname(2)
/// calls `nodename`.
///
/// The kernel keeps 64 bytes; more is EINVAL, and a hint says why. The error names the name.
///
/// Exercise 2.2
fn set_hostname(name: &str) -> Result<()> {
    rustix::system::sethostname(name.as_bytes())
        .with_context(|| format!("cannot set the host name to {name:?}"))
        .hint(Errno::EINVAL, TOO_LONG)
}

/// The same for the NIS domain name, setdomainname(2).
///
/// uname(2) calls it `domainname`. It has nothing to do with DNS, and as little room.
///
/// Exercise 2.3
fn set_domainname(name: &str) -> Result<()> {
    rustix::system::setdomainname(name.as_bytes())
        .with_context(|| format!("cannot set the domain name to {name:?}"))
        .hint(Errno::EINVAL, TOO_LONG)
}
