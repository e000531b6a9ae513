//! The machine of a build: the appliance on an overlay of the base, and the steps in it.

use crate::{Error, Events, Kiln, Phase, base::Base, home::BuildFolder, kernel, provision, request::Loaded};
use kiln_disk::{Root, find_root};
use kiln_machine::{
    Cause, Choice, Death, KvmFacts, Qemu, Rung, Running, Wanted,
    appliance::{self, ModuleFile},
    choose,
    communicator::{
        AgentError,
        agent::{AgentSession, Device, Mount, Network, Setup},
    },
    config::{self, Accelerator, Boot, MachineConfig},
    start,
};
use kiln_template::{Machine, Template};
use kiln_types::Architecture;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// What the guest finds its disk by.
const SERIAL: &str = "kiln-root";

/// What the agent is asked takes seconds, and its start 3 to 10 under TCG; a loaded host takes several times as long.
const AGENT_WITHIN: Duration = Duration::from_secs(120);

/// How long the guest has to turn itself off once the agent was told to.
const OFF_WITHIN: Duration = Duration::from_secs(30);

/// QEMU's end is known a moment after the connection broke.
const DEATH_WITHIN: Duration = Duration::from_secs(2);

/// QEMU 10 under TCG with several processors now and then fails an assertion of its own while a guest sets up its PCI
/// devices (`iotlb_to_section`). No step has run by then, so that starting once more loses nothing.
const MOST_STARTS: u32 = 3;

/// What the steps left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The overlay that took every write.
    pub(crate) overlay: PathBuf,
}

/// What the appliance boots, and what it mounts.
struct Appliance {
    kernel: PathBuf,
    initrd: PathBuf,
    mounts: Vec<Mount>,
    /// The kernel for people.
    described: String,
}

impl Kiln {
    /// Says before anything is made that no machine can be started here.
    pub(crate) fn check_host(&self) -> Result<(), Error> {
        Qemu::find(&self.programs)?;
        appliance::agent_program()?;
        Ok(())
    }

    /// Runs the steps on a new overlay of the base, and turns the machine off.
    pub(crate) async fn run_steps(
        &self,
        base: &Base,
        loaded: &Loaded,
        folder: &BuildFolder,
        events: &Events,
    ) -> Result<Finished, Error> {
        let qemu = Qemu::find(&self.programs)?;
        let overlay = folder.path().join("overlay.qcow2");
        if loaded.template.provisioners.is_empty() {
            qemu.create_overlay(&overlay, base.record.size)?;
            return Ok(Finished { overlay });
        }
        let phase = events.begin(Phase::Machine);
        let appliance = self.appliance(base, &loaded.template, folder.path()).await?;
        events.note(&appliance.described);
        let choice = choose(wanted(&loaded.template), Architecture::X86_64, &KvmFacts::of_this_host(), None);
        events.note(format!("accelerator: {}", choice.reason));
        let config = machine_config(&loaded.template, &appliance, &choice, base, &overlay, folder.path());
        let mut starts = 1;
        let (running, mut session) = loop {
            // Each start on a new overlay: mounting the last one may have written to it.
            qemu.create_overlay(&overlay, base.record.size)?;
            match self.start_once(&qemu, &config, &choice, &appliance.mounts, &loaded.template).await {
                Err(error) if starts < MOST_STARTS && is_crash_of_qemu(&error) => {
                    events.warning(format!("QEMU crashed at its start; starting it again: {error}"));
                    starts += 1;
                }
                result => break result?,
            }
        };
        if let Some(why) = running.fallback() {
            events.warning(format!("KVM did not work ({why}); TCG runs the guest now"));
        }
        phase.done(format!(
            "kernel {}, up {:.1}s after its start",
            session.guest().kernel,
            session.guest().uptime.as_secs_f64()
        ));
        provision::run(&running, &mut session, loaded, events).await?;
        shut_down(session, running, events).await?;
        Ok(Finished { overlay })
    }

    /// Starts the machine and prepares the guest's root for steps.
    async fn start_once(
        &self,
        qemu: &Qemu,
        config: &MachineConfig,
        choice: &Choice,
        mounts: &[Mount],
        template: &Template,
    ) -> Result<(Running, AgentSession), Error> {
        let mut running = start(qemu, &self.supervisor, config, choice).await?;
        let stream = running.take_agent().ok_or(Error::NoAgentPort)?;
        let mut session = alive(&running, AgentSession::connect(stream, AGENT_WITHIN)).await?;
        let prepare = prepare(&mut session, mounts, template);
        alive(&running, bounded("preparing the guest's root", prepare)).await?;
        Ok((running, session))
    }

    /// Makes the kernel and the initramfs of the appliance, and finds what it has to mount.
    async fn appliance(&self, base: &Base, template: &Template, folder: &Path) -> Result<Appliance, Error> {
        let (disk, kernels, folder) = (base.disk.clone(), self.home.cache(), folder.to_owned());
        let machine = template.machine.clone();
        let work = move || make_appliance(&machine, &disk, &kernels, &folder);
        tokio::task::spawn_blocking(work).await.map_err(Error::Task)?
    }
}

