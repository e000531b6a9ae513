//! A connection to a guest, whichever way it is made: what every provisioner runs over.

use super::{
    CommunicatorError, SshSession,
    agent::{AgentSession, Exec, ExitStatus, Stream, TerminalSize, Upload},
};
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

/// A connection to a guest. One request at a time; a future may be dropped at any time, and the next request goes on
/// from there.
#[derive(Debug)]
pub enum Session {
    /// To the agent in the appliance.
    Agent(AgentSession),
    /// To a guest that booted by itself.
    Ssh(Box<SshSession>),
}

impl Session {
    /// Runs a program and gives its output to `on_output` as it comes. After `timeout` it and its group get SIGTERM, five
    /// seconds later SIGKILL.
    ///
    /// # Errors
    /// When it cannot be started, takes longer than `timeout`, or the connection ends.
    pub async fn exec(
        &mut self,
        exec: &Exec,
        timeout: Option<Duration>,
        on_output: impl FnMut(Stream, &[u8]) + Send,
    ) -> Result<ExitStatus, CommunicatorError> {
        match self {
            Self::Agent(agent) => Ok(agent.exec(exec, timeout, on_output).await?),
            Self::Ssh(ssh) => Ok(ssh.exec(exec, timeout, on_output).await?),
        }
    }

    /// Runs a program at a terminal that a person talks to.
    ///
    /// # Errors
    /// When it cannot be started, `output` takes nothing, or the connection ends.
    pub async fn shell(
        &mut self,
        exec: &Exec,
        input: impl AsyncRead + Unpin + Send,
        output: impl AsyncWrite + Unpin + Send,
        size: watch::Receiver<TerminalSize>,
    ) -> Result<ExitStatus, CommunicatorError> {
        match self {
            Self::Agent(agent) => Ok(agent.shell(exec, input, output, size).await?),
            Self::Ssh(ssh) => Ok(ssh.shell(exec, input, output, size).await?),
        }
    }

    /// Puts a file or folder into the guest. Missing parents are made; each file appears whole under its name. What lies in
    /// a folder that is there already stays.
    ///
    /// # Errors
    /// When either side cannot read or write.
    pub async fn upload(&mut self, upload: &Upload) -> Result<(), CommunicatorError> {
        match self {
            Self::Agent(agent) => Ok(agent.upload(upload).await?),
            Self::Ssh(ssh) => Ok(ssh.upload(upload).await?),
        }
    }

    /// Copies a file of the guest to `to`, which is created or replaced.
    ///
    /// # Errors
    /// When either side cannot read or write; nothing is left at `to` then.
    pub async fn download(&mut self, path: &str, to: &Path) -> Result<(), CommunicatorError> {
        match self {
            Self::Agent(agent) => Ok(agent.download(path, to).await?),
            Self::Ssh(ssh) => Ok(ssh.download(path, to).await?),
        }
    }

    /// Reads a file of the guest and gives its bytes to `on_bytes` as they come.
    ///
    /// # Errors
    /// When the guest cannot read it.
    pub async fn read(
        &mut self,
        path: &str,
        mut on_bytes: impl FnMut(&[u8]) + Send,
    ) -> Result<(), CommunicatorError> {
        match self {
            Self::Agent(agent) => {
                let read = agent.read(path, |bytes| {
                    on_bytes(bytes);
                    Ok(())
                });
                Ok(read.await?)
            }
            Self::Ssh(ssh) => Ok(ssh.read(path, on_bytes).await?),
        }
    }

    /// Ends a step: kills what its programs left running, and takes away what was put into `/run` for it.
    ///
    /// # Errors
    /// When a process or a mount does not go.
    pub async fn end_step(&mut self) -> Result<(), CommunicatorError> {
        match self {
            Self::Agent(agent) => Ok(agent.end_step().await?),
            Self::Ssh(ssh) => Ok(ssh.end_step().await?),
        }
    }
}
