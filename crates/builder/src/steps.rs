//! From a base to disks on which every step has run: the machine of a build, from its start to what it leaves.
//!
//! ```text
//! agent   appliance ─▶ steps ─▶ sysprep ─▶ trim, off
//! ssh     appliance puts a key in, off ─▶ the image boots ─▶ steps ─▶ off ─▶ appliance takes the key out, sysprep, trim, off
//! both    ─▶ what changed is searched for secrets
//! ```

use crate::{
    Error, Events, Kiln, Phase,
    appliance::{Appliance, Opening, reopen},
    base::Base,
    begun::Begun,
    build::BuildRequest,
    cache_mounts::CacheMount,
    guest::{Guest, alive},
    hardware::Hardware,
    home::BuildFolder,
    layering::{Inside, LayeredMachine, Layering},
    layers::DiskChain,
    leaks,
    machine_state::{MachineState, SavedState},
    mask::Mask,
    provision::Provision,
    request::Loaded,
    step::Surroundings,
    volumes::{self, Volume},
};
use kiln_disk::find_root;
use kiln_machine::{Qemu, Start, appliance as machine_appliance, communicator::Session, config::Interface};
use kiln_template::{Communicator, Source, Step, Sysprep, SysprepItem, Template};
use std::path::{Path, PathBuf};

/// What the steps left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The disks, the root first.
    pub(crate) volumes: Vec<Volume>,
    /// The layers that each of them stands on, in the same order.
    pub(crate) chains: Vec<DiskChain>,
    /// What the machine keeps beside its disks.
    pub(crate) state: SavedState,
    /// Steps that ran.
    pub(crate) ran: usize,
    /// Steps whose result was there.
    pub(crate) cached: usize,
}

/// A build's machines: what all of them share.
pub(crate) struct Machines<'a> {
    pub(crate) base: &'a Base,
    pub(crate) loaded: &'a Loaded,
    pub(crate) request: &'a BuildRequest,
    pub(crate) folder: &'a BuildFolder,
    pub(crate) hardware: Hardware,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) cache_mounts: Vec<CacheMount>,
    pub(crate) state: MachineState,
    pub(crate) mask: Mask,
    pub(crate) surroundings: Surroundings,
}

impl Machines<'_> {
    pub(crate) fn template(&self) -> &Template {
        &self.loaded.template
    }

    pub(crate) fn opening<'a>(&'a self, name: &'a str) -> Opening<'a> {
        Opening {
            name,
            template: self.template(),
            hardware: &self.hardware,
            volumes: &self.volumes,
            cache_mounts: &self.cache_mounts,
            folder: self.folder.path(),
            guest: &self.request.guest,
            // Disks that are plugged in together get their names by chance; one that boots with them names them in order.
            cold: self.request.cold || self.volumes.len() > 1,
            fresh: false,
        }
    }

    pub(crate) fn provision<'a>(&'a self, events: &'a Events) -> Provision<'a> {
        Provision {
            loaded: self.loaded,
            events,
            mask: &self.mask,
            on_error: self.request.on_error,
            terminal: self.request.terminal.as_deref(),
            surroundings: &self.surroundings,
        }
    }
}

impl Kiln {
    /// Says before anything is made that no machine can be started here.
    pub(crate) fn check_host(&self, template: &Template) -> Result<(), Error> {
        Qemu::find(&self.programs, template.machine.architecture)?;
        machine_appliance::agent_program()?;
        Ok(())
    }

