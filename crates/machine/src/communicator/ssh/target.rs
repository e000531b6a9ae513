//! Whom to reach, and as whom.

use super::{HostKey, KeyPair};
use std::{fmt, path::PathBuf, time::Duration};

/// A guest's SSH server, and how to log in there.
#[derive(Debug, Clone)]
pub struct Target {
    /// The port that the guest listens on; the machine forwards it.
    pub port: u16,
    /// The guest's user. Steps run as root: through `sudo` where this is another.
    pub user: String,
    /// Tried one after the other.
    pub credentials: Vec<Credential>,
    /// The key that the guest must show. `None` takes the first that it shows, and no other after it.
    pub host_key: Option<HostKey>,
    /// How often an idle connection is tried; three times without an answer end it.
    pub keepalive: Duration,
}

/// What lets a user in.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A key pair.
    Key(KeyPair),
    /// A password, given to whichever way of asking for it the guest has. It serves `sudo` too.
    Password(Password),
    /// The keys of the agent that listens on this socket.
    Agent(PathBuf),
}

impl Credential {
    /// Returns what it is called in an error.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Key(_) => "the private key",
            Self::Password(_) => "the password",
            Self::Agent(_) => "the SSH agent's keys",
        }
    }
}

/// A password. It is never shown.
#[derive(Clone)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}
