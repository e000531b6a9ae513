//! What becomes of a build's machine when a step fails, and a person at a terminal in the guest.

use crate::{Error, Events, events::Event};
use kiln_machine::communicator::{
    Session,
    agent::{Exec, TerminalSize},
};
use std::{any::Any, fmt, io};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

/// What becomes of a build's machine when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// It goes away with all that it wrote.
    #[default]
    Cleanup,
    /// Its disks and logs stay in the home's `kept/`.
    Keep,
    /// A person gets a shell in it first.
    Shell,
}

/// A terminal that a person sits at; whoever starts a build has one or has not.
pub trait Terminal: Send + Sync {
    /// Takes the terminal over: what is typed comes as it is, without echo, until the value is dropped.
    ///
    /// # Errors
    /// When it cannot be switched.
    fn take(&self) -> io::Result<OpenTerminal>;
}

/// A terminal that was taken over.
pub struct OpenTerminal {
    /// What is typed.
    pub input: Box<dyn AsyncRead + Send + Unpin>,
    /// What is shown.
    pub output: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its size, now and as it changes.
    pub size: watch::Receiver<TerminalSize>,
    /// Gives the terminal back when dropped.
    pub restore: Box<dyn Any + Send>,
}

impl fmt::Debug for OpenTerminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenTerminal").field("size", &*self.size.borrow()).finish_non_exhaustive()
    }
}

/// Gives a person a shell in the guest, with a step's environment, until they leave it.
pub(crate) async fn shell(
    session: &mut Session,
    terminal: &dyn Terminal,
    environment: Vec<(String, String)>,
    events: &Events,
) -> Result<(), Error> {
    let environment = environment.into_iter().chain([("TERM".to_owned(), "xterm-256color".to_owned())]);
    let exec = Exec {
        // bash where there is one: it has a history and completes names.
        argv: ["/bin/sh", "-c", "command -v bash >/dev/null && exec bash -i; exec sh -i"]
            .map(str::to_owned)
            .to_vec(),
        environment: environment.collect(),
        working_directory: None,
        user: None,
        terminal: None,
    };
    events.emit(Event::TerminalTaken(true));
    let ended = match terminal.take() {
        Ok(OpenTerminal { input, output, size, restore }) => {
            let ended = session.shell(&exec, input, output, size).await.map_err(Error::from);
            drop(restore);
            ended.map(drop)
        }
        Err(error) => Err(error.into()),
    };
    events.emit(Event::TerminalTaken(false));
    ended
}