    /// Runs the steps on new overlays, and turns the machine off.
    pub(crate) async fn run_steps(
        &self,
        begun: &Begun,
        request: &BuildRequest,
        until: Option<usize>,
        events: &Events,
    ) -> Result<Finished, Error> {
        let Begun { loaded, folder, base, .. } = begun;
        let template = &loaded.template;
        let mut volumes = volumes::of_build(template, base, folder.path())?;
        let qemu = Qemu::find(&self.programs, template.machine.architecture)?;
        volumes.iter().try_for_each(|volume| volume.clear(&qemu))?;
        if !needs_machine(template, base) {
            let state = MachineState::new(&template.machine, base.folder(), folder.path())?;
            let chains = volumes.iter().map(|volume| DiskChain::blank(&volume.serial)).collect();
            return Ok(Finished { volumes, chains, state: state.saved()?, ran: 0, cached: 0 });
        }
        let phase = events.begin(Phase::Machine);
        let hardware = self.hardware(&template.machine, events)?;
        if let Some(note) = request.guest.note() {
            events.note(note);
        }
        let mask = Mask::new(template.secrets().chain(request.guest.secrets()));
        let surroundings = surroundings(template, &self.programs, folder.path());
        let mut layering = self.layering(begun, request, until, events).await?;
        layering.begin(&mut volumes)?;
        let below = layering.below().map(|(folder, _)| folder);
        let below = below.filter(|below| MachineState::is_in(below));
        let state =
            MachineState::new(&template.machine, below.as_deref().unwrap_or(base.folder()), folder.path())?;
        let cache_mounts = self.cache_mounts(template, &qemu, folder.path(), events)?;
        let mut machines = Machines {
            base,
            loaded,
            request,
            folder,
            hardware,
            volumes,
            cache_mounts,
            state,
            mask,
            surroundings,
        };
        let ran = match &template.communicator {
            Communicator::Agent => self.steps_by_agent(&mut machines, &mut layering, phase, events).await?,
            Communicator::Ssh(ssh) => {
                self.steps_by_ssh(&mut machines, ssh, &mut layering, phase, events).await?
            }
        };
        let Machines { volumes, cache_mounts, state, .. } = machines;
        cache_mounts.into_iter().try_for_each(CacheMount::close)?;
        scan(template, &volumes, events).await?;
        layering.scanned(events);
        let cached = layering.cached();
        Ok(Finished { volumes, chains: layering.chains(), state: state.saved()?, ran, cached })
    }

    async fn steps_by_agent(
        &self,
        machines: &mut Machines<'_>,
        layering: &mut Layering<'_>,
        phase: crate::OpenPhase,
        events: &Events,
    ) -> Result<usize, Error> {
        let (mut guest, appliance) = self.open_root(machines, "appliance", true, Some(phase), events).await?;
        let mut layers = layering.over(LayeredMachine {
            qemu: machines.hardware.qemu.clone(),
            volumes: machines.volumes.clone(),
            base: machines.base.record.content,
            inside: Inside::Agent { appliance: appliance.clone(), guest: &machines.request.guest },
        });
        let ran = machines.provision(events).run(&mut guest, &mut layers).await?;
        machines.volumes = layers.volumes();
        if let (false, Session::Agent(session)) = (machines.cache_mounts.is_empty(), &mut guest.session) {
            // sysprep empties the image's caches, not these.
            let bare = appliance.bare();
            let reopened = reopen(session, &bare, machines.template(), &machines.request.guest);
            alive(&guest.running, reopened).await?;
        }
        self.close_root(machines, guest, events).await?;
        Ok(ran)
    }

    /// Starts the appliance on the build's disks, and says how.
    pub(crate) async fn open_root(
        &self,
        machines: &Machines<'_>,
        name: &str,
        fresh: bool,
        phase: Option<crate::OpenPhase>,
        events: &Events,
    ) -> Result<(Guest, Appliance), Error> {
        let (base, template) = (machines.base, machines.template());
        let root = find_root(&base.disk)?;
        let folder = machines.folder.path();
        let appliance = self.appliance(&root, &base.disk, base.record.grown, template, folder).await?;
        let appliance = appliance.with(&machines.cache_mounts);
        let opening = Opening { fresh, ..machines.opening(name) };
        let opened = self.open_appliance(&appliance, &opening, events).await?;
        let guest = opened.guest;
        if let Some(why) = guest.running.fallback() {
            events.warning(format!("KVM did not work ({why}); TCG runs the guest now"));
        }
        let how = match opened.start {
            Start::Cold => "booted".to_owned(),
            Start::Warm => "restored from a booted one".to_owned(),
            Start::ColdAfter(why) => {
                events.note(format!("the saved appliance was of no use: {why}"));
                "booted".to_owned()
            }
        };
        if let Some(phase) = phase {
            events.note(&appliance.described);
            phase.done(format!("appliance {how}"));
        }
        Ok((guest, appliance))
    }

