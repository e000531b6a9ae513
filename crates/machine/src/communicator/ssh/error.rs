//! What can go wrong on the way to a guest over SSH, and over the connection.

use crate::{Death, diagnosis::Diagnosis};
use std::{fmt, io, path::PathBuf, time::Duration};

/// Why a guest did not do over SSH what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SshError {
    /// The guest did not let anybody in for as long as it was waited for.
    #[error(transparent)]
    NotReady(Box<NotReady>),
    /// The machine ended meanwhile.
    #[error(transparent)]
    Died(Box<Death>),
    /// The machine was started without a way to the guest's port.
    #[error("the machine leads no port of this host to the guest's SSH server")]
    NoPort {
        /// Why not.
        source: Box<crate::Error>,
    },
    /// Nothing takes the connection.
    #[error("cannot connect to the guest's SSH port")]
    Connect {
        /// Why not.
        source: io::Error,
    },
    /// Something took the connection and did not say that it is an SSH server.
    #[error("the guest's port {port} took the connection and said nothing for {} s", waited.as_secs())]
    Silent {
        /// The guest's port.
        port: u16,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Something took the connection and said something else.
    #[error("what listens on the guest's port {port} is no SSH server: it said {said:?}")]
    NoSsh {
        /// The guest's port.
        port: u16,
        /// The first line that it said.
        said: String,
    },
    /// The guest is not the one that it should be.
    #[error("the guest's host key is {shown}, and should be {expected}")]
    HostKey {
        /// The fingerprint of the key that is pinned.
        expected: String,
        /// The fingerprint of the key that the guest showed.
        shown: String,
    },
    /// The two sides did not agree on how to talk.
    #[error("the SSH connection could not be set up")]
    Handshake {
        /// Why not.
        source: Box<russh::Error>,
    },
    /// The guest took longer than it may to set the connection up.
    #[error("the guest did not finish the SSH handshake within {} s", waited.as_secs())]
    Slow {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The guest does not let the user in.
    #[error("the guest refused to let {user:?} in with {tried}; it accepts: {accepts}")]
    Refused {
        /// The user.
        user: String,
        /// What was tried.
        tried: String,
        /// The ways that the guest takes.
        accepts: String,
    },
    /// The host's SSH agent did not help.
    #[error("the SSH agent at {} {problem}", socket.display())]
    SshAgent {
        /// Its socket.
        socket: PathBuf,
        /// What it does or does not do.
        problem: String,
    },
    /// The user cannot become root.
    #[error("{user:?} cannot become root: {said}")]
    Sudo {
        /// The user.
        user: String,
        /// What `sudo` said.
        said: String,
    },
    /// The connection ended: the guest restarted, its network stopped, or QEMU did.
    #[error("the SSH connection ended while {doing}")]
    Disconnected {
        /// What was being done.
        doing: String,
        /// Why, where that is known.
        source: Option<Box<russh::Error>>,
    },
    /// The guest could not do it and says why.
    #[error("the guest failed while {doing}: {message}")]
    Failed {
        /// What was being done.
        doing: String,
        /// The guest's own words.
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
    /// A private key cannot be used.
    #[error("cannot use the private key {}", path.display())]
    ReadKey {
        /// Its file.
        path: PathBuf,
        /// Why not.
        source: Box<russh::Error>,
    },
    /// A host key that is written somewhere is none.
    #[error("{line:?} is no SSH public key")]
    ParseHostKey {
        /// What is written.
        line: String,
        /// Why not.
        source: russh::keys::ssh_key::Error,
    },
    /// A key could not be made.
    #[error("cannot make an SSH key")]
    MakeKey {
        /// Why not.
        source: russh::keys::ssh_key::Error,
    },
}

impl SshError {
    /// Returns what to type next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotReady(not_ready) => not_ready.last.as_ref().and_then(Self::hint),
            Self::ReadKey { path, source } => match &**source {
                russh::Error::Keys(russh::keys::Error::KeyIsEncrypted) => Some(format!(
                    "ssh-add {}   # then, in the template's [communicator]: agent = true in place of private_key",
                    path.display()
                )),
                _ => None,
            },
            Self::SshAgent { .. } => Some("ssh-add -l   # the keys that the agent holds".to_owned()),
            Self::Sudo { user, .. } => Some(format!(
                "echo '{user} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{user}   # in the guest; or give the template's \
                 [communicator] a password, or username = \"root\""
            )),
            _ => None,
        }
    }

    /// Says whether waiting cannot help.
    pub(super) const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Sudo { .. }
                | Self::SshAgent { .. }
                | Self::Died(_)
                | Self::NotReady(_)
                | Self::NoSsh { .. }
        )
    }

    /// Says whether a guest that is still starting may come to another answer: its keys and users may not be there yet.
    pub(super) const fn may_settle(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::HostKey { .. })
    }
}

/// A guest that did not let anybody in, with everything that is known of it.
#[derive(Debug)]
pub struct NotReady {
    /// How long it was waited for.
    pub waited: Duration,
    /// How far it came.
    pub reached: Reached,
    /// What the last try came to.
    pub last: Option<SshError>,
    /// What the console means, where that is known.
    pub diagnosis: Option<Diagnosis>,
    /// The console's last lines.
    pub console: Vec<String>,
}

/// How far the way into a guest went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// Nothing took a connection.
    Nothing,
    /// A connection was taken. QEMU itself takes them before the guest does.
    Tcp,
    /// An SSH server said so.
    Banner,
    /// The connection was set up with the right host key, and the login refused.
    Login,
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing took a connection",
            Self::Tcp => "QEMU took the connection, and no SSH server of the guest's answered",
            Self::Banner => "an SSH server answered, and no connection came of it",
            Self::Login => "the SSH server asked for a login, and refused it",
        })
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no SSH connection to the guest within {} s: {}", self.waited.as_secs(), self.reached)?;
        let mut error = self.last.as_ref().map(|error| error as &dyn std::error::Error);
        if error.is_some() {
            f.write_str("\n  the last try: ")?;
        }
        while let Some(said) = error {
            write!(f, "{said}")?;
            error = said.source();
            if error.is_some() {
                f.write_str(": ")?;
            }
        }
        if let Some(diagnosis) = &self.diagnosis {
            write!(f, "\n  {diagnosis}")?;
        }
        if self.console.is_empty() {
            return Ok(());
        }
        f.write_str("\n  the console's last lines:")?;
        self.console.iter().try_for_each(|line| write!(f, "\n    | {line}"))
    }
}

impl std::error::Error for NotReady {}
