//! How Kiln gives orders to a guest.

pub mod agent;
mod error;

pub use error::AgentError;