    /// Ends what the steps began: takes out what belongs to this machine, trims, turns it off.
    pub(crate) async fn close_root(
        &self,
        machines: &Machines<'_>,
        mut guest: Guest,
        events: &Events,
    ) -> Result<(), Error> {
        let items = &machines.template().sysprep;
        if items.enabled {
            sysprep(&mut guest, items, events).await?;
        }
        let phase = events.begin(Phase::Shutdown);
        guest.close(items.does(SysprepItem::Trim), events).await?;
        phase.done("");
        Ok(())
    }
}

/// Takes out what belongs to the machine that the image was built in.
pub(crate) async fn sysprep(guest: &mut Guest, items: &Sysprep, events: &Events) -> Result<(), Error> {
    let phase = events.begin(Phase::Sysprep);
    let Guest { running, session } = guest;
    let summary = alive(running, crate::sysprep::run(session, items, |line| events.output(line))).await?;
    summary.warnings.iter().for_each(|warning| events.warning(warning));
    alive(running, session.end_step()).await?;
    phase.done("");
    Ok(())
}

/// Says whether anything is to be done in a guest: a disk that is only taken over is left as it is.
fn needs_machine(template: &Template, base: &Base) -> bool {
    !template.provisioners.is_empty() || base.record.grown || matches!(template.source, Source::Iso(_))
}

/// What every step finds: where the disks are, and the values of sensitive variables.
pub(crate) fn surroundings(template: &Template, programs: &[PathBuf], folder: &Path) -> Surroundings {
    let secrets = template.variables.iter().filter(|variable| variable.sensitive);
    Surroundings {
        environment: disk_variables(template, Interface::VirtioBlk),
        secrets: secrets.map(|secret| (secret.name.clone(), secret.value.expose().to_owned())).collect(),
        programs: programs.to_owned(),
        folder: folder.to_owned(),
        offline: template.machine.network == kiln_template::Network::None,
    }
}

/// Tells steps where the template's disks are: `KILN_DISK_DATA=/dev/vdb`. Drivers name disks in the order of their places on
/// the bus, which is that of the template.
pub(crate) fn disk_variables(template: &Template, interface: Interface) -> Vec<(String, String)> {
    let disks = template.machine.disks.iter().zip(1_u8..);
    let variables = disks.map(|(disk, place)| {
        let letter = char::from(b'a'.saturating_add(place));
        let device = match interface {
            Interface::VirtioBlk => format!("/dev/vd{letter}"),
            Interface::Nvme => format!("/dev/nvme{place}n1"),
            Interface::Sata => format!("/dev/sd{letter}"),
        };
        (format!("KILN_DISK_{}", disk.name.to_uppercase().replace('-', "_")), device)
    });
    variables.collect()
}

/// Searches what changed for the values of sensitive variables.
async fn scan(template: &Template, volumes: &[Volume], events: &Events) -> Result<(), Error> {
    let sensitive = template.variables.iter().filter(|variable| variable.sensitive);
    let secrets: Vec<_> = sensitive
        .map(|secret| leaks::Secret { name: secret.name.clone(), value: secret.value.expose().to_owned() })
        .collect();
    if secrets.is_empty() || !template.sysprep.does(SysprepItem::SecretsScan) {
        return Ok(());
    }
    let phase = events.begin(Phase::SecretsScan);
    let disks: Vec<_> = volumes.iter().map(|volume| (volume.base.clone(), volume.chain())).collect();
    let search = move || {
        let mut found = leaks::Scan::default();
        for (base, overlays) in disks {
            let scan = leaks::scan(&base, &overlays, &secrets)?;
            found.leaks.extend(scan.leaks);
            found.too_short = scan.too_short;
            found.notes.extend(scan.notes);
        }
        Ok::<_, Error>(found)
    };
    let found = tokio::task::spawn_blocking(search).await.map_err(Error::Task)??;
    for name in &found.too_short {
        events.warning(format!("the value of `{name}` is too short to be searched for"));
    }
    found.notes.iter().for_each(|note| events.note(note));
    if !found.leaks.is_empty() {
        return Err(Error::Leaked { places: found.leaks.iter().map(ToString::to_string).collect() });
    }
    phase.done("none found");
    Ok(())
}

/// Says whether a template has a step that only a guest which booted its own loader can do.
pub(crate) fn reboots(template: &Template) -> bool {
    let steps = template.provisioners.iter().filter(|provisioner| provisioner.skipped.is_none());
    steps.map(|provisioner| &provisioner.step).any(|step| matches!(step, Step::Reboot(_)))
}
