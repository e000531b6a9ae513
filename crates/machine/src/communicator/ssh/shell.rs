//! A program of the guest that a person talks to.

use super::{
    SshError, SshSession,
    channel::{Program, Said},
    host,
    root::quote,
    wrapper,
};
use crate::communicator::agent::{Exec, ExitStatus, TerminalSize};
use std::path::Path;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
};

/// What a terminal takes for the end of its input.
const END_OF_INPUT: &[u8] = b"\x04";

/// Bytes that are taken of a person at once.
const CHUNK: usize = 4096;

/// What runs at the terminal, behind a path that only root can read.
const SCRIPT: &str = "/run/kiln/shell";

/// Runs a program at a terminal; see [`SshSession::shell`].
pub(super) async fn shell(
    session: &SshSession,
    exec: &Exec,
    mut input: impl AsyncRead + Unpin + Send,
    mut output: impl AsyncWrite + Unpin + Send,
    mut size: watch::Receiver<TerminalSize>,
) -> Result<ExitStatus, SshError> {
    let doing = "running a shell";
    let put = format!("umask 077; mkdir -p -m 755 {}; cat >{SCRIPT}", wrapper::FOLDER);
    session.script(&put, wrapper::at_terminal(exec).as_bytes(), doing).await?;
    let term = exec.environment.iter().find(|(name, _)| name == "TERM").map_or("dumb", |(_, value)| value);
    let shown = *size.borrow_and_update();
    let command = session.who.command(&format!("sh {SCRIPT}"));
    let command = format!("sh -c {}", quote(&format!("stty -echo; echo; {command}")));
    let mut program = Program::start_at_terminal(&session.handle, &command, (term, shown), doing).await?;
    let (mut typed, mut listening, mut sized) = (vec![0; CHUNK], true, true);
    // The password of `sudo` is not shown: it waits for the empty line that comes once nothing is echoed any more.
    let mut password = Some(session.who.typed_first()).filter(|password| !password.is_empty());
    loop {
        tokio::select! {
            said = program.next(doing) => match said? {
                Said::Out(bytes) | Said::Error(bytes) => {
                    if let Some(password) = password.take() {
                        program.write(password, doing).await?;
                    }
                    show(&mut output, &bytes).await?;
                }
                Said::Ended(status) => return Ok(status),
            },
            // A terminal that cannot be read any more has ended.
            count = input.read(&mut typed), if listening && password.is_none() => {
                let bytes = typed.get(..count.unwrap_or_default()).unwrap_or_default();
                listening = !bytes.is_empty();
                let bytes = if listening { bytes } else { END_OF_INPUT };
                program.write(bytes.to_vec(), doing).await?;
            }
            changed = size.changed(), if sized => {
                sized = changed.is_ok();
                let size = *size.borrow_and_update();
                program.resize(size, doing).await?;
            }
        }
    }
}

async fn show(output: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), SshError> {
    let about = |source| host(Path::new("/dev/tty"), source);
    output.write_all(bytes).await.map_err(about)?;
    output.flush().await.map_err(about)
}
