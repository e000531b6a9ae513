//! A machine that runs.
//!
//! ```text
//! start ─▶ Running ─ shutdown ─▶ the guest turned itself off │ ACPI │ QMP quit │ killed
//!             │
//!             └ death(): QEMU ended, the guest panicked or ended, the host's disk is full
//! ```
//! Dropping a running machine ends it: the supervisor's pipe closes.

use crate::{
    Choice, Error, Qemu, Supervisor,
    command::{AGENT_FD, QMP_FD, arguments},
    config::{Accelerator, MachineConfig},
    death::{Cause, Death},
    qmp::{Event, Qmp},
};
use command_fds::{CommandFdExt, FdMapping};
use serde_json::{Value, json};
use std::{
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};
use tokio::{
    net::UnixStream,
    process::{Child, ChildStdin, Command},
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};

/// A guest under KVM that has written nothing to its console by then is not going to: the first line of a kernel comes
/// within a second where KVM works.
const LIFE_WITHIN: Duration = Duration::from_secs(10);

/// How long each rung of the shutdown ladder is waited on.
const ACPI_WITHIN: Duration = Duration::from_secs(20);
const QUIT_WITHIN: Duration = Duration::from_secs(5);

/// A machine that runs. Dropped, it ends at once.
#[derive(Debug)]
pub struct Running {
    qmp: Qmp,
    agent: Option<UnixStream>,
    ended: watch::Receiver<Option<Death>>,
    /// The supervisor kills QEMU when this closes.
    lifeline: Option<ChildStdin>,
    accelerator: Accelerator,
}

/// The rung of the shutdown ladder that ended a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// The guest turned itself off.
    Guest,
    /// The guest followed the power button.
    Acpi,
    /// QEMU was told to end.
    Quit,
    /// QEMU was killed.
    Kill,
}

/// Starts a machine. Where KVM was chosen by itself and the guest shows no life, it is started again under TCG.
///
/// # Errors
/// When QEMU cannot be started or ends at once.
pub async fn start(
    qemu: &Qemu,
    supervisor: &Supervisor,
    config: &MachineConfig,
    choice: &Choice,
) -> Result<Running, Error> {
    let running = launch(qemu, supervisor, config).await?;
    if !choice.may_fall_back || shows_life(config, &running).await {
        return Ok(running);
    }
    drop(running);
    let fallback = MachineConfig { accelerator: Accelerator::Tcg, ..config.clone() };
    launch(qemu, supervisor, &fallback).await
}

async fn shows_life(config: &MachineConfig, running: &Running) -> bool {
    let until = Instant::now() + LIFE_WITHIN;
    while Instant::now() < until && running.ended.borrow().is_none() {
        if fs_err::metadata(&config.console).is_ok_and(|console| console.len() > 0) {
            return true;
        }
        sleep(Duration::from_millis(20)).await;
    }
    running.ended.borrow().is_some()
}

async fn launch(qemu: &Qemu, supervisor: &Supervisor, config: &MachineConfig) -> Result<Running, Error> {
    let (qmp_here, qmp_there) = StdUnixStream::pair()?;
    let (agent_here, agent_there) = StdUnixStream::pair()?;
    let mut command = supervisor.command(&qemu.system, &arguments(config));
    let log = fs_err::File::create(&config.log)?.into_parts().0;
    command.stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log));
    let mut inherited = vec![FdMapping { parent_fd: OwnedFd::from(qmp_there), child_fd: QMP_FD }];
    if config.agent_port.is_some() {
        inherited.push(FdMapping { parent_fd: OwnedFd::from(agent_there), child_fd: AGENT_FD });
    }
    command.fd_mappings(inherited).map_err(|error| Error::Io(std::io::Error::other(error)))?;
    let program = supervisor.program.clone();
    let mut child = Command::from(command).spawn().map_err(|source| Error::Run { program, source })?;
    let lifeline = child.stdin.take();
    let (events, told) = mpsc::unbounded_channel();
    let (tell, ended) = watch::channel(None);
    tokio::spawn(watch_over(child, told, tell, config.console.clone(), config.log.clone()));
    let (mut death, mut why) = (ended.clone(), ended.clone());
    let qmp = tokio::select! {
        qmp = Qmp::connect(stream(qmp_here)?, events) => match qmp {
            Ok(qmp) => qmp,
            // The connection closes a moment before the process is gone; the process knows why.
            Err(error) => return Err(timeout(QUIT_WITHIN, died(&mut why)).await.map_or(error, Error::Died)),
        },
        death = died(&mut death) => return Err(death.into()),
    };
    let agent = config.agent_port.is_some().then(|| stream(agent_here)).transpose()?;
    Ok(Running { qmp, agent, ended, lifeline, accelerator: config.accelerator })
}

