//! Copies what a file holds, its holes left out, and the attributes that are not overlay's own.

use std::os::fd::OwnedFd;

use rustix::fs::{
    SeekFrom, XattrFlags, copy_file_range, fgetxattr, flistxattr, fsetxattr, ftruncate, seek,
};
use rustix::io::{Errno, Result};

/// The largest value that the kernel keeps, xattr(7).
const LARGEST_VALUE: usize = 64 << 10;

/// Each part that is data, by copy_file_range(2): a filesystem that can shares the blocks.
pub fn data(from: &OwnedFd, to: &OwnedFd, size: u64) -> Result<()> {
    ftruncate(to, size)?;
    let mut at = 0;
    while at < size {
        let start = match seek(from, SeekFrom::Data(at)) {
            // Only a hole is left.
            Err(Errno::NXIO) => return Ok(()),
            start => start?,
        };
        let end = seek(from, SeekFrom::Hole(start))?;
        let (mut source, mut target) = (start, start);
        while source < end {
            let most = usize::try_from(end - source).unwrap_or(usize::MAX);
            if copy_file_range(from, Some(&mut source), to, Some(&mut target), most)? == 0 {
                return Err(Errno::IO);
            }
        }
        at = end;
    }
    Ok(())
}

/// All extended attributes that can be set on `to`.
pub fn xattrs(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    let mut names = Vec::with_capacity(LARGEST_VALUE);
    match flistxattr(from, rustix::buffer::spare_capacity(&mut names)) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        listed => listed?,
    };
    for name in names.split(|&byte| byte == 0).filter(|it| !it.is_empty()) {
        if name.starts_with(b"user.overlay.") {
            continue;
        }
        let mut value = Vec::with_capacity(LARGEST_VALUE);
        fgetxattr(from, name, rustix::buffer::spare_capacity(&mut value))?;
        match fsetxattr(to, name, &value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Whether a directory hides what is below it, overlayfs(5).
pub fn is_opaque(directory: &OwnedFd) -> bool {
    let mut value = [0; 1];
    fgetxattr(directory, "user.overlay.opaque", &mut value[..]).is_ok() && value == *b"y"
}
