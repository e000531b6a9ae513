//! A step that starts the guest anew and waits until it is back.

use super::{Cause, StepError, StepFailed, Stream, lines::Lines};
use crate::communicator::{
    CommunicatorError, Session,
    agent::{Exec, ExitStatus},
    ssh::{Progress, SshSession},
};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// A number that the kernel draws when it boots: another one is another boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// How the guest is asked to where the step does not say.
const REBOOT: &str = "if [ -d /run/systemd/system ]; then exec systemctl reboot; fi; exec reboot";

/// From one look at the guest to the next while it goes down.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a guest that goes down may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A restart of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebootStep {
    /// The step's name, for errors.
    pub name: String,
    /// A command of the guest's shell that restarts it; `None` is its own `reboot`.
    pub command: Option<String>,
    /// How long the guest may take to be back.
    pub timeout: Duration,
}

impl RebootStep {
    /// Restarts the guest. `on_line` gets what the command says, `on_progress` how far the guest is on its way back.
    ///
    /// # Errors
    /// When the command fails, the guest does not restart, or does not come back in time.
    pub async fn run(
        &self,
        session: &mut Session,
        on_line: impl FnMut(Stream, &str) + Send,
        mut on_progress: impl FnMut(Progress) + Send,
    ) -> Result<(), StepError> {
        let name = || self.name.clone();
        let Session::Ssh(ssh) = session else { return Err(StepError::NeedsSsh { name: name() }) };
        let failed = |source: CommunicatorError| StepError::Communicator { name: name(), source };
        let until = Instant::now() + self.timeout;
        let before = boot_id(ssh).await.map_err(failed)?;
        let mut lines = Lines::new(on_line);
        if let Some(status) = self.ask(ssh, &mut lines).await.map_err(failed)? {
            return Err(self.failure(Cause::Exit(status), lines.last()));
        }
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.failure(Cause::TimedOut(self.timeout), lines.last()));
            }
            // Until it is down, the old system answers.
            match timeout(ANSWER_WITHIN, boot_id(ssh)).await {
                Ok(Ok(now)) if now != before => return Ok(()),
                Ok(Ok(_)) => sleep(LOOK_EVERY).await,
                Ok(Err(_)) | Err(_) => {
                    ssh.reconnect(left, &mut on_progress).await.map_err(|error| failed(error.into()))?;
                }
            }
        }
    }

    /// Gives the command; `None` when it succeeded or took the connection with it.
    async fn ask<F: FnMut(Stream, &str) + Send>(
        &self,
        ssh: &mut SshSession,
        lines: &mut Lines<F>,
    ) -> Result<Option<ExitStatus>, CommunicatorError> {
        let command = self.command.as_deref().unwrap_or(REBOOT).to_owned();
        let exec = Exec { argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), command], ..Exec::default() };
        let ended = ssh.exec(&exec, Some(self.timeout), |stream, bytes| lines.take(stream, bytes)).await;
        lines.end();
        match ended.map_err(CommunicatorError::from) {
            // The SSH server ends what runs in its sessions when the guest goes down.
            Ok(ExitStatus::Exited(0 | 129 | 137 | 143) | ExitStatus::Signaled(_)) => Ok(None),
            Ok(status) => Ok(Some(status)),
            Err(error) if error.is_disconnected() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn failure(&self, cause: Cause, last_output: Vec<String>) -> StepError {
        let (name, script, line) = (self.name.clone(), None, None);
        StepError::Failed(Box::new(StepFailed { name, script, line, cause, last_output }))
    }
}

async fn boot_id(ssh: &mut SshSession) -> Result<Vec<u8>, CommunicatorError> {
    let mut id = Vec::new();
    ssh.read(BOOT_ID, |bytes| id.extend_from_slice(bytes)).await?;
    Ok(id)
}

#[cfg(test)]
mod tests;
