//! The appliance of a build: the agent on the build's disks, with the image's root mounted.

use crate::{
    Error, Events, GuestConfig, Kiln,
    cache_mounts::CacheMount,
    guest::{Guest, alive, bounded},
    hardware::Hardware,
    kernel,
    volumes::{ROOT, Volume},
};
use kiln_disk::Root;
use kiln_machine::{
    Cause, Start,
    appliance::{self, ModuleFile},
    communicator::{
        Session,
        agent::{AgentSession, Device, Mount, Network, Setup},
    },
    config::{Boot, Interface},
    start_appliance,
};
use kiln_template::Template;
use kiln_types::Architecture;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// What the agent is asked takes seconds, and its start 3 to 10 under TCG; a loaded host takes several times as long.
pub(crate) const AGENT_WITHIN: Duration = Duration::from_secs(120);

/// QEMU 10 under TCG with several processors now and then fails an assertion of its own while a guest sets up its PCI
/// devices (`iotlb_to_section`). No step has run by then, so that starting once more loses nothing.
const MOST_STARTS: u32 = 3;

/// What the appliance boots, and what it mounts.
#[derive(Debug, Clone)]
pub(crate) struct Appliance {
    kernel: PathBuf,
    initrd: PathBuf,
    mounts: Vec<Mount>,
    personality_32bit: bool,
    /// The kernel for people.
    pub(crate) described: String,
}

/// An appliance that runs, its root prepared for programs.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) guest: Guest,
    pub(crate) start: Start,
}

/// How an appliance is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening<'a> {
    /// Tells its logs from those of the build's other machines.
    pub(crate) name: &'a str,
    pub(crate) template: &'a Template,
    pub(crate) hardware: &'a Hardware,
    pub(crate) volumes: &'a [Volume],
    /// What is mounted over the image's folders.
    pub(crate) cache_mounts: &'a [CacheMount],
    pub(crate) folder: &'a Path,
    pub(crate) guest: &'a GuestConfig,
    /// Whether to boot it although the state of a booted one may be there.
    pub(crate) cold: bool,
    /// Whether the overlays are new: then another start may make them anew.
    pub(crate) fresh: bool,
}

impl Appliance {
    /// The same with these folders mounted over the image's.
    pub(crate) fn with(mut self, cache_mounts: &[CacheMount]) -> Self {
        self.mounts.extend(cache_mounts.iter().map(CacheMount::mount));
        self
    }

    /// The same with nothing mounted but the image.
    pub(crate) fn bare(mut self) -> Self {
        self.mounts.retain(|mount| mount.device.serial == ROOT);
        self
    }
}

impl Kiln {
    /// Makes the kernel and the initramfs of the appliance, and finds what it has to mount.
    pub(crate) async fn appliance(
        &self,
        root: &Root,
        disk: &Path,
        grown: bool,
        template: &Template,
        folder: &Path,
    ) -> Result<Appliance, Error> {
        let (root, disk, cache, folder) =
            (root.clone(), disk.to_owned(), self.home.cache(), folder.to_owned());
        let machine = template.machine.clone();
        let work = move || {
            let chosen = kernel::choose(&machine, &disk, &root, &cache)?;
            let (kernel, initrd) = (folder.join("kernel"), folder.join("initramfs"));
            fs_err::write(&kernel, &chosen.vmlinuz)?;
            let modules = chosen.modules.iter();
            let modules = modules.map(|module| ModuleFile { name: &module.name, bytes: &module.bytes });
            let archive = appliance::initramfs(appliance::agent_program()?, &modules.collect::<Vec<_>>())?;
            fs_err::write(&initrd, [chosen.initrd, archive].concat())?;
            Ok(Appliance {
                kernel,
                initrd,
                mounts: mounts(&root, grown),
                personality_32bit: machine.architecture == Architecture::I386,
                described: format!("kernel: {}", chosen.described),
            })
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::Task)?
    }

