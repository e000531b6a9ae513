//! Waiting until a guest lets somebody in.
//!
//! ```text
//! nothing ─▶ TCP ─▶ banner ─▶ host key ─▶ login ─▶ root
//! ```
//! QEMU's user network takes connections for the guest before that has a network: the server's first line is the first
//! sign of life. A connection that was taken then stays silent, perhaps for ever, so that fresh ones are tried beside it.

use super::{
    LoggedInAs, NotReady, Reached, SshError, Target,
    connect::{Greeted, LoggedIn, greet, log_in},
};
use crate::{
    console::{self, TAIL_LINES},
    diagnosis::Diagnosis,
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

/// From one try to the next where the guest refuses connections: it is up, and its SSH server about to start.
const REFUSED_AGAIN: Duration = Duration::from_millis(100);

/// From one try to the next where connections are taken and stay silent.
const SILENT_AGAIN: Duration = Duration::from_millis(500);

/// Silent connections at once: they all reach a slow guest when its network comes up.
const MOST_SILENT: usize = 6;

/// How long a guest that shows the wrong key or refuses the login may still be about to set up its users and keys.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// From one login to the next. OpenSSH 9.8 shuts out who fails too often.
const LOGIN_AGAIN: Duration = Duration::from_secs(5);

/// How often the console is looked at.
const CONSOLE_EVERY: Duration = Duration::from_secs(1);

/// What is told while a guest is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It came further than before.
    Reached(Reached),
    /// What the SSH server calls itself: `SSH-2.0-OpenSSH_9.2p1`.
    Server(String),
    /// The newest line of the console.
    Console(String),
}

/// Where a guest is waited for.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) address: SocketAddr,
    /// What its console says.
    pub(super) console: Option<PathBuf>,
}

/// Waits until the guest lets somebody in.
pub(super) async fn wait_at(
    place: &Place,
    target: &Target,
    patience: Duration,
    mut on_progress: impl FnMut(Progress) + Send,
) -> Result<(LoggedIn, LoggedInAs), SshError> {
    let mut way = Way { reached: Reached::Nothing, last: None, on_progress: &mut on_progress };
    let entered = timeout(patience, enter(place, target, &mut way)).await;
    let last = match entered {
        Ok(Ok(entered)) => return Ok(entered),
        Ok(Err(error)) if error.is_final() => return Err(error),
        Ok(Err(error)) => Some(error),
        Err(_elapsed) => way.last,
    };
    let console = place.console.as_deref();
    Err(SshError::NotReady(Box::new(NotReady {
        waited: patience,
        reached: way.reached,
        last,
        diagnosis: console.and_then(Diagnosis::of),
        console: console.map(|path| console::tail(path, TAIL_LINES)).unwrap_or_default(),
    })))
}

/// How far it went, and who is told.
struct Way<'a> {
    reached: Reached,
    last: Option<SshError>,
    on_progress: &'a mut (dyn FnMut(Progress) + Send),
}

impl Way<'_> {
    fn reach(&mut self, reached: Reached) {
        if reached > self.reached {
            self.reached = reached;
            (self.on_progress)(Progress::Reached(reached));
        }
    }
}

/// Tries again and again. Ends with an error only where more tries cannot help.
async fn enter(
    place: &Place,
    target: &Target,
    way: &mut Way<'_>,
) -> Result<(LoggedIn, LoggedInAs), SshError> {
    let mut unsettled: Option<Instant> = None;
    loop {
        let greeted = first_word(place, target, way).await?;
        way.reach(Reached::Banner);
        (way.on_progress)(Progress::Server(greeted.version.clone()));
        let logged_in = log_in(greeted, target, |now| way.reach(now)).await;
        let error = match logged_in {
            Ok(logged_in) => match LoggedInAs::find(&logged_in.handle, target).await {
                Ok(who) => return Ok((logged_in, who)),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let since = *unsettled.get_or_insert_with(Instant::now);
        let settled = since.elapsed() > SETTLES_WITHIN;
        if error.is_final() || (error.may_settle() && settled) {
            return Err(error);
        }
        if !error.may_settle() {
            unsettled = None;
        }
        way.last = Some(error);
        sleep(LOGIN_AGAIN).await;
    }
}

/// Waits for the first server that says what it is, and tells what the console says meanwhile.
async fn first_word(place: &Place, target: &Target, way: &mut Way<'_>) -> Result<Greeted, SshError> {
    let mut tries = JoinSet::new();
    let (mut next, mut look) = (Instant::now(), Instant::now() + CONSOLE_EVERY);
    let mut newest = String::new();
    loop {
        tokio::select! {
            biased;
            Some(tried) = tries.join_next() => match tried {
                Ok(Ok(greeted)) => return Ok(greeted),
                Ok(Err(error @ SshError::NoSsh { .. })) => return Err(error),
                Ok(Err(error)) => {
                    way.last = Some(error);
                    next = Instant::now() + REFUSED_AGAIN;
                }
                Err(_aborted) => {}
            },
            () = sleep_until(next), if tries.len() < MOST_SILENT => {
                match TcpStream::connect(place.address).await {
                    Ok(stream) => {
                        way.reach(Reached::Tcp);
                        tries.spawn(greet(stream, target.port));
                        next = Instant::now() + SILENT_AGAIN;
                    }
                    Err(source) => {
                        way.last = Some(SshError::Connect { source });
                        next = Instant::now() + REFUSED_AGAIN;
                    }
                }
            }
            () = sleep_until(look) => {
                look = Instant::now() + CONSOLE_EVERY;
                if let Some(line) = newest_line(place.console.as_deref()) && line != newest {
                    newest.clone_from(&line);
                    (way.on_progress)(Progress::Console(line));
                }
            }
        }
    }
}

fn newest_line(console: Option<&Path>) -> Option<String> {
    console::tail(console?, TAIL_LINES).into_iter().rev().find(|line| !line.trim().is_empty())
}
