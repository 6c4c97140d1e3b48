//! An image's files have many owners, and an ordinary user may give files to nobody. In a user
//! namespace of their own they may: to the ids that /etc/subuid grants them, subuid(5). So whatever
//! changes the store happens in a child, which is root there; root needs no such thing.

use anyhow::Result;
use nix::sys::stat::{Mode, umask};
use pid::Clone3;
use user::Maps;

/// Runs `work` in a child that may give files to all ids that there will be in a container; gives
/// its exit code. A child also for root: `work` has threads, and a container is made by a process
/// with one.
pub fn with_ids(work: impl FnOnce() -> Result<u8>) -> Result<u8> {
    let maps = Maps::plan(&user::Args::default());
    let needed = !maps.is_foreign();
    let mut clone = Clone3::default();
    if needed {
        clone.namespace(user::NAMESPACE);
    }
    let mut child = clone.spawn(|gate| {
        gate.wait()?;
        if needed {
            user::become_root(&maps)?;
            gate.die_with_parent()?;
        }
        umask(Mode::from_bits_truncate(0o022));
        work()
    })?;
    if needed {
        maps.write(child.pid())?;
    }
    child.release()?;
    child.wait()
}
