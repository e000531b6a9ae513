//! What can go wrong between the host and a guest.

use super::SshError;
use kiln_agent::ProtocolError;
use std::{io, path::PathBuf, time::Duration};

/// Why a guest did not do what it was asked to, whichever way it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommunicatorError {
    /// By the agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// Over SSH.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// A program of the guest's failed that does a part of a step.
    #[error("the guest failed while {doing}: {message}")]
    Guest {
        /// What was being done.
        doing: String,
        /// The guest's own words.
        message: String,
    },
    /// A file of the host that a step names could not be read or written.
    #[error("cannot transfer {}", path.display())]
    Host {
        /// The host's file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl CommunicatorError {
    /// Says whether the connection is gone, so that nothing more can be asked over it.
    #[must_use]
    pub const fn is_disconnected(&self) -> bool {
        matches!(
            self,
            Self::Agent(AgentError::Disconnected { .. }) | Self::Ssh(SshError::Disconnected { .. })
        )
    }

    /// Returns the time that a program had that ran longer than it may.
    #[must_use]
    pub const fn timed_out(&self) -> Option<Duration> {
        match self {
            Self::Agent(AgentError::TimedOut { after }) | Self::Ssh(SshError::TimedOut { after }) => {
                Some(*after)
            }
            _ => None,
        }
    }

    /// Says whether the guest could not do it and said why; the connection is as good as before.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        matches!(self, Self::Agent(AgentError::Refused { .. }) | Self::Ssh(SshError::Failed { .. }))
    }

    /// Returns what to type next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Ssh(error) => error.hint(),
            Self::Agent(_) | Self::Guest { .. } | Self::Host { .. } => None,
        }
    }
}

/// Why the agent did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The agent did not introduce itself in time.
    #[error("the agent in the guest did not answer within {} s", waited.as_secs())]
    NoAnswer {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The connection ended: the guest stopped, or QEMU did.
    #[error("the connection to the agent ended while {doing}")]
    Disconnected {
        /// What was being done.
        doing: String,
        /// Why, where the system said so.
        source: Option<io::Error>,
    },
    /// The guest sent something that is not of the protocol.
    #[error("the guest broke the agent's protocol while {doing}")]
    Protocol {
        /// What was being done.
        doing: String,
        /// What was wrong.
        source: ProtocolError,
    },
    /// The agent could not do it and says why.
    #[error("the guest failed while {doing}: {message}")]
    Refused {
        /// What was being done.
        doing: String,
        /// The agent's own words.
        message: String,
    },
    /// A program ran longer than it may.
    #[error("timed out after {} s", after.as_secs_f64())]
    TimedOut {
        /// The time it had.
        after: Duration,
    },
    /// A file of the host could not be read or written.
    #[error("cannot transfer {}", path.display())]
    Host {
        /// The host's file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A request does not fit into a frame.
    #[error("{what} takes {size} bytes, more than the {limit} that fit into one request")]
    TooLarge {
        /// What was asked.
        what: String,
        /// What it needs.
        size: usize,
        /// What there is.
        limit: usize,
    },
}
