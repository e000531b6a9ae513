//! How Kiln gives orders to a guest.

pub mod agent;
mod error;
#[cfg(test)]
pub(crate) mod process_guest;
mod session;
pub mod ssh;

pub use error::{AgentError, CommunicatorError};
pub use session::Session;
pub use ssh::{SshError, SshSession};