fn stream(stream: StdUnixStream) -> Result<UnixStream, Error> {
    stream.set_nonblocking(true)?;
    Ok(UnixStream::from_std(stream)?)
}

/// Waits for the end of QEMU, or for an event that is as good as one, and tells it.
async fn watch_over(
    mut child: Child,
    mut events: mpsc::UnboundedReceiver<Event>,
    tell: watch::Sender<Option<Death>>,
    console: PathBuf,
    log: PathBuf,
) {
    let mut listening = true;
    loop {
        tokio::select! {
            status = child.wait() => {
                let code = status.ok().and_then(|status| status.code()).unwrap_or(-1);
                let cause = Death::cause_of(code, &console);
                // What was told before is why QEMU ended.
                tell.send_if_modified(|told| {
                    let first = told.is_none();
                    if first {
                        *told = Some(Death::new(cause, &console, &log));
                    }
                    first
                });
                return;
            }
            event = events.recv(), if listening => match event.as_ref().map(fatal) {
                Some(Some(cause)) => drop(tell.send_replace(Some(Death::new(cause, &console, &log)))),
                Some(None) => {}
                None => listening = false,
            },
        }
    }
}

/// Says what an event means where it means the end.
fn fatal(event: &Event) -> Option<Cause> {
    match event.name.as_str() {
        "GUEST_PANICKED" => Some(Cause::Panic),
        "BLOCK_IO_ERROR" if event.data.get("nospace").and_then(Value::as_bool) == Some(true) => {
            Some(Cause::DiskFull)
        }
        _ => None,
    }
}

async fn died(ended: &mut watch::Receiver<Option<Death>>) -> Death {
    loop {
        if let Some(death) = ended.borrow_and_update().clone() {
            return death;
        }
        if ended.changed().await.is_err() {
            // The watcher is gone with the runtime: nothing will be told any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Running {
    /// Returns what runs the guest: TCG where KVM showed no life.
    #[must_use]
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    /// Takes the connection to the agent's port; there is one.
    pub fn take_agent(&mut self) -> Option<UnixStream> {
        self.agent.take()
    }

    /// Returns a future that ends when the machine does.
    pub fn death(&self) -> impl Future<Output = Death> + Send + use<> {
        let mut ended = self.ended.clone();
        async move { died(&mut ended).await }
    }

    /// Returns the connection over which QEMU takes commands.
    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// Ends the machine, from the gentlest way to the surest, and says which way it took. `guest_within` is how long
    /// a guest has that was told to turn itself off; zero where it was not.
    pub async fn shutdown(mut self, guest_within: Duration) -> Rung {
        if timeout(guest_within, self.death()).await.is_ok() {
            return Rung::Guest;
        }
        if self.qmp.execute("system_powerdown", json!({})).await.is_ok()
            && timeout(ACPI_WITHIN, self.death()).await.is_ok()
        {
            return Rung::Acpi;
        }
        if timeout(QUIT_WITHIN, self.qmp.execute("quit", json!({}))).await.is_ok()
            && timeout(QUIT_WITHIN, self.death()).await.is_ok()
        {
            return Rung::Quit;
        }
        drop(self.lifeline.take());
        let death = self.death();
        drop(timeout(QUIT_WITHIN, death).await);
        Rung::Kill
    }
}
