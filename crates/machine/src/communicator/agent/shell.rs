//! A program of the guest that a person talks to.

use super::{
    exec::KillOnDrop,
    link::{Link, unexpected},
};
use crate::communicator::AgentError;
use kiln_agent::{
    Exec, ExitStatus, TerminalSize,
    protocol::{CHUNK, Reply, Request},
};
use std::{io, path::Path};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
};

/// What a terminal takes for the end of its input.
const END_OF_INPUT: &[u8] = b"\x04";

/// Runs a program at a terminal; see [`AgentSession::shell`](super::AgentSession::shell).
pub(super) async fn shell(
    link: &mut Link,
    exec: &Exec,
    mut input: impl AsyncRead + Unpin + Send,
    mut output: impl AsyncWrite + Unpin + Send,
    mut size: watch::Receiver<TerminalSize>,
) -> Result<ExitStatus, AgentError> {
    let doing = "running a shell";
    let exec = Exec { terminal: Some(*size.borrow_and_update()), ..exec.clone() };
    let id = link.begin();
    let mut guard = KillOnDrop { requests: link.requests(), id, running: true };
    link.send(id, &Request::Exec(exec), doing).await?;
    let (mut typed, mut listening, mut sized) = (vec![0; CHUNK], true, true);
    loop {
        let reply = tokio::select! {
            reply = link.receive(id, doing) => reply?,
            // A terminal that cannot be read any more has ended.
            count = input.read(&mut typed), if listening => {
                let bytes = typed.get(..count.unwrap_or_default()).unwrap_or_default();
                listening = !bytes.is_empty();
                let bytes = if listening { bytes } else { END_OF_INPUT };
                link.send(id, &Request::Input(bytes.to_vec()), doing).await?;
                continue;
            }
            changed = size.changed(), if sized => {
                sized = changed.is_ok();
                let size = *size.borrow_and_update();
                link.send(id, &Request::Resize(size), doing).await?;
                continue;
            }
        };
        match reply {
            Reply::Output(_, bytes) => show(&mut output, &bytes).await?,
            Reply::Exited(status) => {
                guard.running = false;
                return Ok(status);
            }
            other => {
                guard.running = false;
                return Err(unexpected(other, doing));
            }
        }
    }
}

async fn show(output: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), AgentError> {
    let written: io::Result<()> = async {
        output.write_all(bytes).await?;
        output.flush().await
    }
    .await;
    written.map_err(|source| AgentError::Host { path: Path::new("/dev/tty").to_owned(), source })
}
