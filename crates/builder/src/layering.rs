//! The layers of one build: which are there, and what becomes of each step's result.
//!
//! ```text
//! keys of the steps ─▶ as many layers as are there ─▶ machine on the last ─▶ step ─▶ unmount, new overlays, mount ─▶ publish
//! ```
//! The agent unmounts the image for it: each of its file systems is clean, and the next step finds the same whether its
//! predecessor ran or was there. A guest that is reached over SSH writes out what it holds and is stopped for the moment; its
//! layers are as after a loss of power, without the keys that let Kiln in. Where cloud-init lets Kiln in there are none: what
//! it makes of one build's keys would stay in the next.
//! What a step that names a sensitive variable wrote, and all above it, is published only when the
//! search for secrets has found nothing: else an old secret could stay in a layer that a later search knows nothing of.
//! sysprep runs after the last layer and makes none.

use crate::{
    Error, Events, GuestConfig, Kiln,
    appliance::{AGENT_WITHIN, Appliance, prepare},
    begun::Begun,
    build::BuildRequest,
    guest::{Guest, alive, bounded},
    home::BuildFolder,
    layers::{DiskChain, Found, LayerCache, LayerRecord, Made, NamedLayer},
    lock::Lock,
    machine_state::MachineState,
    plan::PlannedSteps,
    provision::Outcome,
    ssh::run_script,
    volumes::Volume,
};
use kiln_machine::{
    Qemu, Running,
    communicator::{Session, ssh::fast_boot::Placed},
};
use kiln_qcow2::MOST_OVERLAYS;
use kiln_template::{Communicator, Provisioner, SshSetup, Step, StepCache, SysprepItem, Template};
use kiln_types::Digest;
use std::path::PathBuf;

/// How many steps of a template have a result that is there, and the last one's layer.
#[derive(Debug, Default)]
pub(crate) struct Cached {
    pub(crate) steps: usize,
    /// Why the next one has none, where more is known than that it has none.
    pub(crate) why: Option<String>,
    record: Option<(Digest, LayerRecord)>,
    /// A layer that is there and of no use.
    damaged: Option<Digest>,
}

impl LayerCache {
    /// Finds the layers of a template's steps, from the first on without a gap, at most for the first `most` steps.
    pub(crate) fn cached(
        &self,
        template: &Template,
        planned: &PlannedSteps,
        from: Option<&NamedLayer>,
        most: usize,
    ) -> Cached {
        let mut cached = Cached::default();
        if let Some(from) = from {
            cached.steps = from.record.made.step;
            cached.record = Some((from.key, from.record.clone()));
        }
        for (provisioner, step) in template.provisioners.iter().zip(&planned.steps).skip(cached.steps) {
            if provisioner.skipped.is_some() {
                cached.steps += 1;
                continue;
            }
            if cached.steps >= most {
                cached.why = Some("as asked".to_owned());
                break;
            }
            cached.why = always_runs(provisioner).map(str::to_owned);
            if cached.why.is_some() {
                break;
            }
            let record = match self.find(step.key) {
                Found::Whole(record) => record,
                Found::Missing => break,
                Found::Damaged(why) => {
                    cached.damaged = Some(step.key);
                    cached.why = Some(format!("its layer is damaged: {why}"));
                    break;
                }
            };
            if let StepCache::For(age) = provisioner.cache
                && !record.younger_than(age.as_duration())
            {
                cached.why = Some(format!("its result is older than {age}"));
                break;
            }
            if !record.is_over(cached.record.as_ref().map(|(_, below)| below)) {
                cached.why = Some("the result below it was made anew".to_owned());
                break;
            }
            cached.record = Some((step.key, record));
            cached.steps += 1;
        }
        cached
    }
}

/// Says why a step runs in every build, where it does: it says so, or does something that no layer holds.
fn always_runs(provisioner: &Provisioner) -> Option<&'static str> {
    match (&provisioner.step, provisioner.cache) {
        (_, StepCache::Never) => Some("cache = false"),
        (Step::Breakpoint(_), _) => Some("a breakpoint stops every build"),
        (Step::Download(_), _) => Some("a download is made by every build"),
        _ => None,
    }
}

/// The layers of one build.
pub(crate) struct Layering<'a> {
    cache: LayerCache,
    template: &'a Template,
    planned: &'a PlannedSteps,
    folder: &'a BuildFolder,
    cached: Cached,
    /// What each disk stands on now.
    chains: Vec<DiskChain>,
    /// Layers that wait for the search for secrets.
    waiting: Vec<Taken>,
    /// Whether a step spoke of a sensitive variable.
    exposed: bool,
    /// Whether what comes next can be kept.
    keeps: bool,
    /// The last step to run, where the build stops before its end.
    until: Option<usize>,
    /// Held on the result that is being made.
    _making: Option<Lock>,
}

/// A layer whose overlays are whole.
struct Taken {
    key: Digest,
    made: Made,
    overlays: Vec<PathBuf>,
    /// The machine's own state as it was.
    state: Option<PathBuf>,
}

