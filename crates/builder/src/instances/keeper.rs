//! The process that keeps an instance's machine.
//!
//! ```text
//! launch, start ──lock as standard input──▶ keeper ──▶ supervisor ──▶ QEMU
//!                                             ▲ orders over a socket
//! ```
//! It ends with its machine. When it is killed, the supervisor ends QEMU, and the lock is free.

use super::{
    Instance, InstanceError, InstanceFiles, Port, StateName,
    control::{self, Order},
    describe::Status,
    metadata::network,
};
use crate::{
    Error, Events, Kiln,
    lock::Lock,
    machine_state::MachineState,
    ssh::{Start, by_kernel},
};
use kiln_catalog::StateReason;
use kiln_machine::{
    Death, Qemu, Running,
    config::{Boot, Interface, Medium, MediumKind},
    start, tail,
};
use kiln_types::InstanceId;
use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpStream, UnixStream},
    signal::unix::{SignalKind, signal},
    time::timeout,
};

/// A guest stops its services first; an emulated one takes its time.
const OFF_WITHIN: Duration = Duration::from_secs(180);

/// How long a connection has to last that nobody says anything on.
const LASTS: Duration = Duration::from_millis(300);

/// How often is looked whether the machine runs.
const LOOK: Duration = Duration::from_millis(20);

/// How a keeper is started: `kiln` starts itself.
#[derive(Debug, Clone)]
pub struct Keeper {
    /// The program.
    pub program: PathBuf,
    /// Arguments that make it call [`Kiln::keep_instance`] with the id that follows them.
    pub args: Vec<OsString>,
}

impl Keeper {
    fn start(&self, files: &InstanceFiles, lock: Lock) -> Result<Child, Error> {
        let log = fs_err::File::create(files.keeper_log())?.into_parts().0;
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(files.id().to_string()).current_dir("/");
        command.stdin(Stdio::from(File::from(lock))).stdout(log.try_clone()?).stderr(log);
        Ok(command.spawn()?)
    }
}

/// Why a machine ended.
struct Ended {
    reason: Option<StateReason>,
    /// Whether the guest did it itself.
    by_guest: bool,
    /// Who waits for the end.
    told: Option<UnixStream>,
}

