//! Running a program of a step.

use super::{SshError, SshSession, channel::Said, wrapper};
use crate::communicator::agent::{Exec, ExitStatus, Stream};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// From SIGTERM to SIGKILL, and from there until the program counts as gone whatever the guest says.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a program; see [`SshSession::exec`]. Dropped, it closes the channel, which ends the program.
pub(super) async fn exec(
    session: &SshSession,
    exec: &Exec,
    timeout: Option<Duration>,
    mut on_output: impl FnMut(Stream, &[u8]) + Send,
) -> Result<ExitStatus, SshError> {
    let doing = format!("running {}", exec.argv.first().map_or("nothing", String::as_str));
    let mut program = session.start(&wrapper::without_terminal(exec), &doing).await?;
    let after = timeout.unwrap_or_default();
    let mut signals = ["TERM\n", "KILL\n"].into_iter();
    let mut out_of_time = false;
    // A time-out beyond the end of time is none.
    let mut until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let over = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            said = program.next(&doing) => match said? {
                Said::Out(bytes) => on_output(Stream::Stdout, &bytes),
                Said::Error(bytes) => on_output(Stream::Stderr, &bytes),
                Said::Ended(_) if out_of_time => return Err(SshError::TimedOut { after }),
                Said::Ended(status) => return Ok(status),
            },
            () = over => {
                out_of_time = true;
                let Some(signal) = signals.next() else { return Err(SshError::TimedOut { after }) };
                program.write(signal, &doing).await?;
                until = Some(Instant::now() + GRACE);
            }
        }
    }
}