/// Says whether QEMU itself crashed: aborted, or broke a rule of memory.
fn is_crash_of_qemu(error: &Error) -> bool {
    const SIGABRT: i32 = 6;
    const SIGSEGV: i32 = 11;
    let Error::Machine(kiln_machine::Error::Died(death)) = error else { return false };
    matches!(death.cause, Cause::Killed(SIGABRT | SIGSEGV))
}

/// Waits for work in a guest, or for the guest's death, which says more than the broken connection that comes of it.
pub(crate) async fn alive<T, E: Into<Error>>(
    running: &Running,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    let error = tokio::select! {
        biased;
        result = work => match result {
            Ok(value) => return Ok(value),
            Err(error) => error.into(),
        },
        death = running.death() => return Err(dead(death)),
    };
    if !matches!(error, Error::Agent(_)) {
        return Err(error);
    }
    let death = tokio::time::timeout(DEATH_WITHIN, running.death()).await;
    Err(death.map_or(error, dead))
}

/// Gives up on a guest that neither works nor dies.
async fn bounded<T>(
    doing: &'static str,
    work: impl Future<Output = Result<T, AgentError>>,
) -> Result<T, Error> {
    match tokio::time::timeout(AGENT_WITHIN, work).await {
        Ok(result) => Ok(result?),
        Err(_elapsed) => Err(Error::GuestStuck { doing, within: AGENT_WITHIN }),
    }
}

fn dead(death: Death) -> Error {
    Error::Machine(death.into())
}

async fn prepare(
    session: &mut AgentSession,
    mounts: &[Mount],
    template: &Template,
) -> Result<(), AgentError> {
    session.mount(mounts).await?;
    let network = match template.machine.network {
        kiln_template::Network::User => Some(Network::QEMU_USER),
        kiln_template::Network::None => None,
    };
    session.set_up_chroot(&Setup { network, ..Setup::default() }).await
}

async fn shut_down(mut session: AgentSession, running: Running, events: &Events) -> Result<(), Error> {
    let phase = events.begin(Phase::Shutdown);
    alive(&running, bounded("closing the file systems", session.finish(true))).await?;
    // The guest may be gone before its answer is here.
    drop(session.power_off().await);
    match running.stop(OFF_WITHIN).await? {
        Rung::Guest => {}
        rung => events.warning(format!("the guest did not turn itself off; ended by {rung:?}")),
    }
    phase.done("");
    Ok(())
}

fn make_appliance(machine: &Machine, disk: &Path, kernels: &Path, folder: &Path) -> Result<Appliance, Error> {
    let root = find_root(disk)?;
    let chosen = kernel::choose(machine, disk, &root, kernels)?;
    let (kernel, initrd) = (folder.join("kernel"), folder.join("initramfs"));
    fs_err::write(&kernel, &chosen.vmlinuz)?;
    let modules = chosen.modules.iter().map(|module| ModuleFile { name: &module.name, bytes: &module.bytes });
    let archive = appliance::initramfs(appliance::agent_program()?, &modules.collect::<Vec<_>>())?;
    fs_err::write(&initrd, [chosen.initrd, archive].concat())?;
    Ok(Appliance {
        kernel,
        initrd,
        mounts: mounts(&root),
        described: format!("kernel: {}", chosen.described),
    })
}

fn mounts(root: &Root) -> Vec<Mount> {
    let mount = |partition, filesystem: kiln_disk::FileSystem, options: &str, path: &str| Mount {
        device: Device { serial: SERIAL.to_owned(), partition },
        filesystem: filesystem.as_str().to_owned(),
        options: options.to_owned(),
        path: path.to_owned(),
        read_only: false,
        grow: false,
    };
    let others = root.mounts.iter();
    let others =
        others.map(|other| mount(Some(other.partition), other.filesystem, &other.options, &other.path));
    std::iter::once(mount(root.partition, root.filesystem, "", "/")).chain(others).collect()
}

fn wanted(template: &Template) -> Wanted {
    match template.machine.accelerator {
        kiln_template::Accelerator::Auto => Wanted::Auto,
        kiln_template::Accelerator::Kvm => Wanted::This(Accelerator::Kvm),
        kiln_template::Accelerator::Tcg => Wanted::This(Accelerator::Tcg),
    }
}

fn machine_config(
    template: &Template,
    appliance: &Appliance,
    choice: &Choice,
    base: &Base,
    overlay: &Path,
    folder: &Path,
) -> MachineConfig {
    MachineConfig {
        cpus: template.machine.cpus,
        memory: template.machine.memory,
        accelerator: choice.accelerator,
        disks: vec![config::Disk {
            serial: SERIAL.to_owned(),
            base: base.disk.clone(),
            overlay: overlay.to_owned(),
        }],
        boot: Boot::Kernel {
            kernel: appliance.kernel.clone(),
            initrd: appliance.initrd.clone(),
            command_line: appliance::command_line(),
        },
        network: match template.machine.network {
            kiln_template::Network::User => config::Network::User,
            kiln_template::Network::None => config::Network::None,
        },
        console: folder.join("console.log"),
        log: folder.join("qemu.log"),
        agent_port: Some(appliance::PORT),
    }
}
