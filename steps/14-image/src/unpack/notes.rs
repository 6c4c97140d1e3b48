//! What is left out or made otherwise, and told: an ordinary user's image may be a little less than
//! root's, but never without a word.

use std::ops::AddAssign;

/// What could not be made as it is in the archive, and is no reason to fail.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Notes {
    pub devices: usize,
    pub owners: usize,
    pub xattrs: usize,
}

impl AddAssign for Notes {
    fn add_assign(&mut self, more: Notes) {
        self.devices += more.devices;
        self.owners += more.owners;
        self.xattrs += more.xattrs;
    }
}
