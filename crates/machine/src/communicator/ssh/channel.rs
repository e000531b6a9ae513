//! A program of the guest at the other end of a channel.

use super::{SshError, connect::Client};
use kiln_agent::ExitStatus;
use russh::{
    Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig,
    client::{Handle, Msg},
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// What a program may say in an error.
const MOST_SAID: usize = 2000;

/// How long output may still come once a program has ended: what it left running may hold its streams open for ever.
const DRAINED_WITHIN: Duration = Duration::from_secs(1);

/// How long a broken connection takes to be known as such.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// A channel of its own for one program. Dropped, it is closed: the program's input ends then, and with it the program.
pub(super) struct Program<'a> {
    handle: &'a Handle<Client>,
    from: ChannelReadHalf,
    to: Arc<ChannelWriteHalf<Msg>>,
    status: Option<ExitStatus>,
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let to = Arc::clone(&self.to);
            // A connection that is gone has closed it.
            runtime.spawn(async move { drop(to.close().await) });
        }
    }
}

/// What comes from a program.
pub(super) enum Said {
    Out(bytes::Bytes),
    Error(bytes::Bytes),
    Ended(ExitStatus),
}

impl<'a> Program<'a> {
    /// Has the guest's shell run a command.
    pub(super) async fn start(
        handle: &'a Handle<Client>,
        command: &str,
        doing: &str,
    ) -> Result<Self, SshError> {
        Ok(Self::of(handle, run(handle, command, doing).await?))
    }

    fn of(handle: &'a Handle<Client>, channel: Channel<Msg>) -> Self {
        let (from, to) = channel.split();
        Self { handle, from, to: Arc::new(to), status: None }
    }

    /// The same at a terminal.
    pub(super) async fn start_at_terminal(
        handle: &'a Handle<Client>,
        command: &str,
        terminal: (&str, kiln_agent::TerminalSize),
        doing: &str,
    ) -> Result<Self, SshError> {
        let channel = open(handle, doing).await?;
        let (kind, size) = terminal;
        let (columns, rows) = (u32::from(size.columns), u32::from(size.rows));
        let asked = channel.request_pty(false, kind, columns, rows, 0, 0, &[]).await;
        asked.map_err(|error| lost(doing, error))?;
        channel.exec(false, command).await.map_err(|error| lost(doing, error))?;
        Ok(Self::of(handle, channel))
    }

    /// Gives it bytes on its standard input.
    pub(super) async fn write(&self, bytes: impl Into<bytes::Bytes>, doing: &str) -> Result<(), SshError> {
        self.to.data_bytes(bytes).await.map_err(|error| lost(doing, error))
    }

    /// Ends its standard input.
    pub(super) async fn end_input(&self, doing: &str) -> Result<(), SshError> {
        self.to.eof().await.map_err(|error| lost(doing, error))
    }

    /// Changes the size of its terminal.
    pub(super) async fn resize(&self, size: kiln_agent::TerminalSize, doing: &str) -> Result<(), SshError> {
        let changed = self.to.window_change(u32::from(size.columns), u32::from(size.rows), 0, 0);
        changed.await.map_err(|error| lost(doing, error))
    }

    /// Waits for what comes next. Nothing comes after [`Said::Ended`].
    pub(super) async fn next(&mut self, doing: &str) -> Result<Said, SshError> {
        loop {
            let message = match self.status {
                None => self.from.wait().await,
                Some(_) => timeout(DRAINED_WITHIN, self.from.wait()).await.unwrap_or(None),
            };
            match (message, self.status) {
                (Some(ChannelMsg::Data { data }), _) => return Ok(Said::Out(data)),
                (Some(ChannelMsg::ExtendedData { data, .. }), _) => return Ok(Said::Error(data)),
                (Some(ChannelMsg::ExitStatus { exit_status }), _) => {
                    let code = i32::try_from(exit_status).unwrap_or(i32::MAX);
                    self.status = Some(ExitStatus::Exited(code));
                }
                (Some(ChannelMsg::ExitSignal { signal_name, .. }), _) => {
                    self.status = Some(ExitStatus::Signaled(number(&signal_name)));
                }
                (Some(ChannelMsg::Failure | ChannelMsg::OpenFailure(_)), _) => {
                    let message = "its SSH server runs no commands".to_owned();
                    return Err(SshError::Failed { doing: doing.to_owned(), message });
                }
                (Some(ChannelMsg::Close) | None, Some(status)) => return Ok(Said::Ended(status)),
                (None, None) => return Err(self.gone(doing).await),
                (Some(_), _) => {}
            }
        }
    }

    /// Collects everything until it ends.
    pub(super) async fn finish(mut self, doing: &str) -> Result<Output, SshError> {
        let mut output = Output { status: ExitStatus::Exited(0), out: Vec::new(), said: Vec::new() };
        loop {
            match self.next(doing).await? {
                Said::Out(bytes) => output.out.extend_from_slice(&bytes),
                Said::Error(bytes) => {
                    let room = MOST_SAID.saturating_sub(output.said.len());
                    output.said.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
                }
                Said::Ended(status) => {
                    output.status = status;
                    return Ok(output);
                }
            }
        }
    }

    /// Says why a channel ended without a word of how its program did.
    async fn gone(&self, doing: &str) -> SshError {
        let closed = async {
            while !self.handle.is_closed() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(CLOSED_WITHIN, closed).await.is_ok() {
            return SshError::Disconnected { doing: doing.to_owned(), source: None };
        }
        let message = "its SSH server did not say how the program ended".to_owned();
        SshError::Failed { doing: doing.to_owned(), message }
    }
}

/// What a program wrote, and how it ended.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) out: Vec<u8>,
    pub(super) said: Vec<u8>,
}

impl Output {
    /// Returns what it said of its failure.
    pub(super) fn complaint(&self) -> String {
        let said = String::from_utf8_lossy(&self.said);
        match said.trim() {
            "" => self.status.to_string(),
            said => said.to_owned(),
        }
    }
}

/// Has the guest's shell run a command.
pub(super) async fn run(
    handle: &Handle<Client>,
    command: &str,
    doing: &str,
) -> Result<Channel<Msg>, SshError> {
    let channel = open(handle, doing).await?;
    channel.exec(false, command).await.map_err(|error| lost(doing, error))?;
    Ok(channel)
}

async fn open(handle: &Handle<Client>, doing: &str) -> Result<Channel<Msg>, SshError> {
    handle.channel_open_session().await.map_err(|error| lost(doing, error))
}

pub(super) fn lost(doing: &str, error: russh::Error) -> SshError {
    let doing = doing.to_owned();
    match error {
        russh::Error::ChannelOpenFailure(why) => {
            SshError::Failed { doing, message: format!("its SSH server opens no more sessions ({why:?})") }
        }
        error => SshError::Disconnected { doing, source: Some(Box::new(error)) },
    }
}

/// Signals go by their names over SSH.
fn number(signal: &Sig) -> i32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => 0,
    }
}
