//! The connection to a guest that boots by itself: SSH.
//!
//! ```text
//! wait ── (exec | upload | download | read)* end_step … ── reconnect ── …
//! ```
//! One connection, a channel for each program. Everything is done as root, through `sudo` where another user is logged in.
//! The address is always one of loopback, to which QEMU forwards the guest's port.

mod channel;
mod connect;
mod error;
mod exec;
pub mod fast_boot;
mod keys;
mod root;
#[cfg(test)]
pub(crate) mod server;
mod shell;
mod target;
mod upload;
mod wait;
mod wrapper;

use super::agent::{Exec, ExitStatus, Stream, TerminalSize, Upload};
use crate::Running;
use channel::{Output, Program};
use connect::Client;
pub use error::{NotReady, Reached, SshError};
pub use keys::{HostKey, KeyPair};
use root::LoggedInAs;
use russh::{Disconnect, client::Handle};
use russh_sftp::client::SftpSession;
use std::{fmt, net::SocketAddr, path::Path, time::Duration};
pub use target::{Credential, Password, Target};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use upload::Sftp;
pub use wait::Progress;
use wait::{Place, wait_at};

/// A connection to one guest. A future may be dropped at any time: a program is then killed, an upload broken off, and
/// the next request goes on from there.
pub struct SshSession {
    handle: Handle<Client>,
    who: LoggedInAs,
    sftp: Sftp,
    place: Place,
    /// Whom it reached. A host key is pinned, be it only since the first connection.
    target: Target,
}

