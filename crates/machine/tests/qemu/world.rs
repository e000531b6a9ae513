//! A folder with the files of one machine, and the processes that belong to it.

use crate::guests::boot_sector;
use anyhow::{Context, Result, ensure};
use kiln_machine::{
    Choice, Error, Qemu, Running, Supervisor,
    config::{Accelerator, Boot, Disk, Interface, MachineConfig, Network},
    start,
};
use kiln_types::{Architecture, ByteSize};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The size of the guests' disk: sparse, and larger than the small file system that one of them fills.
const DISK: u64 = 64 << 20;

/// QEMU's program, as it names itself in `/proc`.
const QEMU: &str = "qemu-system-x86_64";

pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) config: MachineConfig,
    pub(crate) qemu: Qemu,
}

impl World {
    /// Makes the files of a machine that boots this guest.
    pub(crate) fn new(guest: &[u8]) -> Result<Self> {
        Self::of(Architecture::X86_64, guest)
    }

    /// The same, with another processor.
    pub(crate) fn of(architecture: Architecture, guest: &[u8]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("kiln-machine-").tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let qemu = Qemu::find(&["/usr/bin", "/usr/local/bin", "/bin"].map(PathBuf::from), architecture)?;
        fs_err::write(path("base.raw"), boot_sector(guest))?;
        fs_err::OpenOptions::new().write(true).open(path("base.raw"))?.set_len(DISK)?;
        qemu.create_overlay(&path("overlay.qcow2"), DISK)?;
        let disk = Disk {
            serial: "root".to_owned(),
            base: Some(path("base.raw")),
            overlays: vec![path("overlay.qcow2")],
            interface: Interface::VirtioBlk,
        };
        let config = MachineConfig {
            architecture,
            cpus: 1,
            memory: ByteSize::from_mib(64),
            accelerator: Accelerator::Tcg,
            disks: vec![disk],
            media: Vec::new(),
            boot: Boot::Bios,
            durable: false,
            network: Network::None,
            screen: false,
            tpm: None,
            restarts: false,
            extra_args: Vec::new(),
            console: path("console.log"),
            log: path("qemu.log"),
            agent_port: Some("org.kiln.agent.0"),
        };
        Ok(Self { folder, config, qemu })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn start(&self) -> Result<Running, Error> {
        let reason = "these guests are small".to_owned();
        let accelerator = self.config.accelerator;
        let may_fall_back = accelerator == Accelerator::Kvm;
        let choice = Choice { accelerator, may_fall_back, reason, probe: None };
        start(&self.qemu, &supervisor(), &self.config, &choice).await
    }

    /// Returns the processes that have this world's folder among their arguments.
    pub(crate) fn processes(&self) -> Result<Vec<(Pid, String)>> {
        let mut found = Vec::new();
        for entry in fs_err::read_dir("/proc")? {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A process may end meanwhile; one that has ended and waits for its parent has no arguments.
            let Ok(arguments) = fs_err::read(entry.path().join("cmdline")) else { continue };
            let arguments = String::from_utf8_lossy(&arguments).into_owned();
            if arguments.contains(&*self.path().to_string_lossy()) {
                found.push((Pid::from_raw(pid).context("a process id")?, arguments));
            }
        }
        Ok(found)
    }

    /// Returns this world's QEMU, or its supervisor.
    pub(crate) fn process(&self, is_qemu: bool) -> Result<Pid> {
        let program = |arguments: &str| arguments.split('\0').next().is_some_and(|path| path.ends_with(QEMU));
        let found = self.processes()?.into_iter().find(|(_, arguments)| program(arguments) == is_qemu);
        Ok(found.context("the machine has no such process")?.0)
    }

    pub(crate) fn signal(&self, is_qemu: bool, signal: Signal) -> Result<()> {
        Ok(kill_process(self.process(is_qemu)?, signal)?)
    }

    /// Waits until no process of this world is left.
    pub(crate) async fn no_process_within(&self, time: Duration) -> Result<()> {
        let start = Instant::now();
        while !self.processes()?.is_empty() {
            ensure!(start.elapsed() < time, "left: {:?}", self.processes()?);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

pub(crate) fn supervisor() -> Supervisor {
    Supervisor { program: env!("CARGO_BIN_EXE_kiln-machine-supervise").into(), args: Vec::new() }
}