impl Kiln {
    /// Finds what is there for a build, and waits where another build is making what this one needs next.
    pub(crate) async fn layering<'a>(
        &self,
        begun: &'a Begun,
        request: &BuildRequest,
        until: Option<usize>,
        events: &Events,
    ) -> Result<Layering<'a>, Error> {
        let Begun { loaded, planned, folder, from, .. } = begun;
        let template = &loaded.template;
        let cache = self.layers();
        let most = request.reuse.most(template)?;
        let look = || cache.cached(template, planned, from.as_ref(), most);
        let keeps = keeps_layers(template);
        let mut cached = look();
        let mut making = None;
        while let (true, Some(next)) = (keeps, planned.steps.get(cached.steps)) {
            making = Some(self.lock(&format!("layer-{}", next.key.short()), events).await?);
            let again = look();
            let same = again.steps == cached.steps;
            cached = again;
            if same {
                break;
            }
        }
        if let (Some(key), Some(why)) = (cached.damaged, &cached.why) {
            events.warning(format!("a step runs again: {why}"));
            cache.drop_layer(key)?;
        }
        Ok(Layering {
            cache,
            template,
            planned,
            folder,
            cached,
            chains: Vec::new(),
            waiting: Vec::new(),
            exposed: false,
            keeps,
            until,
            _making: making,
        })
    }
}

impl Kiln {
    /// Returns the layers of this home.
    pub(crate) fn layers(&self) -> LayerCache {
        LayerCache::new(self.home.layers())
    }
}

/// Says whether the results of a template's steps can be kept.
fn keeps_layers(template: &Template) -> bool {
    match &template.communicator {
        Communicator::Agent => true,
        // What a TPM holds while it runs is not known outside of it.
        Communicator::Ssh(ssh) => ssh.setup != SshSetup::CloudInit && !template.machine.tpm,
    }
}

impl<'a> Layering<'a> {
    /// Says how many steps need not run.
    pub(crate) fn cached(&self) -> usize {
        let first = self.template.provisioners.iter().take(self.cached.steps);
        first.filter(|provisioner| provisioner.skipped.is_none()).count()
    }

    /// Returns the folder of the layer that the machine goes on from, and what lets Kiln into its guest.
    pub(crate) fn below(&self) -> Option<(PathBuf, Option<&Placed>)> {
        let (key, record) = self.cached.record.as_ref()?;
        Some((self.cache.place(*key), record.made.placed.as_ref()))
    }

    /// Puts a build's disks on the layers that are there.
    pub(crate) fn begin(&mut self, volumes: &mut [Volume]) -> Result<(), Error> {
        if let Some((_, record)) = &self.cached.record {
            self.cache.touch(record.layers());
        }
        for volume in volumes {
            let disks = self.cached.record.iter().flat_map(|(_, record)| &record.disks);
            let chain = disks.into_iter().find(|disk| disk.serial == volume.serial).cloned();
            let chain = chain.unwrap_or_else(|| DiskChain::blank(&volume.serial));
            volume.layers = self.cache.link(&chain, self.folder.path())?;
            self.chains.push(chain);
        }
        Ok(())
    }

    /// Returns the layers that each disk stands on, in the order of the disks.
    pub(crate) fn chains(self) -> Vec<DiskChain> {
        self.chains
    }

    /// Says that the search for secrets is over and found nothing.
    pub(crate) fn scanned(&mut self, events: &Events) {
        for taken in std::mem::take(&mut self.waiting) {
            if !self.publish(taken, events) {
                return;
            }
        }
    }

    /// Joins the layers with the machine whose disks they are.
    pub(crate) fn over<'l>(&'l mut self, machine: LayeredMachine<'l>) -> Layers<'l, 'a> {
        Layers { layering: self, machine, generation: 0 }
    }

    /// Publishes what a step wrote. A cache that takes nothing is no reason to give a build up.
    fn publish(&mut self, taken: Taken, events: &Events) -> bool {
        let disks = self.chains.iter().cloned().zip(taken.overlays).collect();
        match self.cache.publish(taken.key, taken.made, disks, taken.state.as_deref()) {
            Ok(chains) => {
                self.chains = chains;
                true
            }
            Err(error) => {
                events.warning(format!("the results of steps are not kept: {error}"));
                self.keeps = false;
                false
            }
        }
    }
}

/// The machine of a build with layers.
pub(crate) struct LayeredMachine<'a> {
    pub(crate) qemu: Qemu,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) base: Digest,
    pub(crate) inside: Inside<'a>,
}

