//! Step 2, uts: the container's own host name and NIS domain name.
//! A new UTS namespace starts as a copy of the old one; what is set in it stays in it.

use anyhow::{Context, Result};
use chroot::HintExt;
use nix::errno::Errno;
use nix::sched::{self, CloneFlags};

/// See uts_namespaces(7).
pub const NAMESPACE: CloneFlags = CloneFlags::CLONE_NEWUTS;

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
        false => {
            Err("a name has letters, digits, `_`, `.` and `-`, and begins with the first".into())
        }
    }
}

/// No two processes have the same id at the same time.
fn default_name() -> String {
    format!("c{}", std::process::id())
}

/// Moves this process into a new UTS namespace, unshare(2).
pub fn unshare() -> Result<()> {
    sched::unshare(NAMESPACE)
        .context("cannot make a UTS namespace")
        .hint(Errno::EPERM, "it needs CAP_SYS_ADMIN: run this step with sudo, or in the lab")
}

/// Sets the host name and the domain name of this process's UTS namespace.
///
/// Both hold at most 64 bytes: more is EINVAL, sethostname(2). Exercise 2.1
pub fn set_names(args: &Args) -> Result<()> {
    rustix::system::sethostname(args.hostname.as_bytes())
        .with_context(|| format!("cannot set the host name to {:?}", args.hostname))?;
    rustix::system::setdomainname(args.domainname.as_bytes())
        .with_context(|| format!("cannot set the domain name to {:?}", args.domainname))
}
