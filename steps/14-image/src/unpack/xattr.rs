//! Extended attributes: xattr(7). File capabilities are among them, and so are access control
//! lists.

use std::os::fd::BorrowedFd;

use anyhow::{Context, Result};
use rustix::fs::{XattrFlags, fsetxattr};
use rustix::io::Errno;

/// Those by which overlayfs marks its own: from an archive they would be commands to it.
const OVERLAY: [&[u8]; 2] = [b"user.overlay.", b"trusted.overlay."];
/// A label that means something on the host where the archive was made.
const LABEL: &[u8] = b"security.selinux";

/// Sets them; gives the number of those that the filesystem or the kernel does not let us set.
pub fn set(file: BorrowedFd, xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<usize> {
    let mut refused = 0;
    for (name, value) in xattrs {
        if OVERLAY.iter().any(|prefix| name.starts_with(prefix)) || name == LABEL {
            refused += 1;
            continue;
        }
        match fsetxattr(file, name.as_slice(), value, XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP | Errno::PERM) => refused += 1,
            set => {
                let name = name.escape_ascii();
                set.with_context(|| format!("cannot set its attribute \"{name}\""))?;
            }
        }
    }
    Ok(refused)
}
