//! The agent that runs as PID 1 in the appliance, and the protocol it speaks with the host.
//!
//! **Invariant:** decides nothing; leaves nothing of itself in the image.

#[cfg(target_os = "linux")]
pub mod guest;
mod model;
pub mod protocol;

pub use model::{
    Device, Exec, ExitStatus, Finished, Greeting, Guest, Mount, Network, Setup, Stream, TerminalSize,
};
pub use protocol::{PORT, ProtocolError};