    /// Starts the appliance and prepares the image's root.
    pub(crate) async fn open_appliance(
        &self,
        appliance: &Appliance,
        opening: &Opening<'_>,
        events: &Events,
    ) -> Result<Opened, Error> {
        let mut starts = 1;
        loop {
            match self.open_once(appliance, opening).await {
                Err(error) if starts < MOST_STARTS && opening.fresh && is_crash_of_qemu(&error) => {
                    events.warning(format!("QEMU crashed at its start; starting it again: {error}"));
                    starts += 1;
                    // Mounting may have written to the last ones.
                    opening.volumes.iter().try_for_each(|volume| volume.clear(&opening.hardware.qemu))?;
                }
                result => return result,
            }
        }
    }

    async fn open_once(&self, appliance: &Appliance, opening: &Opening<'_>) -> Result<Opened, Error> {
        let Opening { name, template, hardware, volumes, cache_mounts, folder, .. } = *opening;
        let boot = Boot::Kernel {
            kernel: appliance.kernel.clone(),
            initrd: Some(appliance.initrd.clone()),
            command_line: appliance::command_line(),
        };
        let mut config = hardware.config(&template.machine, boot, folder, name);
        let caches = cache_mounts.iter().map(CacheMount::disk);
        config.disks = volumes.iter().map(|volume| volume.disk(Interface::VirtioBlk)).chain(caches).collect();
        config.extra_args.clone_from(&template.machine.qemu_args);
        config.agent_port = Some(appliance::PORT);
        let states = (!opening.cold).then(|| self.home.warm());
        let started =
            start_appliance(&hardware.qemu, &self.supervisor, &config, &hardware.choice, states.as_deref());
        let kiln_machine::Appliance { running, mut session, how } = started.await?;
        let prepare = prepare(&mut session, appliance, template, opening.guest);
        alive(&running, bounded("preparing the guest's root", AGENT_WITHIN, prepare)).await?;
        Ok(Opened { guest: Guest { running, session: Session::Agent(session) }, start: how })
    }
}

/// Says whether QEMU itself crashed: aborted, or broke a rule of memory.
fn is_crash_of_qemu(error: &Error) -> bool {
    const SIGABRT: i32 = 6;
    const SIGSEGV: i32 = 11;
    let Error::Machine(kiln_machine::Error::Died(death)) = error else { return false };
    matches!(death.cause, Cause::Killed(SIGABRT | SIGSEGV))
}

/// Unmounts what is mounted, and prepares the image's root anew.
pub(crate) async fn reopen(
    session: &mut AgentSession,
    appliance: &Appliance,
    template: &Template,
    guest: &GuestConfig,
) -> Result<(), Error> {
    bounded("closing the file systems", AGENT_WITHIN, session.finish(false)).await?;
    bounded("preparing the guest's root", AGENT_WITHIN, prepare(session, appliance, template, guest)).await
}

/// Mounts the image's root and makes it ready for programs.
pub(crate) async fn prepare(
    session: &mut AgentSession,
    appliance: &Appliance,
    template: &Template,
    guest: &GuestConfig,
) -> Result<(), Error> {
    session.mount(&appliance.mounts).await?;
    let network = match template.machine.network {
        kiln_template::Network::User => Some(Network::QEMU_USER),
        kiln_template::Network::None => None,
    };
    let setup = Setup {
        network,
        hostname: None,
        environment: guest.environment(),
        ca_certificates: guest.ca_certificates().map(<[u8]>::to_vec),
        personality_32bit: appliance.personality_32bit,
    };
    Ok(session.set_up_chroot(&setup).await?)
}

fn mounts(root: &Root, grown: bool) -> Vec<Mount> {
    let mount = |partition, filesystem: kiln_disk::FileSystem, options: &str, path: &str| Mount {
        device: Device { serial: ROOT.to_owned(), partition },
        filesystem: filesystem.as_str().to_owned(),
        options: options.to_owned(),
        path: path.to_owned(),
        read_only: false,
        grow: grown && path == "/",
    };
    let others = root.mounts.iter();
    let others =
        others.map(|other| mount(Some(other.partition), other.filesystem, &other.options, &other.path));
    std::iter::once(mount(root.partition, root.filesystem, &root.options, "/")).chain(others).collect()
}
