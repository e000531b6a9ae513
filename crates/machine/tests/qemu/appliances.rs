//! Appliances on the tiny base, and the folder of their saved states.

use crate::world::supervisor;
use anyhow::{Context, Result, ensure};
use kiln_machine::{
    Appliance, Choice, Qemu, Rung,
    appliance::{self, ModuleFile, WANTED_MODULES},
    communicator::agent::{AgentSession, Device, Exec, ExitStatus, Mount, Setup},
    config::{Accelerator, Boot, Disk, Interface, MachineConfig, Network},
    start_appliance,
};
use kiln_testkit::{TinyBase, cloud_kernel, tiny_base};
use kiln_types::{Architecture, ByteSize};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// The tiny base's size; each overlay has it.
const DISK: u64 = 512 << 20;

/// A guest under TCG on a busy host takes this long at the very most to turn itself off.
const OFF_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Appliances {
    folder: tempfile::TempDir,
    base: TinyBase,
    pub(crate) qemu: Qemu,
    pub(crate) config: MachineConfig,
    pub(crate) choice: Choice,
}

impl Appliances {
    /// Makes the files that every appliance needs.
    pub(crate) fn new() -> Result<Self> {
        Self::with_modules(&[])
    }

    /// The same, with further modules of the kernel.
    pub(crate) fn with_modules(modules: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("kiln-appliance-").tempdir()?;
        let (cache, base) = (cache()?, tiny_base(&cache()?)?);
        let kernel = cloud_kernel(&cache, &[WANTED_MODULES, modules].concat())?;
        let modules = kernel.modules.iter().map(|(name, bytes)| ModuleFile { name, bytes });
        let initramfs = appliance::initramfs(appliance::agent_program()?, &modules.collect::<Vec<_>>())?;
        let path = |name: &str| folder.path().join(name);
        fs_err::write(path("kernel"), kernel.vmlinuz)?;
        fs_err::write(path("initramfs"), initramfs)?;
        let boot = Boot::Kernel {
            kernel: path("kernel"),
            initrd: Some(path("initramfs")),
            command_line: appliance::command_line(),
        };
        let config = MachineConfig {
            architecture: Architecture::X86_64,
            cpus: 1,
            memory: ByteSize::from_mib(512),
            accelerator: Accelerator::Tcg,
            disks: Vec::new(),
            media: Vec::new(),
            boot,
            durable: false,
            network: Network::User,
            screen: false,
            tpm: None,
            restarts: false,
            extra_args: Vec::new(),
            console: path("console.log"),
            log: path("qemu.log"),
            agent_port: Some(appliance::PORT),
        };
        let reason = "it is everywhere".to_owned();
        let choice = Choice { accelerator: Accelerator::Tcg, may_fall_back: false, reason, probe: None };
        let qemu =
            Qemu::find(&["/usr/bin", "/usr/local/bin", "/bin"].map(PathBuf::from), Architecture::X86_64)?;
        Ok(Self { folder, base, qemu, config, choice })
    }

    pub(crate) fn states(&self) -> PathBuf {
        self.folder.path().join("states")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a disk: an overlay of this base, or a blank one.
    pub(crate) fn disk(&self, serial: &str, base: Option<PathBuf>, size: u64) -> Result<Disk> {
        let overlay = self.path(&format!("{serial}.qcow2"));
        self.qemu.create_overlay(&overlay, size)?;
        let (serial, interface) = (serial.to_owned(), Interface::VirtioBlk);
        Ok(Disk { serial, base, overlays: vec![overlay], interface })
    }

    /// Makes an overlay of the tiny base.
    pub(crate) fn tiny_disk(&self, serial: &str) -> Result<Disk> {
        self.disk(serial, Some(self.base.disk.clone()), DISK)
    }

    /// Starts an appliance on an overlay of its own.
    pub(crate) async fn start(&self, name: &str) -> Result<Started> {
        self.start_with(name, Vec::new()).await
    }

    /// The same, with further disks.
    pub(crate) async fn start_with(&self, name: &str, further: Vec<Disk>) -> Result<Started> {
        let root = self.tiny_disk(name)?;
        let mut disks = vec![Disk { serial: "root".to_owned(), ..root }];
        disks.extend(further);
        let config = MachineConfig {
            disks,
            console: self.path(&format!("{name}.console")),
            log: self.path(&format!("{name}.log")),
            ..self.config.clone()
        };
        let states = self.states();
        let appliance =
            start_appliance(&self.qemu, &supervisor(), &config, &self.choice, Some(&states)).await?;
        Ok(Started(appliance))
    }

    /// Waits until a state is there: it is put there in the background.
    pub(crate) async fn state(&self) -> Result<PathBuf> {
        for _ in 0..600 {
            if let Some(state) = self.saved()?.first() {
                return Ok(state.clone());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("no state was saved")
    }

    /// Returns the states that are there.
    pub(crate) fn saved(&self) -> Result<Vec<PathBuf>> {
        let Ok(entries) = fs_err::read_dir(self.states()) else { return Ok(Vec::new()) };
        let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        Ok(paths.into_iter().filter(|path| path.join("state.json").exists() && !hidden(path)).collect())
    }
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// An appliance that listens.
pub(crate) struct Started(pub(crate) Appliance);

impl Started {
    /// Mounts the tiny base's root, and prepares it.
    pub(crate) async fn prepare(&mut self, setup: &Setup) -> Result<()> {
        self.mount().await?;
        Ok(self.session().set_up_chroot(setup).await?)
    }

    /// Mounts the tiny base's root.
    pub(crate) async fn mount(&mut self) -> Result<()> {
        Ok(self.session().mount(&[root()]).await?)
    }

    pub(crate) fn session(&mut self) -> &mut AgentSession {
        &mut self.0.session
    }

    /// Runs a command of the guest's shell, and returns what it wrote.
    pub(crate) async fn sh(&mut self, script: &str) -> Result<String> {
        let exec = Exec { argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(), ..Exec::default() };
        let mut written = Vec::new();
        let ended = self.session().exec(&exec, None, |_, bytes| written.extend_from_slice(bytes)).await?;
        let written = String::from_utf8_lossy(&written).into_owned();
        ensure!(ended == ExitStatus::Exited(0), "{script}: {ended}: {written}");
        Ok(written)
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.0.session.finish(false).await?;
        drop(self.0.session.power_off().await);
        ensure!(self.0.running.stop(OFF_WITHIN).await? == Rung::Guest, "it does not turn itself off");
        Ok(())
    }
}

/// Returns the folder where packages and bases are kept between runs.
#[expect(clippy::disallowed_methods, reason = "tests take their cache's place from the environment")]
pub(crate) fn cache() -> Result<PathBuf> {
    let kept = std::env::var_os("KILN_TEST_CACHE").map(PathBuf::from);
    let cache = kept.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
    fs_err::create_dir_all(&cache).context("the cache of tests")?;
    Ok(cache)
}

/// The tiny base's root.
pub(crate) fn root() -> Mount {
    Mount {
        device: Device { serial: "root".to_owned(), partition: Some(3) },
        filesystem: "ext4".to_owned(),
        options: String::new(),
        path: "/".to_owned(),
        read_only: false,
        grow: false,
    }
}
