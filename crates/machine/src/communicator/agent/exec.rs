//! Running a program in the guest.

use super::link::{Link, unexpected};
use crate::communicator::AgentError;
use kiln_agent::{
    Exec, ExitStatus, Stream,
    protocol::{Reply, Request, StepSignal},
};
use std::time::Duration;
use tokio::{
    sync::mpsc::Sender,
    time::{Instant, sleep_until},
};

/// From SIGTERM to SIGKILL, and from there until the program counts as gone whatever the guest says.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a program; see [`AgentSession::exec`](super::AgentSession::exec).
pub(super) async fn exec(
    link: &mut Link,
    exec: &Exec,
    timeout: Option<Duration>,
    mut on_output: impl FnMut(Stream, &[u8]) + Send,
) -> Result<ExitStatus, AgentError> {
    let doing = format!("running {}", exec.argv.first().map_or("nothing", String::as_str));
    let id = link.begin();
    let mut guard = KillOnDrop { requests: link.requests(), id, running: true };
    link.send(id, &Request::Exec(exec.clone()), &doing).await?;
    let mut patience = Patience::new(timeout);
    loop {
        let reply = tokio::select! {
            reply = link.receive(id, &doing) => reply?,
            () = patience.over() => {
                match patience.next_signal() {
                    Some(signal) => link.send(id, &Request::Signal(signal), &doing).await?,
                    None => return Err(AgentError::TimedOut { after: timeout.unwrap_or_default() }),
                }
                continue;
            }
        };
        match reply {
            Reply::Output(stream, bytes) => on_output(stream, &bytes),
            Reply::Exited(status) => {
                guard.running = false;
                return match patience.stage {
                    Stage::Running => Ok(status),
                    _ => Err(AgentError::TimedOut { after: timeout.unwrap_or_default() }),
                };
            }
            other => {
                guard.running = false;
                return Err(unexpected(other, &doing));
            }
        }
    }
}

/// How far a program has been asked to end.
enum Stage {
    Running,
    Terminated,
    Killed,
}

struct Patience {
    stage: Stage,
    until: Option<Instant>,
}

impl Patience {
    fn new(timeout: Option<Duration>) -> Self {
        // A time-out beyond the end of time is none.
        Self { stage: Stage::Running, until: timeout.and_then(|timeout| Instant::now().checked_add(timeout)) }
    }

    async fn over(&self) {
        match self.until {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    fn next_signal(&mut self) -> Option<StepSignal> {
        self.until = Some(Instant::now() + GRACE);
        let (stage, signal) = match self.stage {
            Stage::Running => (Stage::Terminated, StepSignal::Terminate),
            Stage::Terminated => (Stage::Killed, StepSignal::Kill),
            Stage::Killed => return None,
        };
        self.stage = stage;
        Some(signal)
    }
}

/// Nobody waits for the program any more: it ends.
pub(super) struct KillOnDrop {
    pub(super) requests: Sender<Vec<u8>>,
    pub(super) id: u32,
    pub(super) running: bool,
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if self.running
            && let Ok(bytes) = Request::Signal(StepSignal::Kill).encode(self.id)
        {
            // Where the queue is full the connection hangs, and the machine is about to be killed.
            self.requests.try_send(bytes).ok();
        }
    }
}
