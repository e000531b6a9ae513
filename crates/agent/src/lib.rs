//! The agent that runs as PID 1 in the appliance, and the protocol it speaks with the host.
//!
//! **Invariant:** decides nothing; leaves nothing of itself in the image.

mod model;
mod protocol_error;

pub use model::{Device, Exec, ExitStatus, Guest, Mount, Network, Setup, Stream};
pub use protocol_error::ProtocolError;

/// The name of the virtio-serial port that the agent listens on.
pub const PORT: &str = "org.kiln.agent.0";
