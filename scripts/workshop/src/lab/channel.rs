//! The line between us and the guest: messages, each a kind, a length and that many bytes. One line
//! carries the command's input and both its outputs apart, its exit code, and the terminal's size.

use std::fs::File;
use std::io::{ErrorKind, Read, Result, Write};
use std::os::fd::{AsFd, BorrowedFd};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// From the guest: the command is about to be started.
    Ready = 1,
    /// To the guest: bytes for the command; none at all means the end.
    Input,
    Output,
    Error,
    /// To the guest: rows and columns, two bytes each.
    Size,
    /// From the guest, the last one: the exit code, four bytes.
    Exit,
}

const KINDS: [Kind; 6] =
    [Kind::Ready, Kind::Input, Kind::Output, Kind::Error, Kind::Size, Kind::Exit];
const HEADER: usize = 5;

/// The longest payload: longer data is sent as several messages.
pub const CHUNK: usize = 16 * 1024;

pub struct Message {
    pub kind: Kind,
    pub bytes: Vec<u8>,
}

pub struct Channel {
    line: File,
    received: Vec<u8>,
    unsent: Vec<u8>,
}

impl Channel {
    pub fn new(line: File) -> Self {
        Channel { line, received: Vec::new(), unsent: Vec::new() }
    }

    /// Queues a message and writes as much as the line takes: all of it, if the line blocks.
    pub fn send(&mut self, kind: Kind, bytes: &[u8]) -> Result<()> {
        let length = u32::try_from(bytes.len()).expect("a message is short");
        self.unsent.push(kind as u8);
        self.unsent.extend(length.to_le_bytes());
        self.unsent.extend(bytes);
        self.flush()
    }

    pub fn flush(&mut self) -> Result<()> {
        while !self.unsent.is_empty() {
            match self.line.write(&self.unsent) {
                Ok(n) => drop(self.unsent.drain(..n)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Is there something left to write, so that nothing more should be queued?
    pub fn is_full(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Reads once. Returns the messages that are complete by now, or None at the end of the line.
    pub fn receive(&mut self) -> Result<Option<Vec<Message>>> {
        let mut buffer = [0; 2 * CHUNK];
        match self.line.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(n) => self.received.extend(&buffer[..n]),
            Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(e) => return Err(e),
        }
        std::iter::from_fn(|| self.next().transpose()).collect::<Result<_>>().map(Some)
    }

    fn next(&mut self) -> Result<Option<Message>> {
        let Some((&[kind, a, b, c, d], rest)) = self.received.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let known = KINDS.into_iter().find(|k| *k as u8 == kind);
        let Some(kind) = known.filter(|_| length <= CHUNK) else {
            return Err(std::io::Error::new(
                ErrorKind::InvalidData,
                "noise on the line to the guest",
            ));
        };
        let Some(bytes) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(None) };
        self.received.drain(..HEADER + length);
        Ok(Some(Message { kind, bytes }))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    fn file(stream: UnixStream) -> File {
        OwnedFd::from(stream).into()
    }

    #[test]
    fn messages_arrive_whole_and_in_order() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut ours, mut theirs) = (Channel::new(file(ours)), Channel::new(file(theirs)));
        ours.send(Kind::Output, &[0, 255, 3]).unwrap();
        ours.send(Kind::Exit, &137_i32.to_le_bytes()).unwrap();
        drop(ours);
        let mut messages = Vec::new();
        while let Some(more) = theirs.receive().unwrap() {
            messages.extend(more.into_iter().map(|m| (m.kind, m.bytes)));
        }
        let expected = [(Kind::Output, vec![0, 255, 3]), (Kind::Exit, vec![137, 0, 0, 0])];
        assert_eq!(messages, expected);
    }

    #[test]
    fn noise_is_an_error() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"Kernel panic - not syncing").unwrap();
        assert!(Channel::new(file(theirs)).receive().is_err());
    }
}
