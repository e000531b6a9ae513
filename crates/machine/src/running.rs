//! A machine that runs.
//!
//! ```text
//! start ─▶ Running ─ stop ─▶ the guest turned itself off │ ACPI │ QMP quit │ killed, which is an error
//!             │
//!             └ death(): QEMU ended, the guest panicked or ended, the host's disk is full
//! ```
//! Dropping a running machine ends it: the supervisor's pipe closes.

use crate::{
    Error,
    config::{Accelerator, MachineConfig},
    console,
    death::{Cause, Death},
    qmp::Qmp,
    watch::died,
};
use serde_json::json;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{net::UnixStream, process::ChildStdin, sync::watch, time::timeout};

/// How long each rung of the ladder is waited on. A guest that heeds the power button stops its services first.
const ACPI_WITHIN: Duration = Duration::from_secs(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const QUIT_WITHIN: Duration = Duration::from_secs(10);
const KILL_WITHIN: Duration = Duration::from_secs(5);

/// A machine that runs. Dropped, it ends at once.
#[derive(Debug)]
pub struct Running {
    qmp: Qmp,
    agent: Option<UnixStream>,
    ended: watch::Receiver<Option<Death>>,
    /// The supervisor kills QEMU when this closes.
    lifeline: Option<ChildStdin>,
    accelerator: Accelerator,
    fallback: Option<String>,
    console: PathBuf,
    log: PathBuf,
}

/// The rung of the shutdown ladder that ended a machine. After each, the disks are whole; a machine that has to be
/// killed is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// The guest turned itself off.
    Guest,
    /// The guest followed the power button.
    Acpi,
    /// QEMU was told to end.
    Quit,
}

impl Running {
    pub(crate) fn new(
        qmp: Qmp,
        agent: Option<UnixStream>,
        ended: watch::Receiver<Option<Death>>,
        lifeline: Option<ChildStdin>,
        config: &MachineConfig,
    ) -> Self {
        let (console, log) = (config.console.clone(), config.log.clone());
        Self { qmp, agent, ended, lifeline, accelerator: config.accelerator, fallback: None, console, log }
    }

    pub(crate) fn fell_back(&mut self, why: String) {
        self.fallback = Some(why);
    }

    /// Returns what runs the guest: TCG where KVM did not work.
    #[must_use]
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    /// Says why TCG runs the guest although KVM was chosen, where that is so.
    #[must_use]
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// Takes the connection to the agent's port; there is one.
    pub fn take_agent(&mut self) -> Option<UnixStream> {
        self.agent.take()
    }

    /// Returns a future that ends when the machine does, or when it cannot go on.
    pub fn death(&self) -> impl Future<Output = Death> + Send + use<> {
        let mut ended = self.ended.clone();
        async move { died(&mut ended).await }
    }

    /// Returns the connection over which QEMU takes commands.
    #[must_use]
    pub fn qmp(&self) -> &Qmp {
        &self.qmp
    }

    /// Returns the file of what the guest says on its console.
    #[must_use]
    pub fn console(&self) -> &Path {
        &self.console
    }

    /// Stops the guest's processors; what was written is with QEMU then.
    ///
    /// # Errors
    /// When QEMU refuses.
    pub async fn pause(&self) -> Result<(), Error> {
        self.qmp.execute("stop", json!({})).await.map(drop)
    }

    /// Lets a guest that was stopped go on.
    ///
    /// # Errors
    /// When QEMU refuses.
    pub async fn resume(&self) -> Result<(), Error> {
        self.qmp.execute("cont", json!({})).await.map(drop)
    }

    /// Waits until the guest has said `text` on its console. It may never come: wait for [`Self::death`] beside it.
    pub async fn says(&self, text: &str) {
        console::wait_for(&self.console, text).await;
    }

