//! How a machine is started, and started again where KVM turns out not to work.

use crate::{
    Choice, Error, Qemu, Supervisor,
    command::{AGENT_FD, QMP_FD, arguments},
    config::{Accelerator, MachineConfig},
    qmp::Qmp,
    running::Running,
    watch::{died, watch_over},
};
use command_fds::{CommandFdExt, FdMapping};
use std::{
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    process::Stdio,
    time::Duration,
};
use tokio::{
    net::UnixStream,
    process::Command,
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

/// A guest under KVM that has written nothing to its console by then is not going to: the agent's first word comes
/// within a second where KVM works.
const LIFE_WITHIN: Duration = Duration::from_secs(10);

/// The connection closes a moment before the process is gone; the process knows why.
const DEATH_WITHIN: Duration = Duration::from_secs(5);

/// Starts a machine. Where KVM was chosen by itself and does not work, it is started again under TCG, and
/// [`Running::fallback`] says why.
///
/// # Errors
/// When QEMU cannot be started or ends at once.
pub async fn start(
    qemu: &Qemu,
    supervisor: &Supervisor,
    config: &MachineConfig,
    choice: &Choice,
) -> Result<Running, Error> {
    let why = match launch(qemu, supervisor, config).await {
        Ok(running) if !choice.may_fall_back => return Ok(running),
        Ok(running) => match no_life(config, &running).await {
            None => return Ok(running),
            Some(why) => {
                // Both must not have the disks open at once.
                running.kill().await;
                why
            }
        },
        Err(Error::Died(death)) if choice.may_fall_back => death.first_line(),
        Err(error) => return Err(error),
    };
    let fallback = MachineConfig { accelerator: Accelerator::Tcg, ..config.clone() };
    let mut running = launch(qemu, supervisor, &fallback).await?;
    running.fell_back(why);
    Ok(running)
}

/// Says why a guest does not seem to live; nothing where it wrote to its console.
async fn no_life(config: &MachineConfig, running: &Running) -> Option<String> {
    let until = Instant::now() + LIFE_WITHIN;
    while Instant::now() < until {
        if fs_err::metadata(&config.console).is_ok_and(|console| console.len() > 0) {
            return None;
        }
        if let Ok(death) = timeout(Duration::from_millis(20), running.death()).await {
            return Some(death.first_line());
        }
        sleep(Duration::from_millis(5)).await;
    }
    Some(format!("the guest wrote nothing to its console within {} s", LIFE_WITHIN.as_secs()))
}

async fn launch(qemu: &Qemu, supervisor: &Supervisor, config: &MachineConfig) -> Result<Running, Error> {
    let (qmp_here, qmp_there) = StdUnixStream::pair()?;
    let (agent_here, agent_there) = StdUnixStream::pair()?;
    let mut command = supervisor.command(&qemu.system, &arguments(config));
    let log = fs_err::File::create(&config.log)?.into_parts().0;
    command.stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log));
    // Always both, so that nothing that `kiln` itself inherited can stand in their places.
    let handed_over = vec![
        FdMapping { parent_fd: OwnedFd::from(qmp_there), child_fd: QMP_FD },
        FdMapping { parent_fd: OwnedFd::from(agent_there), child_fd: AGENT_FD },
    ];
    command.fd_mappings(handed_over).map_err(|error| Error::Io(std::io::Error::other(error)))?;
    let program = supervisor.program.clone();
    let mut child = Command::from(command).spawn().map_err(|source| Error::Run { program, source })?;
    let lifeline = child.stdin.take();
    let (events, told) = mpsc::unbounded_channel();
    let ended = watch_over(child, told, config);
    let (mut death, mut why) = (ended.clone(), ended.clone());
    let qmp = tokio::select! {
        biased;
        death = died(&mut death) => return Err(death.into()),
        qmp = Qmp::connect(stream(qmp_here)?, events) => match qmp {
            Ok(qmp) => qmp,
            Err(error @ Error::QmpSilent { .. }) => return Err(error),
            Err(error) => return Err(timeout(DEATH_WITHIN, died(&mut why)).await.map_or(error, Error::Died)),
        },
    };
    let agent = config.agent_port.is_some().then(|| stream(agent_here)).transpose()?;
    Ok(Running::new(qmp, agent, ended, lifeline, config))
}

fn stream(stream: StdUnixStream) -> Result<UnixStream, Error> {
    stream.set_nonblocking(true)?;
    Ok(UnixStream::from_std(stream)?)
}
