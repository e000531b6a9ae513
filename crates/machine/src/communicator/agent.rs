//! The host's end of the connection to the agent.
//!
//! ```text
//! connect ── mount ── set_up_chroot ── (exec | upload | download)* end_step … ── finish ── power_off
//! ```
//! A request that fails leaves the session usable, unless the error says that the connection ended or is not of the
//! protocol. The guest is not trusted: what it sends is bounded and checked.

mod exec;
mod link;
mod shell;
mod upload;

use super::AgentError;
pub use kiln_agent::{
    Device, Exec, ExitStatus, Finished, Guest, Mount, Network, Setup, Stream, TerminalSize,
};
use kiln_agent::{
    Greeting,
    protocol::{Reply, Request},
};
use link::{Link, unexpected};
use rustix::rand::GetRandomFlags;
use std::{
    io::Write,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
    sync::watch,
};
pub use upload::{Upload, UploadContent};

/// Random bytes of the host for the guest's generator, twice what it keeps.
const ENTROPY: usize = 64;

/// A connection to the agent of one guest. One request at a time. A future may be dropped at any time: a program is then
/// killed, an upload broken off, and the next request goes on from there.
#[derive(Debug)]
pub struct AgentSession {
    guest: Guest,
    link: Link,
}

impl AgentSession {
    /// Greets the agent at the other end of the virtio-serial port, which sets its clock and seeds its random generator
    /// from the host's, and waits until it answers.
    ///
    /// # Errors
    /// When it does not answer in time, or speaks another version.
    pub async fn connect(stream: UnixStream, timeout: Duration) -> Result<Self, AgentError> {
        let mut link = Link::new(stream);
        let greeting = async {
            let (id, doing) = (link.begin(), "greeting the agent");
            link.send(id, &Request::Hello(greeting()), doing).await?;
            match link.receive(id, doing).await? {
                Reply::Hello(guest) => Ok(guest),
                other => Err(unexpected(other, doing)),
            }
        };
        let guest = tokio::time::timeout(timeout, greeting).await;
        let guest = guest.map_err(|_elapsed| AgentError::NoAnswer { waited: timeout })??;
        Ok(Self { guest, link })
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
        self.link.call(&Request::Mount(mounts.to_vec()), "mounting the image").await
    }

    /// Prepares the chroot: network, `/proc`, `/sys`, `/dev`, fresh `/run` and `/tmp`, `resolv.conf`,
    /// `policy-rc.d`.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub async fn set_up_chroot(&mut self, setup: &Setup) -> Result<(), AgentError> {
        self.link.call(&Request::SetUp(setup.clone()), "preparing the chroot").await
    }

    /// Runs a program and gives its output to `on_output` as it comes. It ends when the program itself does, whatever that
    /// left running. After `timeout` it and its group get SIGTERM, five seconds later SIGKILL.
    ///
    /// # Errors
    /// When it cannot be started, takes longer than `timeout`, or the connection ends.
    pub async fn exec(
        &mut self,
        exec: &Exec,
        timeout: Option<Duration>,
        on_output: impl FnMut(Stream, &[u8]) + Send,
    ) -> Result<ExitStatus, AgentError> {
        exec::exec(&mut self.link, exec, timeout, on_output).await
    }

    /// Runs a program at a terminal that a person talks to: what `input` gives is typed there, what the program writes
    /// goes to `output`, and the terminal has the size that `size` tells. The environment's `TERM` is the caller's.
    ///
    /// # Errors
    /// When it cannot be started, `output` takes nothing, or the connection ends.
    pub async fn shell(
        &mut self,
        exec: &Exec,
        input: impl AsyncRead + Unpin + Send,
        output: impl AsyncWrite + Unpin + Send,
        size: watch::Receiver<TerminalSize>,
    ) -> Result<ExitStatus, AgentError> {
        shell::shell(&mut self.link, exec, input, output, size).await
    }

    /// Puts a file or folder into the guest. Missing parents are made; each file appears whole under its name. What lies in
    /// a folder that is there already stays.
    ///
    /// # Errors
    /// When either side cannot read or write.
    pub async fn upload(&mut self, upload: &Upload) -> Result<(), AgentError> {
        upload::upload(&mut self.link, upload).await
    }

    /// Copies a file of the guest to `to`, which is created or replaced.
    ///
    /// # Errors
    /// When either side cannot read or write; nothing is left at `to` then.
    pub async fn download(&mut self, path: &str, to: &Path) -> Result<(), AgentError> {
        let host = |source| AgentError::Host { path: to.to_owned(), source };
        let mut file = fs_err::File::create(to).map_err(host)?;
        let copied = self.read(path, |bytes| file.write_all(bytes).map_err(host)).await;
        if copied.is_err() {
            fs_err::remove_file(to).ok();
        }
        copied
    }

    /// Reads a file of the guest and gives its bytes to `on_bytes` as they come.
    ///
    /// # Errors
    /// When the guest cannot read it, or whatever `on_bytes` returns.
    pub async fn read(
        &mut self,
        path: &str,
        mut on_bytes: impl FnMut(&[u8]) -> Result<(), AgentError> + Send,
    ) -> Result<(), AgentError> {
        let doing = format!("reading {path}");
        let id = self.link.begin();
        self.link.send(id, &Request::Download(path.to_owned()), &doing).await?;
        loop {
            match self.link.receive(id, &doing).await? {
                Reply::Chunk(bytes) => on_bytes(&bytes)?,
                other => return link::done(other, &doing),
            }
        }
    }

    /// Ends a step: kills every process of the guest and gives the next step fresh `/run`, `/tmp` and `/dev/shm`.
    ///
    /// # Errors
    /// When a process or a mount does not go.
    pub async fn end_step(&mut self) -> Result<(), AgentError> {
        self.link.call(&Request::EndStep, "ending the step").await
    }

    /// Leaves the image: kills every process, takes the transient files away, has an image with SELinux label its files
    /// anew, trims unused blocks where `trim` says so, and unmounts everything. Afterwards the disk is quiet; [`AgentSession::mount`] begins anew.
    ///
    /// # Errors
    /// When a file system cannot be unmounted.
    pub async fn finish(&mut self, trim: bool) -> Result<Finished, AgentError> {
        let (id, doing) = (self.link.begin(), "unmounting the image");
        self.link.send(id, &Request::Finish { trim }, doing).await?;
        match self.link.receive(id, doing).await? {
            Reply::Finished(finished) => Ok(finished),
            other => Err(unexpected(other, doing)),
        }
    }

    /// Switches the guest off; QEMU ends by itself then.
    ///
    /// # Errors
    /// When the connection had ended before.
    pub async fn power_off(mut self) -> Result<(), AgentError> {
        let doing = "switching the guest off";
        let id = self.link.begin();
        self.link.send(id, &Request::PowerOff, doing).await?;
        match self.link.receive(id, doing).await {
            Err(AgentError::Disconnected { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(reply) => Err(unexpected(reply, doing)),
        }
    }
}

/// The host's clock and random bytes.
fn greeting() -> Greeting {
    let mut entropy = vec![0; ENTROPY];
    // It gives as many as these at once on every kernel; what it does not give stays out.
    let count = rustix::rand::getrandom(&mut entropy, GetRandomFlags::empty()).unwrap_or_default();
    entropy.truncate(count);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Greeting { unix_time: now.as_secs(), entropy }
}

#[cfg(test)]
mod tests;
