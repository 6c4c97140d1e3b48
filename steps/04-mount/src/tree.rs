//! Mounts that are attached nowhere yet. With the calls of Linux 5.2 a mount is made first, as
//! a descriptor, given its flags, and attached last, to another descriptor: there is no moment
//! at which a path could be swapped or a mount be seen without its flags.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use chroot::HintExt;
use nix::errno::Errno;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::Flags;

/// A new filesystem of type `fstype`, as a mount that is attached nowhere yet.
///
/// fsopen(2) gives a context; fsconfig(2) sets its `source` (`fstype` will do) and each option, one
/// with an empty value as a flag; `create` turns it into a mount. Errors name type and option.
///
/// Exercise 4.3
pub fn filesystem(fstype: &str, options: &[(String, String)], flags: Flags) -> Result<OwnedFd> {
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC)
        .with_context(|| format!("cannot open filesystem type {fstype}"))?;
    fsconfig_set_string(&context, "source", fstype).context("cannot name the mount")?;
    for (key, value) in options {
        match value.is_empty() {
            true => fsconfig_set_flag(&context, key),
            false => fsconfig_set_string(&context, key, value),
        }
        .with_context(|| format!("cannot set option {key}={value} of {fstype}"))?;
    }
    create(context, fstype, flags)
}

/// Turns a configured context into a mount, and adds what the kernel says when it cannot.
pub fn create(context: OwnedFd, fstype: &str, flags: Flags) -> Result<OwnedFd> {
    fsconfig_create(&context)
        .with_context(|| format!("cannot create {fstype}{}", kernel_message(&context)))?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)
        .with_context(|| format!("cannot make a mount of {fstype}"))
}

/// A filesystem context is also a log: each read gives one line, its kind in front (`e `).
fn kernel_message(context: &OwnedFd) -> String {
    let mut line = [0; 512];
    let length = context.try_clone().and_then(|log| File::from(log).read(&mut line)).unwrap_or(0);
    match String::from_utf8_lossy(&line[..length]).trim().strip_prefix("e ") {
        Some(message) => format!(" (the kernel says: {message})"),
        None => String::new(),
    }
}

/// A copy of the mount at `path` and of all below it, as `mount --rbind` makes one. open_tree(2)
pub fn copy(path: &Path) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, path, flags).with_context(|| format!("cannot copy the mount {}", path.display()))
}

/// The same from a descriptor: of the very file that it is open on.
pub fn copy_fd(file: BorrowedFd) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(file, "", flags).context("cannot copy a mount")
}

/// Opens a path of the host to mount on it or copy it, without any access to what it holds.
pub fn open(path: &Path) -> Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .with_context(|| format!("cannot open {}", path.display()))
}

/// The same for a directory and nothing else: ENOTDIR.
pub fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .with_context(|| format!("cannot open {}", path.display()))
}

/// Attaches `tree` on top of what `target` is open on. move_mount(2)
pub fn attach(tree: BorrowedFd, target: BorrowedFd) -> Result<()> {
    let both = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    let attached = move_mount(tree, "", target, "", both).context("cannot attach the mount");
    attached.hint(Errno::EINVAL, "a directory can go on a directory only, a file on a file")
}

/// Adds `flags` to a mount, or to it and all below it.
pub fn set_flags(tree: BorrowedFd, flags: Flags, recursive: bool) -> Result<()> {
    let attributes = libc::mount_attr {
        attr_set: flags.bits().into(),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    set_attributes(tree, &attributes, recursive).context("cannot set the flags of a mount")
}

/// Cuts a tree that was copied in the host's mount namespace off from the host's mounts: until
/// then it is their peer, and what is mounted on it appears there. mount_namespaces(7)
pub fn make_private(tree: BorrowedFd) -> Result<()> {
    let attributes =
        libc::mount_attr { attr_set: 0, attr_clr: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 };
    set_attributes(tree, &attributes, true).context("cannot make the copy of a mount private")
}

/// mount_setattr(2), which no library of ours wraps yet (Linux 5.12).
pub fn set_attributes(
    tree: BorrowedFd,
    attributes: &libc::mount_attr,
    recursive: bool,
) -> Result<(), Errno> {
    let nothing: &CStr = c"";
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the descriptor, the string and the structure outlive the call; it only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_fd().as_raw_fd(),
            nothing.as_ptr(),
            flags,
            attributes,
            size_of_val(attributes),
        )
    };
    Errno::result(result).map(drop)
}
