//! Images made by hand: archives byte by byte, layouts of them, and a server on loopback that plays
//! a registry. Right ones, and ones that lie: no program of ours would write these.

pub mod archive;
pub mod layout;
pub mod registry;
pub mod server;

pub use archive::Tar;
pub use layout::{Layer, Layout};
pub use registry::Content;
pub use server::{Request, Server, head, reply};

use sha2::{Digest, Sha256};

/// `sha256:` and the digest of `bytes`.
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    format!("sha256:{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}
