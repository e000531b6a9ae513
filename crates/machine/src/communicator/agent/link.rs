//! The connection itself: two tasks that read and write whole messages, so that a future that is dropped tears none.

use crate::communicator::AgentError;
use kiln_agent::{
    ProtocolError,
    protocol::{Frame, HEADER_SIZE, Header, MAX_BODY, Reply, Request},
};
use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc::{self, Receiver, Sender},
    task::JoinHandle,
};

/// Messages under way in each direction; each is at most 256 KiB.
const QUEUE: usize = 16;

/// Why nothing comes any more.
enum Broken {
    Ended(Option<io::Error>),
    Protocol(ProtocolError),
}

/// A connection to the agent.
pub(super) struct Link {
    requests: Sender<Vec<u8>>,
    replies: Receiver<Result<(u32, Reply), Broken>>,
    tasks: [JoinHandle<()>; 2],
    last_id: u32,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("last_id", &self.last_id).finish_non_exhaustive()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Link {
    pub(super) fn new(stream: UnixStream) -> Self {
        let (read, write) = stream.into_split();
        let (requests, requested) = mpsc::channel(QUEUE);
        let (replied, replies) = mpsc::channel(QUEUE);
        let tasks = [tokio::spawn(write_all(write, requested)), tokio::spawn(read_all(read, replied))];
        Self { requests, replies, tasks, last_id: 0 }
    }

    /// Begins a request: what belongs to earlier ones is not listened to any more.
    pub(super) fn begin(&mut self) -> u32 {
        self.last_id = self.last_id.wrapping_add(1).max(1);
        self.last_id
    }

    /// Where encoded messages go, for threads that may wait.
    pub(super) fn requests(&self) -> Sender<Vec<u8>> {
        self.requests.clone()
    }

    /// Sends a message of a request.
    pub(super) async fn send(&mut self, id: u32, request: &Request, doing: &str) -> Result<(), AgentError> {
        let bytes = encode(id, request, doing)?;
        if self.requests.send(bytes).await.is_ok() {
            return Ok(());
        }
        // The reader knows why.
        loop {
            self.receive(id, doing).await?;
        }
    }

    /// Waits for the next reply to a request. May be dropped and called again.
    pub(super) async fn receive(&mut self, id: u32, doing: &str) -> Result<Reply, AgentError> {
        loop {
            match self.replies.recv().await {
                Some(Ok((from, reply))) if from == id => return Ok(reply),
                // The agent itself broke down.
                Some(Ok((0, Reply::Failed(message)))) => {
                    return Err(refused(&message, doing));
                }
                Some(Ok(_of_an_earlier_request)) => {}
                Some(Err(Broken::Protocol(source))) => {
                    return Err(AgentError::Protocol { doing: doing.to_owned(), source });
                }
                Some(Err(Broken::Ended(source))) => {
                    return Err(AgentError::Disconnected { doing: doing.to_owned(), source });
                }
                None => return Err(AgentError::Disconnected { doing: doing.to_owned(), source: None }),
            }
        }
    }

    /// Sends a request and waits until it is done.
    pub(super) async fn call(&mut self, request: &Request, doing: &str) -> Result<(), AgentError> {
        let id = self.begin();
        self.send(id, request, doing).await?;
        let reply = self.receive(id, doing).await?;
        done(reply, doing)
    }
}

/// Encodes a message.
pub(super) fn encode(id: u32, request: &Request, doing: &str) -> Result<Vec<u8>, AgentError> {
    request.encode(id).map_err(|error| match error {
        ProtocolError::TooLong(size) => {
            AgentError::TooLarge { what: doing.to_owned(), size, limit: MAX_BODY }
        }
        source => AgentError::Protocol { doing: doing.to_owned(), source },
    })
}

/// Takes the reply that says that a request is done.
pub(super) fn done(reply: Reply, doing: &str) -> Result<(), AgentError> {
    match reply {
        Reply::Done => Ok(()),
        other => Err(unexpected(other, doing)),
    }
}

/// What a reply means that is not the one hoped for.
pub(super) fn unexpected(reply: Reply, doing: &str) -> AgentError {
    match reply {
        Reply::Failed(message) => refused(&message, doing),
        reply => {
            AgentError::Protocol { doing: doing.to_owned(), source: ProtocolError::Unexpected(reply.kind()) }
        }
    }
}

/// A guest's words reach a terminal: they must not move its cursor.
fn refused(message: &str, doing: &str) -> AgentError {
    let message = message.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    AgentError::Refused { doing: doing.to_owned(), message }
}

async fn write_all(mut stream: OwnedWriteHalf, mut requests: Receiver<Vec<u8>>) {
    while let Some(bytes) = requests.recv().await {
        if stream.write_all(&bytes).await.is_err() {
            // The reader sees the end as well, and says so.
            return;
        }
    }
}

async fn read_all(mut stream: OwnedReadHalf, replies: Sender<Result<(u32, Reply), Broken>>) {
    loop {
        let reply = read(&mut stream).await;
        let ended = reply.is_err();
        if replies.send(reply).await.is_err() || ended {
            return;
        }
    }
}

async fn read(stream: &mut OwnedReadHalf) -> Result<(u32, Reply), Broken> {
    let mut bytes = [0; HEADER_SIZE];
    match stream.read_exact(&mut bytes).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Broken::Ended(None)),
        Err(error) => return Err(Broken::Ended(Some(error))),
    }
    let header = Header::decode(bytes).map_err(Broken::Protocol)?;
    let mut body = vec![0; header.size];
    stream.read_exact(&mut body).await.map_err(|error| Broken::Ended(Some(error)))?;
    let frame = Frame { id: header.id, kind: header.kind, body };
    let reply = Reply::decode(frame).map_err(Broken::Protocol)?;
    Ok((header.id, reply))
}