impl fmt::Debug for SshSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshSession")
            .field("place", &self.place)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl SshSession {
    /// Waits until the guest lets somebody in, and tells `on_progress` how far it is and what its console says.
    ///
    /// # Errors
    /// [`SshError::NotReady`] when that takes longer than `patience`; at once when the machine ends, or when more tries
    /// cannot help.
    pub async fn wait(
        running: &Running,
        target: &Target,
        patience: Duration,
        on_progress: impl FnMut(Progress) + Send,
    ) -> Result<Self, SshError> {
        let address = running.forwarded(target.port).await;
        let address = address.map_err(|source| SshError::NoPort { source: Box::new(source) })?;
        let place = Place { address, console: Some(running.console().to_owned()) };
        tokio::select! {
            biased;
            death = running.death() => Err(SshError::Died(Box::new(death))),
            session = Self::wait_for(place, target, patience, on_progress) => session,
        }
    }

    async fn wait_for(
        place: Place,
        target: &Target,
        patience: Duration,
        on_progress: impl FnMut(Progress) + Send,
    ) -> Result<Self, SshError> {
        let (entered, who) = wait_at(&place, target, patience, on_progress).await?;
        let target = Target { host_key: Some(entered.host_key), ..target.clone() };
        Ok(Self { handle: entered.handle, who, sftp: Sftp::Unknown, place, target })
    }

    /// Waits until a guest that restarts lets somebody in again, and goes on with a new connection.
    ///
    /// # Errors
    /// As for [`SshSession::wait`], but for the machine's end, which the caller watches.
    pub async fn reconnect(
        &mut self,
        patience: Duration,
        on_progress: impl FnMut(Progress) + Send,
    ) -> Result<(), SshError> {
        self.disconnect().await;
        *self = Self::wait_for(self.place.clone(), &self.target, patience, on_progress).await?;
        Ok(())
    }

    /// Ends the connection.
    pub async fn disconnect(&mut self) {
        self.sftp = Sftp::Unknown;
        // A server that is gone takes no leave.
        let leave = self.handle.disconnect(Disconnect::ByApplication, "", "en");
        drop(tokio::time::timeout(Duration::from_secs(1), leave).await);
    }

    /// Says whether the connection is known to be gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Returns the loopback address that leads to the guest's SSH server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.place.address
    }

    /// Returns whom it reached; the host key is the one that the guest has shown.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Takes another key for the guest's, as if another guest answered there now.
    #[cfg(test)]
    pub(crate) fn pin(&mut self, key: HostKey) {
        self.target.host_key = Some(key);
    }

    /// Runs a program and gives its output to `on_output` as it comes. It ends when the program itself does, whatever that
    /// left running. After `timeout` it and its group get SIGTERM, five seconds later SIGKILL. A program that cannot be
    /// started exits with 126 or 127 and says why.
    ///
    /// # Errors
    /// When it takes longer than `timeout`, or the connection ends.
    pub async fn exec(
        &mut self,
        exec: &Exec,
        timeout: Option<Duration>,
        on_output: impl FnMut(Stream, &[u8]) + Send,
    ) -> Result<ExitStatus, SshError> {
        exec::exec(self, exec, timeout, on_output).await
    }

    /// Runs a program at a terminal that a person talks to: what `input` gives is typed there, what the program writes
    /// goes to `output`, and the terminal has the size that `size` tells. The environment's `TERM` is the caller's.
    ///
    /// # Errors
    /// When `output` takes nothing, or the connection ends.
    pub async fn shell(
        &mut self,
        exec: &Exec,
        input: impl AsyncRead + Unpin + Send,
        output: impl AsyncWrite + Unpin + Send,
        size: watch::Receiver<TerminalSize>,
    ) -> Result<ExitStatus, SshError> {
        shell::shell(self, exec, input, output, size).await
    }

    /// Puts a file or folder into the guest. Missing parents are made; each file appears whole under its name. What lies in
    /// a folder that is there already stays.
    ///
    /// # Errors
    /// When either side cannot read or write.
    pub async fn upload(&mut self, upload: &Upload) -> Result<(), SshError> {
        upload::upload(self, upload).await
    }

    /// Copies a file of the guest to `to`, which is created or replaced.
    ///
    /// # Errors
    /// When either side cannot read or write; nothing is left at `to` then.
    pub async fn download(&mut self, path: &str, to: &Path) -> Result<(), SshError> {
        let copied = upload::download(self, path, to).await;
        if copied.is_err() {
            fs_err::remove_file(to).ok();
        }
        copied
    }

    /// Reads a file of the guest and gives its bytes to `on_bytes` as they come.
    ///
    /// # Errors
    /// When the guest cannot read it.
    pub async fn read(&mut self, path: &str, mut on_bytes: impl FnMut(&[u8]) + Send) -> Result<(), SshError> {
        upload::read(self, path, |bytes| {
            on_bytes(bytes);
            Ok(())
        })
        .await
    }

    /// Ends a step: kills what its programs left running, and takes `/run/kiln` away. What is a service of the guest's
    /// stays.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn end_step(&mut self) -> Result<(), SshError> {
        self.script(wrapper::END_STEP, &[], "ending the step").await.map(drop)
    }

    /// Starts a script as root; what is written to it is the script's input.
    async fn start(&self, script: &str, doing: &str) -> Result<Program<'_>, SshError> {
        self.who.start(&self.handle, script, doing).await
    }

    /// Runs a script as root with this input and returns what it wrote.
    async fn script(&self, script: &str, input: &[u8], doing: &str) -> Result<Vec<u8>, SshError> {
        let program = self.start(script, doing).await?;
        if !input.is_empty() {
            program.write(input.to_vec(), doing).await?;
        }
        program.end_input(doing).await?;
        Self::succeeded(program.finish(doing).await?, doing)
    }

    fn succeeded(output: Output, doing: &str) -> Result<Vec<u8>, SshError> {
        if output.status.success() {
            return Ok(output.out);
        }
        Err(SshError::Failed { doing: doing.to_owned(), message: output.complaint() })
    }

    /// Returns the connection's SFTP, where the guest has a server for it.
    async fn sftp(&mut self) -> Option<&SftpSession> {
        if matches!(self.sftp, Sftp::Unknown) {
            self.sftp = upload::start_sftp(self).await.map_or(Sftp::Missing, Sftp::There);
        }
        match &self.sftp {
            Sftp::There(sftp) => Some(sftp),
            Sftp::Missing | Sftp::Unknown => None,
        }
    }
}

fn host(path: &Path, source: std::io::Error) -> SshError {
    SshError::Host { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