impl Kiln {
    /// Starts the process that keeps a machine, and waits until the machine runs.
    pub(crate) async fn start_keeper(
        &self,
        files: &InstanceFiles,
        lock: Lock,
        keeper: &Keeper,
        events: &Events,
    ) -> Result<(), Error> {
        let phase = events.begin(crate::Phase::Machine);
        let mut child = keeper.start(files, lock)?;
        loop {
            // It may have run and ended within a look.
            let ended = child.try_wait()?.is_some();
            match Status::read(files) {
                Some(status) if status.state != StateName::Pending => {
                    let accelerator = status.accelerator.unwrap_or_default();
                    phase.done(format!("{} ({accelerator})", files.id()));
                    return Ok(());
                }
                _ if ended => return Err(not_started(files)),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Keeps the machine of an instance until it ends. Standard input holds the instance's lock.
    ///
    /// # Errors
    /// When the machine cannot be started, or its volumes cannot be kept.
    pub async fn keep_instance(&self, id: InstanceId, events: &Events) -> Result<(), Error> {
        // A terminal that closes, and Ctrl-C in it, are not meant for the machine.
        if let Err(error) = rustix::process::setsid() {
            tracing::debug!(%error, "it leads a session already");
        }
        let files = self.instance_files(id);
        let not_found = || InstanceError::NotFound { text: id.to_string() };
        let mut instance = files.record()?.ok_or_else(not_found)?;
        let ended = self.run_machine(&files, &mut instance, events).await;
        instance.state_reason = match &ended {
            Ok(ended) => ended.reason.clone(),
            Err(error) => Some(server_error(error)),
        };
        files.write_record(&instance)?;
        let Ended { by_guest, told, .. } = ended?;
        if by_guest && instance.terminates_when_off {
            self.finish_termination(&files, &mut instance, events).await?;
        }
        if let Some(mut told) = told {
            control::answer(&mut told, Ok(())).await;
        }
        Ok(())
    }

    async fn run_machine(
        &self,
        files: &InstanceFiles,
        instance: &mut Instance,
        events: &Events,
    ) -> Result<Ended, Error> {
        let machine = instance.machine();
        let hardware = self.hardware(&machine, events)?;
        let state = MachineState::again(&machine, files.folder())?;
        let Start { boot, interface, described } = boots(files, instance, &state)?;
        events.note(described);
        let mut config = hardware.config(&machine, boot, files.folder(), "");
        (config.console, config.log) = (files.console(), files.path("qemu.log"));
        config.disks = instance.volumes.iter().map(|volume| volume.disk(files, interface)).collect();
        config.media = vec![Medium { path: files.path("seed.iso"), kind: MediumKind::Disk, boots: false }];
        config.network = network(files, instance, &self.supervisor.program);
        config.tpm = state.tpm();
        (config.restarts, config.durable) = (true, true);
        let listener = control::listen(files)?;
        let mut terminated = signal(SignalKind::terminate())?;
        let running = start(&hardware.qemu, &self.supervisor, &config, &hardware.choice).await?;
        let mut status = Status::of(StateName::Running);
        status.accelerator = Some(running.accelerator().to_string());
        for port in &instance.ports {
            let address = running.forwarded(port.guest).await?;
            status.ports.push(Port { host: Some(address.port()), guest: port.guest });
        }
        status.write(files)?;
        let mut death = Box::pin(running.death());
        loop {
            tokio::select! {
                death = &mut death => return Ok(of_death(&death)),
                _signal = terminated.recv() => return stop(running, files, None).await,
                accepted = listener.accept() => {
                    let mut stream = accepted?.0;
                    match control::order(&mut stream).await {
                        Some(Order::Stop) => return stop(running, files, Some(stream)).await,
                        Some(Order::Kill) => {
                            running.kill().await;
                            return Ok(Ended { reason: Some(by_user()), by_guest: false, told: Some(stream) });
                        }
                        Some(Order::Answers(port)) => {
                            let found = answers(&running, port).await;
                            control::answer(&mut stream, found.map_err(|error| error.to_string())).await;
                        }
                        Some(Order::Overlays) => {
                            let done = add_overlays(&running, &hardware.qemu, files, instance).await;
                            control::answer(&mut stream, done.map_err(|error| error.to_string())).await;
                        }
                        None => control::answer(&mut stream, Err("no such order".to_owned())).await,
                    }
                }
            }
        }
    }
}

/// Chooses what starts the root disk: its boot loader, or where it has none, its kernel alone.
fn boots(files: &InstanceFiles, instance: &Instance, state: &MachineState) -> Result<Start, Error> {
    let loader = |described: &str| Start {
        boot: state.boot(),
        interface: Interface::VirtioBlk,
        described: described.to_owned(),
    };
    if state.boot() != Boot::Bios {
        return Ok(loader("boots by UEFI"));
    }
    let Some(root) = instance.volumes.first() else { return Ok(loader("boots without a disk")) };
    let disk = root.base(files);
    if has_boot_loader(&disk)? {
        return Ok(loader("boots its own boot loader"));
    }
    let not_bootable = |why| InstanceError::NotBootable { id: instance.instance_id, why };
    Ok(by_kernel(&disk, files.path("kernel"))?.map_err(not_bootable)?)
}

/// Says whether a BIOS finds something to start in a disk's first sector.
fn has_boot_loader(disk: &Path) -> Result<bool, Error> {
    let mut sector = [0; 512];
    fs_err::File::open(disk)?.read_exact(&mut sector)?;
    Ok(sector[..4] != [0; 4] && sector[510..] == [0x55, 0xaa])
}

/// Has the guest turn itself off.
async fn stop(running: Running, files: &InstanceFiles, told: Option<UnixStream>) -> Result<Ended, Error> {
    Status::of(StateName::Stopping).write(files)?;
    // Guests that are busy booting do not see the button.
    if let Err(error) = running.qmp().execute("system_powerdown", serde_json::json!({})).await {
        tracing::debug!(%error, "the power button does not work");
    }
    running.stop(OFF_WITHIN).await?;
    Ok(Ended { reason: Some(by_user()), by_guest: false, told })
}

/// Connects to a port of the guest's. QEMU takes every connection itself: it is the guest's when something is said, or when QEMU
/// says so after a while in which nothing cut it.
async fn answers(running: &Running, port: u16) -> Result<(), Error> {
    let mut stream = TcpStream::connect(running.forwarded(port).await?).await?;
    match timeout(LASTS, stream.read(&mut [0])).await {
        Ok(Ok(1..)) => return Ok(()),
        Ok(_cut) => {}
        Err(_lasted) if running.is_taken_up(port).await? => return Ok(()),
        Err(_lasted) => {}
    }
    Err(io::Error::from(io::ErrorKind::ConnectionRefused).into())
}

/// Puts an overlay on every disk of a guest that runs. Its processors stand still for that moment.
async fn add_overlays(
    running: &Running,
    qemu: &Qemu,
    files: &InstanceFiles,
    instance: &mut Instance,
) -> Result<(), Error> {
    let overlay = |volume: &super::Volume| (volume.overlay(files, volume.overlays), volume.size);
    let overlays: Vec<_> = instance.volumes.iter().map(overlay).collect();
    for (path, size) in &overlays {
        qemu.create_overlay(path, *size)?;
    }
    let generation = instance.generations + 1;
    let paths: Vec<PathBuf> = overlays.into_iter().map(|(path, _)| path).collect();
    running.pause().await?;
    let added = running.add_overlays(generation, &paths).await;
    running.resume().await?;
    added?;
    instance.generations = generation;
    for volume in &mut instance.volumes {
        volume.overlays += 1;
    }
    files.write_record(instance)
}

fn of_death(death: &Death) -> Ended {
    if death.cause.is_orderly() {
        let reason = reason("Client.InstanceInitiatedShutdown", "Instance initiated shutdown".to_owned());
        return Ended { reason: Some(reason), by_guest: true, told: None };
    }
    Ended { reason: Some(server_error(death)), by_guest: false, told: None }
}

fn by_user() -> StateReason {
    reason("Client.UserInitiatedShutdown", "User initiated shutdown".to_owned())
}

fn server_error(error: &dyn std::error::Error) -> StateReason {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    reason("Server.InternalError", message)
}

fn reason(code: &str, message: String) -> StateReason {
    StateReason { code: code.to_owned(), message }
}

/// Says what the keeper of a machine that did not start said.
fn not_started(files: &InstanceFiles) -> Error {
    let reason = files.record().ok().flatten().and_then(|instance| instance.state_reason);
    let last = || tail(&files.keeper_log(), 3).join("; ");
    let said = reason.map_or_else(last, |reason| reason.message);
    InstanceError::NotStarted { id: files.id(), said, log: files.keeper_log() }.into()
}
