//! What the kernel says of a process: read from outside (`process`), said by the process itself
//! (`probe`), and drawn as the walls of a container (`walls`). Nothing here asks the program that
//! made the container. What cannot be read is said to be unreadable, never guessed.

pub mod answer;
pub mod attack;
pub mod calls;
pub mod capability;
pub mod cgroup;
pub mod checks;
pub mod explain;
pub mod host;
pub mod idmap;
pub mod image;
pub mod interface;
pub mod mountinfo;
pub mod namespace;
pub mod oci;
pub mod paint;
pub mod probe;
pub mod process;
pub mod run;
pub mod stage;
pub mod status;
pub mod steps;
pub mod terminal;
pub mod tracer;
pub mod tree;
pub mod wait;
pub mod walls;
pub mod zoo;

pub use answer::Answer;
pub use probe::Probe;
pub use process::Process;
pub use walls::Xray;
