//! How Kiln gives orders to a guest.

pub mod agent;
mod error;
#[cfg(test)]
pub(crate) mod process_guest;

pub use error::AgentError;
