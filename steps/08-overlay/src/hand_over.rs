//! The upper directory as a descriptor, from the child to the parent: with the child's mount
//! namespace the tmpfs would go, but an open descriptor keeps it. SCM_RIGHTS in unix(7).

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
    recvmsg, sendmsg, socketpair,
};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;

/// A pair of sockets made before the child, so that each side has one.
pub struct HandOver {
    child: OwnedFd,
    parent: OwnedFd,
}

impl HandOver {
    pub fn new() -> Result<HandOver> {
        let (family, kind) = (AddressFamily::Unix, SockType::Datagram);
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (child, parent) = socketpair(family, kind, None, flags)
            .context("cannot make a socket pair for the upper directory")?;
        Ok(HandOver { child, parent })
    }

    /// The child sends `upper` and the user namespace to which its files belong.
    pub fn send(&self, upper: BorrowedFd) -> Result<()> {
        let namespace = open("/proc/self/ns/user", OFlag::O_CLOEXEC, Mode::empty())
            .context("cannot open our user namespace")?;
        let files = [upper.as_raw_fd(), namespace.as_raw_fd()];
        let (rights, data) = ([ControlMessage::ScmRights(&files)], [IoSlice::new(b"u")]);
        sendmsg::<UnixAddr>(self.child.as_raw_fd(), &data, &rights, MsgFlags::empty(), None)
            .context("cannot hand over the upper directory")?;
        Ok(())
    }

    /// The parent takes `upper`; `None` if the container ended before it had one, and has said why.
    /// An ordinary user joins the user namespace to be able to read what its other ids own.
    pub fn receive(&self) -> Result<Option<OwnedFd>> {
        let mut byte = [0];
        let mut data = [IoSliceMut::new(&mut byte)];
        let mut space = nix::cmsg_space!([i32; 2]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let parent = self.parent.as_raw_fd();
        let message = match recvmsg::<UnixAddr>(parent, &mut data, Some(&mut space), flags) {
            Err(Errno::EAGAIN) => return Ok(None),
            received => received.context("cannot receive the upper directory")?,
        };
        for control in message.cmsgs().context("cannot take the upper directory")? {
            if let ControlMessageOwned::ScmRights(files) = control {
                // SAFETY: the kernel has just made these descriptors for us; nobody else owns them.
                let mut files = files.iter().map(|&file| unsafe { OwnedFd::from_raw_fd(file) });
                if let (Some(upper), Some(namespace)) = (files.next(), files.next()) {
                    join(namespace)?;
                    return Ok(Some(upper));
                }
            }
        }
        bail!("the upper directory was not handed over")
    }
}

fn join(namespace: OwnedFd) -> Result<()> {
    match geteuid().is_root() {
        true => Ok(()),
        false => setns(namespace, CloneFlags::CLONE_NEWUSER)
            .context("cannot join the container's user namespace"),
    }
}