    /// Returns the loopback address that leads to a forwarded port of the guest.
    ///
    /// # Errors
    /// When the port was not forwarded, or QEMU does not answer.
    pub async fn forwarded(&self, guest_port: u16) -> Result<SocketAddr, Error> {
        let arguments = json!({"command-line": "info usernet"});
        let told = self.qmp.execute("human-monitor-command", arguments).await?;
        let port = host_port(told.as_str().unwrap_or_default(), guest_port);
        port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .ok_or(Error::NotForwarded { guest_port })
    }

    /// Says whether a connection to a forwarded port of the guest's has been taken up by the guest.
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub async fn is_taken_up(&self, guest_port: u16) -> Result<bool, Error> {
        let arguments = json!({"command-line": "info usernet"});
        let told = self.qmp.execute("human-monitor-command", arguments).await?;
        Ok(taken_up(told.as_str().unwrap_or_default(), guest_port))
    }

    /// Ends the machine, from the gentlest way to the surest, and says which way it took. `guest_within` is how long
    /// a guest has that was told to turn itself off; zero where it was not.
    ///
    /// # Errors
    /// When the machine died instead, or had to be killed: what it wrote last may then be missing on its disks.
    pub async fn stop(mut self, guest_within: Duration) -> Result<Rung, Error> {
        if let Some(end) = self.ends_within(guest_within, Rung::Guest).await {
            return end;
        }
        if self.obeys("system_powerdown").await
            && let Some(end) = self.ends_within(ACPI_WITHIN, Rung::Acpi).await
        {
            return end;
        }
        if self.obeys("quit").await
            && let Some(end) = self.ends_within(QUIT_WITHIN, Rung::Quit).await
        {
            return end;
        }
        self.cut().await;
        Err(Death::new(Cause::Stuck, &self.console, &self.log).into())
    }

    /// Ends the machine at once, and returns when it is gone.
    pub async fn kill(mut self) {
        self.cut().await;
    }

    async fn cut(&mut self) {
        drop(self.lifeline.take());
        // The end may have been told before QEMU is gone; its connection closes when it is.
        let gone = async { while self.qmp.execute("query-status", json!({})).await.is_ok() {} };
        drop(timeout(KILL_WITHIN, gone).await);
    }

    /// Gives a command that may end QEMU before it is answered; false where QEMU hangs.
    async fn obeys(&self, command: &str) -> bool {
        let answer = timeout(ANSWER_WITHIN, self.qmp.execute(command, json!({}))).await;
        answer.is_ok_and(|answer| !matches!(answer, Err(Error::Qmp { .. })))
    }

    async fn ends_within(&self, time: Duration, rung: Rung) -> Option<Result<Rung, Error>> {
        let death = timeout(time, self.death()).await.ok()?;
        let as_told = death.cause.is_orderly() || (rung == Rung::Quit && death.cause == Cause::Quit);
        Some(if as_told { Ok(rung) } else { Err(death.into()) })
    }
}

/// Finds the host's port in what QEMU shows of its user network:
/// `  TCP[HOST_FORWARD]  10       127.0.0.1 40237       10.0.2.15    22     0     0`.
fn host_port(shown: &str, guest_port: u16) -> Option<u16> {
    shown.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["TCP[HOST_FORWARD]", _, _, host, _, guest, ..] if guest.parse() == Ok(guest_port) => {
                host.parse().ok()
            }
            _ => None,
        }
    })
}

/// Looks for a connection to a port of the guest's in what QEMU shows; one that waits for the guest is `TCP[SYN_SENT]`.
fn taken_up(shown: &str, guest_port: u16) -> bool {
    shown.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words[..], ["TCP[ESTABLISHED]", _, _, _, _, port, ..] if port.parse() == Ok(guest_port))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_ports_are_read() {
        let shown = "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  \
                     TCP[HOST_FORWARD]  10       127.0.0.1 40237       10.0.2.15    22     0     0\r\n  \
                     TCP[ESTABLISHED]   12       127.0.0.1 5       10.0.2.15    80     0     0\r\n";
        assert_eq!(host_port(shown, 22), Some(40237));
        assert_eq!(host_port(shown, 80), None);
        assert!(taken_up(shown, 80));
        assert!(!taken_up(shown, 22), "the forward itself is no connection");
    }
}
