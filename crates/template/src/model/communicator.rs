//! `[communicator]`: how Kiln talks to the guest.

use crate::{
    model::{HostPath, Text},
    names::words,
};
use kiln_types::TimeSpan;
use serde::Serialize;

/// How Kiln talks to a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Communicator {
    /// A small program started in place of the image's init.
    Agent,
    /// The image itself is booted, and reached over SSH.
    Ssh(Ssh),
}

impl Communicator {
    /// Returns the word for it in a template.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Ssh(_) => "ssh",
        }
    }
}

/// A guest that is booted, and reached over SSH. What only says how the connection is made changes nothing in the
/// guest, and is no part of the serialised form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ssh {
    /// The guest's user that the steps run as.
    pub username: String,
    /// The user's password.
    #[serde(skip)]
    pub password: Option<Text>,
    /// A file with the user's private key.
    #[serde(skip)]
    pub private_key: Option<HostPath>,
    /// Whether the SSH agent of this host has a key.
    #[serde(skip)]
    pub agent: bool,
    /// The port that the guest listens on.
    #[serde(skip)]
    pub port: u16,
    /// How long the guest may take from its start to the first connection.
    #[serde(skip)]
    pub timeout: TimeSpan,
    /// How often an idle connection is tried.
    #[serde(skip)]
    pub keepalive: TimeSpan,
    /// How a key of the user's and one of the guest's get into the guest.
    pub setup: SshSetup,
    /// The guest's key, a line as `ssh-keyscan` prints it without the host, where Kiln puts none into the guest.
    #[serde(skip)]
    pub host_key: Option<String>,
}

impl Default for Ssh {
    fn default() -> Self {
        Self {
            username: "root".to_owned(),
            password: None,
            private_key: None,
            agent: false,
            port: 22,
            timeout: TimeSpan::from_secs(600),
            keepalive: TimeSpan::from_secs(10),
            setup: SshSetup::Auto,
            host_key: None,
        }
    }
}

words! {
    /// How a key of the user's and one of the guest's get into the guest.
    pub enum SshSetup {
        /// As files, where the image allows it; else through cloud-init.
        Auto = "auto",
        /// As files that the agent puts there before the guest boots.
        Files = "files",
        /// Through cloud-init, from a NoCloud seed disk.
        CloudInit = "cloud-init",
        /// Not at all: the image has an account of its own.
        None = "none",
    }
}
