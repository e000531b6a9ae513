//! A build: from a template to a registered image and its exports.
//!
//! ```text
//! base ─▶ the same image is there? ──yes──▶ exports that are missing
//!            │ no
//!            ▼
//!         machine on an overlay ─▶ steps ─▶ shutdown ─▶ snapshot ─▶ tests ─▶ image ─▶ exports
//! ```
//! A failure or an interruption before `snapshot` leaves the home as it was, but for bases and downloads in the cache and
//! blocks in packs that no snapshot names. While the tests run the image is pending; tests that fail leave it failed, without its
//! name. After `image` it is whole; exports can be made again at any time.

use crate::{
    Error, Events, GuestConfig, Kiln, OnError, Phase, Terminal,
    base::{Base, stored},
    begun::Begun,
    block_maps::MappedChain,
    bundled::Bundling,
    plan::PlannedSteps,
    request::{Loaded, TemplateRequest},
    reuse::Reuse,
    source::{carried, lineage},
    steps::Finished,
    test_results::{TestResult, Tested},
};
use kiln_catalog::{BootMode, Image, ImageKiln, ImageQuery, NewImage, NewMapping, Owner, Tag, TpmSupport};
use kiln_store::NewSnapshot;
use kiln_template::{Firmware, StepCache, Template};
use kiln_types::{Digest, ImageId, ImageName, SnapshotId, Timestamp};
use serde::Serialize;
use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// What is to be built.
#[derive(Clone)]
pub struct BuildRequest {
    /// The template and its values.
    pub template: TemplateRequest,
    /// Whether to build although an image of the same inputs exists.
    pub new: bool,
    /// Whether the new image takes its name from the image that holds it.
    pub replace: bool,
    /// How much of the cache it may use.
    pub reuse: Reuse,
    /// Whether to boot the appliance although the state of a booted one may be there.
    pub cold: bool,
    /// What becomes of the machine when a step fails.
    pub on_error: OnError,
    /// What the host gives to guests.
    pub guest: GuestConfig,
    /// Where a person sits, if one does.
    pub terminal: Option<Arc<dyn Terminal>>,
}

impl fmt::Debug for BuildRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildRequest").field("template", &self.template).finish_non_exhaustive()
    }
}

/// What a build made.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Built {
    /// The image's name.
    pub name: ImageName,
    /// The image.
    pub image_id: ImageId,
    /// Its snapshots, the root's first.
    pub snapshot_ids: Vec<SnapshotId>,
    /// The files that were made.
    pub exports: Vec<Exported>,
    /// The tests that ran.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<TestResult>,
    /// Steps that ran.
    pub steps_run: usize,
    /// Steps whose result was there already.
    pub steps_cached: usize,
    /// Whether the image was there already.
    pub unchanged: bool,
    /// How long it took.
    pub seconds: f64,
}

/// A disk file that was made.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Exported {
    /// Where it lies.
    pub path: PathBuf,
    /// Its format.
    pub format: String,
    /// Its digest, where it was wanted.
    pub sha256: Option<Digest>,
    /// Its size in bytes.
    pub size: u64,
}

impl Kiln {
    /// Builds a template's image, or finds that it is there.
    ///
    /// Dropping the future gives the build up: its machine dies, and its folder goes away.
    ///
    /// # Errors
    /// When the template is not valid, the host lacks something, or a phase fails.
    pub async fn build(&self, request: &BuildRequest, events: &Events) -> Result<Built, Error> {
        let started = Instant::now();
        let begun = self.begin(request, events).await?;
        let Begun { loaded, base, planned, .. } = &begun;
        // Of two builds of the same, the second finds the first one's image.
        let _building = self.lock(&format!("image-{}", planned.image_key.short()), events).await?;
        self.fail_abandoned(planned.image_key).await?;
        if !request.new
            && request.reuse.takes_an_image()
            && let Some((image, loaded)) = self.unchanged(&request.template, planned).await?
        {
            events.note(format!("{} {} has the same inputs", image.image_id, image.name));
            let tested = self.test_again(&image, &loaded, request, events).await?;
            return self.finish(&image, &loaded, None, tested, started, events).await;
        }
        self.check_name(&loaded.template.image.name, request.replace).await?;
        // Before anything runs: a key may be no key.
        let bundling = Bundling::of(loaded)?;
        let finished = self.run_steps(&begun, request, None, events).await;
        let finished = self.or_keep(finished, &begun, request, events)?;
        let mut mappings = self.snapshots(&finished, loaded, events).await?;
        if let Some(image) = &base.image {
            mappings.extend(carried(image, &mappings));
        }
        let ran = Some((finished.ran, finished.cached));
        let new = self.record(base, finished, mappings, loaded, planned);
        let (image, tested) = self.register_tested(new, bundling, loaded, request, events).await?;
        self.finish(&image, loaded, ran, tested, started, events).await
    }

    /// Finds the image that was built from the same inputs, and reads the template as of its build: then
    /// `${build.timestamp}` gives the same name and the same paths.
    pub(crate) async fn unchanged(
        &self,
        request: &TemplateRequest,
        planned: &PlannedSteps,
    ) -> Result<Option<(Image, Loaded)>, Error> {
        let query = ImageQuery { owners: vec![Owner::OneSelf], ..ImageQuery::default() };
        let images = self.catalog.describe(&query).await?;
        let same = |image: &&Image| {
            image.state.as_str() == "available" && image.kiln.template_digest == Some(planned.image_key)
        };
        for image in images.iter().rev().filter(same) {
            let Some(built_at) = image.kiln.build_timestamp else { continue };
            let loaded = request.load(built_at)?;
            if loaded.template.image.name == image.name && still_stands(&loaded.template, image) {
                return Ok(Some((image.clone(), loaded)));
            }
        }
        Ok(None)
    }