/// How the guest is brought to rest.
pub(crate) enum Inside<'a> {
    /// The agent mounts and unmounts the image.
    Agent { appliance: Appliance, guest: &'a GuestConfig },
    /// The guest runs by itself.
    Ssh { state: &'a MachineState, placed: Option<Placed> },
}

/// The layers of a build whose machine runs.
pub(crate) struct Layers<'l, 'a> {
    layering: &'l mut Layering<'a>,
    machine: LayeredMachine<'l>,
    generation: usize,
}

impl Layers<'_, '_> {
    /// Says whether a step's result is there.
    pub(crate) fn holds(&self, index: usize) -> bool {
        index < self.layering.cached.steps
    }

    /// Says whether a step lies behind the one at which the build stops.
    pub(crate) fn stops_before(&self, index: usize) -> bool {
        self.layering.until.is_some_and(|last| index > last)
    }

    /// Returns the disks as they are now.
    pub(crate) fn volumes(self) -> Vec<Volume> {
        self.machine.volumes
    }

    /// Makes what a step wrote a layer.
    pub(crate) async fn after(
        &mut self,
        guest: &mut Guest,
        index: usize,
        outcome: Outcome,
        events: &Events,
    ) -> Result<(), Error> {
        let layering = &mut *self.layering;
        let steps = (layering.template.provisioners.get(index), layering.planned.steps.get(index));
        let (Some(provisioner), Some(step)) = steps else { return Ok(()) };
        // One more overlay takes what comes after the last layer.
        let room = self.machine.volumes.iter().all(|volume| volume.chain().len() + 1 < MOST_OVERLAYS);
        layering.keeps &= outcome == Outcome::Done && always_runs(provisioner).is_none() && room;
        if !layering.keeps {
            return Ok(());
        }
        layering.exposed |= names_a_secret(layering.template, provisioner);
        let made = Made {
            base: self.machine.base,
            template: layering.template.name.clone(),
            step: step.number,
            name: step.name.clone(),
            crash_consistent: false,
            placed: None,
        };
        let taken = self.take(guest, step.key, made).await?;
        if self.layering.exposed {
            self.layering.waiting.push(taken);
        } else {
            self.layering.publish(taken, events);
        }
        Ok(())
    }

    /// Brings the guest to rest, puts new overlays on the disks, and lets it go on.
    async fn take(&mut self, guest: &mut Guest, key: Digest, made: Made) -> Result<Taken, Error> {
        self.generation += 1;
        let Guest { running, session } = guest;
        match (&self.machine.inside, session) {
            (Inside::Agent { appliance, guest: config }, Session::Agent(session)) => {
                let quiet = bounded("closing the file systems", AGENT_WITHIN, session.finish(false));
                alive(running, quiet).await?;
                let overlays = add_overlays(
                    &mut self.machine.volumes,
                    &self.machine.qemu,
                    self.layering.folder,
                    running,
                    self.generation,
                )
                .await?;
                let prepared = prepare(session, appliance, self.layering.template, config);
                alive(running, bounded("preparing the guest's root", AGENT_WITHIN, prepared)).await?;
                Ok(Taken { key, made, overlays, state: None })
            }
            (Inside::Ssh { state, placed }, Session::Ssh(_)) => {
                let script = |placed: Option<&Placed>, script: fn(&Placed) -> String| {
                    placed.map(script).unwrap_or_default()
                };
                run_script(guest, &format!("{}sync", script(placed.as_ref(), Placed::hiding))).await?;
                let running = &guest.running;
                alive(running, running.pause()).await?;
                let overlays = add_overlays(
                    &mut self.machine.volumes,
                    &self.machine.qemu,
                    self.layering.folder,
                    running,
                    self.generation,
                )
                .await?;
                let kept = self.layering.folder.path().join(format!("state-{}", self.generation));
                fs_err::create_dir(&kept)?;
                state.keep(&kept)?;
                alive(running, running.resume()).await?;
                run_script(guest, &script(placed.as_ref(), Placed::showing)).await?;
                let made = Made { crash_consistent: true, placed: placed.clone(), ..made };
                Ok(Taken { key, made, overlays, state: Some(kept) })
            }
            _ => Err(Error::NoTerminal),
        }
    }
}

/// Puts new overlays on the disks of a guest that writes nothing, and returns those that are whole now.
async fn add_overlays(
    volumes: &mut [Volume],
    qemu: &Qemu,
    folder: &BuildFolder,
    running: &Running,
    generation: usize,
) -> Result<Vec<PathBuf>, Error> {
    let mut whole = Vec::with_capacity(volumes.len());
    for volume in volumes.iter_mut() {
        let next = folder.path().join(format!("{}-{generation}.qcow2", volume.serial));
        let old = std::mem::replace(&mut volume.overlay, next);
        volume.clear(qemu)?;
        volume.layers.push(old.clone());
        whole.push(old);
    }
    let overlays: Vec<_> = volumes.iter().map(|volume| volume.overlay.clone()).collect();
    alive(running, running.add_overlays(generation, &overlays)).await?;
    Ok(whole)
}

/// Says whether a step speaks of a sensitive variable, while its result is searched for secrets.
fn names_a_secret(template: &Template, provisioner: &Provisioner) -> bool {
    let mut sensitive = template.variables.iter().filter(|variable| variable.sensitive);
    template.sysprep.does(SysprepItem::SecretsScan)
        && sensitive.any(|variable| provisioner.variables.contains(&variable.name))
}
