//! How a machine is started, and started again where KVM cannot be used.

use crate::{
    Choice, Error, Qemu, Supervisor,
    command::{AGENT_FD, QMP_FD, arguments},
    config::{Accelerator, MachineConfig},
    qmp::Qmp,
    running::Running,
    tpm::Tpm,
    warm::plug,
    watch::{died, watch_over},
};
use command_fds::{CommandFdExt, FdMapping};
use std::{
    ffi::OsString,
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    process::Stdio,
    time::Duration,
};
use tokio::{net::UnixStream, process::Command, sync::mpsc, time::timeout};

/// The connection closes a moment before the process is gone; the process knows why.
const DEATH_WITHIN: Duration = Duration::from_secs(5);

/// How much of a machine there is when QEMU starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Launch {
    /// All of it.
    Whole,
    /// All but its disks, which are plugged in later.
    WithoutDisks,
    /// The same, and it waits for its memory instead of booting.
    Restored,
}

/// Starts a machine. Where KVM was chosen without having been tried and QEMU cannot use it at all, the machine is started
/// under TCG, and [`Running::fallback`] says why. A guest that hangs under KVM is only found out by
/// [`start_appliance`](crate::start_appliance).
///
/// # Errors
/// When QEMU cannot be started or ends at once.
pub async fn start(
    qemu: &Qemu,
    supervisor: &Supervisor,
    config: &MachineConfig,
    choice: &Choice,
) -> Result<Running, Error> {
    let why = match launch(qemu, supervisor, config, Launch::Whole).await {
        Err(Error::Died(death)) if choice.may_fall_back => death.first_line(),
        result => return result,
    };
    let fallback = MachineConfig { accelerator: Accelerator::Tcg, ..config.clone() };
    let mut running = launch(qemu, supervisor, &fallback, Launch::Whole).await?;
    running.fell_back(why);
    Ok(running)
}

/// Starts QEMU, and waits until it takes commands.
pub(crate) async fn launch(
    qemu: &Qemu,
    supervisor: &Supervisor,
    config: &MachineConfig,
    launch: Launch,
) -> Result<Running, Error> {
    let (qmp_here, qmp_there) = StdUnixStream::pair()?;
    let (agent_here, agent_there) = StdUnixStream::pair()?;
    let tpm = config.tpm.as_deref().map(|state| Tpm::new(qemu, state)).transpose()?;
    let mut command = supervisor.command(tpm.as_ref(), &qemu.system, &arguments_of(config, launch));
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

fn arguments_of(config: &MachineConfig, launch: Launch) -> Vec<OsString> {
    match launch {
        Launch::Whole => arguments(config),
        Launch::WithoutDisks => plug::arguments(config),
        Launch::Restored => {
            let waits = ["-incoming", "defer"].map(OsString::from);
            plug::arguments(config).into_iter().chain(waits).collect()
        }
    }
}

fn stream(stream: StdUnixStream) -> Result<UnixStream, Error> {
    stream.set_nonblocking(true)?;
    Ok(UnixStream::from_std(stream)?)
}