    /// Finds out before a machine is started that the name is taken.
    pub(crate) async fn check_name(&self, name: &ImageName, replace: bool) -> Result<(), Error> {
        match self.catalog.find(name.as_str()).await {
            Ok(holder) if !replace => Err(Error::NameTaken { name: name.clone(), holder: holder.image_id }),
            Ok(_) | Err(kiln_catalog::Error::NameNotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores what the steps changed on each disk.
    async fn snapshots(
        &self,
        finished: &Finished,
        loaded: &Loaded,
        events: &Events,
    ) -> Result<Vec<NewMapping>, Error> {
        let mut mappings = Vec::new();
        let layers = self.layers();
        for (volume, chain) in finished.volumes.iter().zip(&finished.chains) {
            let phase = events.begin(Phase::Snapshot);
            let what = if volume.parent.is_some() { "root" } else { volume.serial.as_str() };
            let new = NewSnapshot {
                source: Box::new(MappedChain::open(volume, chain, &layers)?),
                parent: volume.parent,
                owner: self.catalog.viewer().account,
                description: format!("{}: {what} of {}", loaded.template.name, loaded.template.image.name),
                tags: tags(loaded),
            };
            let snapshot = self.store(new, events).await?;
            let map = self.region.block_map(snapshot.snapshot_id).await?;
            if let Err(error) = layers.note_blocks(volume, chain, &map) {
                events.warning(format!("the next snapshot reads all of this one again: {error}"));
            }
            phase.done(stored(&snapshot));
            mappings.push(NewMapping::from_snapshot(volume.device_name.clone(), snapshot.snapshot_id));
        }
        Ok(mappings)
    }

    /// Puts together what is to be registered.
    fn record(
        &self,
        base: &Base,
        finished: Finished,
        mappings: Vec<NewMapping>,
        loaded: &Loaded,
        planned: &PlannedSteps,
    ) -> NewImage {
        let template = &loaded.template;
        let steps = planned.steps.iter().map(|step| step.key);
        let kiln = ImageKiln {
            template: Some(template.name.clone()),
            template_digest: Some(planned.image_key),
            build_timestamp: Some(loaded.now),
            base: Some(base.record.source.clone()),
            lineage: base.image.as_ref().map(lineage).unwrap_or_default(),
            layers: std::iter::once(base.record.content).chain(steps).collect(),
            uefi_data: finished.state.uefi_data,
            tpm_data: finished.state.tpm_data,
            ..ImageKiln::default()
        };
        NewImage {
            name: template.image.name.clone(),
            description: template.image.description.clone(),
            owner: self.catalog.viewer().account,
            architecture: template.machine.architecture,
            root_device_name: template.image.root_device_name.clone(),
            mappings,
            boot_mode: match template.machine.firmware {
                Firmware::Bios => None,
                Firmware::Uefi | Firmware::UefiSecure => Some(BootMode::Uefi),
            },
            tpm_support: template.machine.tpm.then_some(TpmSupport::V2_0),
            tags: tags(loaded),
            kiln,
        }
    }

    pub(crate) async fn register(
        &self,
        new: NewImage,
        replace: bool,
        events: &Events,
    ) -> Result<Image, Error> {
        let phase = events.begin(Phase::Register);
        let image = self.catalog.register(new, replace).await?;
        phase.done(format!("{} {}", image.image_id, image.name));
        Ok(image)
    }

    /// Makes the exports. `steps`, run and cached, is nothing where the image was there already: exports that exist then stay.
    async fn finish(
        &self,
        image: &Image,
        loaded: &Loaded,
        steps: Option<(usize, usize)>,
        tested: Option<Tested>,
        started: Instant,
        events: &Events,
    ) -> Result<Built, Error> {
        let snapshot = crate::kiln::root_of(image).ok_or(Error::NoRootSnapshot { image: image.image_id })?;
        let unchanged = steps.is_none();
        let mut exports = Vec::new();
        for export in &loaded.template.exports {
            exports.push(self.export_of(snapshot, image, export, unchanged, events).await?);
        }
        Ok(Built {
            name: image.name.clone(),
            image_id: image.image_id,
            snapshot_ids: crate::kiln::snapshots_of(image),
            exports,
            tests: tested.map(|tested| tested.tests).unwrap_or_default(),
            steps_run: steps.map_or(0, |(run, _)| run),
            steps_cached: steps.map_or(loaded.template.provisioners.len(), |(_, cached)| cached),
            unchanged,
            seconds: started.elapsed().as_secs_f64(),
        })
    }
}

fn tags(loaded: &Loaded) -> Vec<Tag> {
    let tags = loaded.template.image.tags.iter();
    tags.map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
}

/// Says whether an image stands for running its steps: not where one is to run in every build, or was to run again by now.
fn still_stands(template: &Template, image: &Image) -> bool {
    let age = Timestamp::now().unix().saturating_sub(image.creation_date.unix());
    let age = Duration::from_secs(u64::try_from(age).unwrap_or_default());
    template.provisioners.iter().filter(|provisioner| provisioner.skipped.is_none()).all(|provisioner| {
        match provisioner.cache {
            StepCache::Kept => true,
            StepCache::Never => false,
            StepCache::For(span) => age < span.as_duration(),
        }
    })
}
