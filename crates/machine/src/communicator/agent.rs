//! The host's end of the connection to the agent.

use super::AgentError;
pub use kiln_agent::{Device, Exec, ExitStatus, Guest, Mount, Network, Setup, Stream};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::net::UnixStream;

/// A file or folder to put into the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// What to put there.
    pub content: UploadContent,
    /// An absolute path in the guest. Where it ends with a slash or is a folder, the file or folder goes into it.
    pub destination: String,
    /// Permission bits of a file (of every file in a folder); `None` keeps those of the host's file, and gives bytes 0644.
    pub mode: Option<u32>,
    /// A user of the guest's, by name or number, with a group perhaps: `app`, `1000`, `app:www-data`. `None` is root.
    pub owner: Option<String>,
}

/// What an upload holds.
#[derive(Clone, PartialEq, Eq)]
pub enum UploadContent {
    /// A file or folder of this host. Symbolic links in a folder are kept as links; the named path itself is followed.
    Path(PathBuf),
    /// A file's bytes.
    Bytes(Vec<u8>),
}

impl std::fmt::Debug for UploadContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
        }
    }
}

/// A connection to the agent of one guest. One request at a time; every future may be dropped between two requests.
#[derive(Debug)]
pub struct AgentSession {
    guest: Guest,
}

impl AgentSession {
    /// Greets the agent at the other end of the virtio-serial port and waits until it answers.
    ///
    /// # Errors
    /// When it does not answer in time, or speaks another version.
    pub async fn connect(stream: UnixStream, timeout: Duration) -> Result<Self, AgentError> {
        todo!("{stream:?} {timeout:?}")
    }

    /// Returns what the guest said of itself.
    #[must_use]
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Mounts these file systems, the root (`/`) first.
    ///
    /// # Errors
    /// When a device does not appear or does not hold that file system.
    pub async fn mount(&mut self, mounts: &[Mount]) -> Result<(), AgentError> {
        todo!("{mounts:?}")
    }

    /// Prepares the chroot: clock, entropy, network, `/proc`, `/sys`, `/dev`, fresh `/run` and `/tmp`, `resolv.conf`, `policy-rc.d`.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub async fn set_up_chroot(&mut self, setup: &Setup) -> Result<(), AgentError> {
        todo!("{setup:?}")
    }

    /// Runs a program and gives its output to `on_output` as it comes. After `timeout` it and its group get SIGTERM, five
    /// seconds later SIGKILL. Dropping the future kills it.
    ///
    /// # Errors
    /// When it cannot be started, takes longer than `timeout`, or the connection ends.
    pub async fn exec(
        &mut self,
        exec: &Exec,
        timeout: Option<Duration>,
        on_output: impl FnMut(Stream, &[u8]) + Send,
    ) -> Result<ExitStatus, AgentError> {
        drop(on_output);
        todo!("{exec:?} {timeout:?}")
    }

    /// Puts a file or folder into the guest. Missing parents are made; each file appears whole under its name.
    ///
    /// # Errors
    /// When either side cannot read or write.
    pub async fn upload(&mut self, upload: &Upload) -> Result<(), AgentError> {
        todo!("{upload:?}")
    }

    /// Copies a file of the guest to `to`, which is created or replaced.
    ///
    /// # Errors
    /// When either side cannot read or write.
    pub async fn download(&mut self, path: &str, to: &Path) -> Result<(), AgentError> {
        todo!("{path:?} {to:?}")
    }

    /// Ends a step: kills every process of the guest and gives the next step fresh `/run`, `/tmp` and `/dev/shm`.
    ///
    /// # Errors
    /// When a process or a mount does not go.
    pub async fn end_step(&mut self) -> Result<(), AgentError> {
        todo!()
    }

    /// Leaves the image: kills every process, takes the transient files away, trims unused blocks where `trim` says so,
    /// and unmounts everything. Afterwards the disk is quiet.
    ///
    /// # Errors
    /// When a file system cannot be unmounted.
    pub async fn finish(&mut self, trim: bool) -> Result<(), AgentError> {
        todo!("{trim}")
    }

    /// Switches the guest off; QEMU ends by itself then.
    ///
    /// # Errors
    /// When the connection had ended before.
    pub async fn power_off(self) -> Result<(), AgentError> {
        todo!()
    }
}
