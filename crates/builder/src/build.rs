//! A build: from a template to a registered image and its exports.
//!
//! ```text
//! base ─▶ the same image is there? ──yes──▶ exports that are missing
//!            │ no
//!            ▼
//!         machine on an overlay ─▶ steps ─▶ shutdown ─▶ snapshot ─▶ image ─▶ exports
//! ```
//! A failure or an interruption before `image` leaves the home as it was, but for bases and downloads in the cache and
//! blocks in packs that no snapshot names. After it the image is whole; exports can be made again at any time.

use crate::{
    Error, Events, Kiln, Phase,
    base::{Base, stored},
    cancel::CancelOnDrop,
    events::Event,
    plan::PlannedSteps,
    request::{Loaded, TemplateRequest},
    steps::Finished,
};
use kiln_catalog::{Image, ImageKiln, NewImage, NewMapping, Tag};
use kiln_qcow2::Chain;
use kiln_store::NewSnapshot;
use kiln_types::{Digest, ImageId, ImageName, SnapshotId, Timestamp};
use serde::Serialize;
use std::{path::PathBuf, time::Instant};

/// What is to be built.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The template and its values.
    pub template: TemplateRequest,
    /// Whether to build although an image of the same inputs exists.
    pub new: bool,
    /// Whether the new image takes its name from the image that holds it.
    pub replace: bool,
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
    /// Its digest.
    pub sha256: Digest,
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
        let loaded = request.template.load(Timestamp::now())?;
        events.emit(Event::BuildStarted { template: loaded.template.name.clone() });
        self.check_host()?;
        let cancel = Self::cancel();
        let _give_up = CancelOnDrop(cancel.clone());
        let folder = self.home.new_build()?;
        let base = self.base(&loaded.template.source, &folder, events, &cancel).await?;
        let planned = PlannedSteps::over(base.record.content, &loaded.template)?;
        if !request.new
            && let Some((image, loaded)) = self.unchanged(&request.template, &planned).await?
        {
            events.note(format!("{} {} has the same inputs", image.image_id, image.name));
            return self.finish(&image, &loaded, None, started, events).await;
        }
        self.check_name(&loaded, request.replace).await?;
        let finished = self.run_steps(&base, &loaded, &folder, events).await?;
        let snapshot = self.snapshot(&base, &finished, &loaded, events).await?;
        let image = self.register(&base, snapshot, &loaded, &planned, request.replace, events).await?;
        let steps = loaded.template.provisioners.len();
        self.finish(&image, &loaded, Some(steps), started, events).await
    }

    /// Finds the image that was built from the same inputs, and reads the template as of its build: then
    /// `${build.timestamp}` gives the same name and the same paths.
    pub(crate) async fn unchanged(
        &self,
        request: &TemplateRequest,
        planned: &PlannedSteps,
    ) -> Result<Option<(Image, Loaded)>, Error> {
        let images = self.catalog.describe(&kiln_catalog::ImageQuery::default()).await?;
        let same = |image: &&Image| {
            image.state.as_str() == "available" && image.kiln.template_digest == Some(planned.image_key)
        };
        for image in images.iter().rev().filter(same) {
            let Some(built_at) = image.kiln.build_timestamp else { continue };
            let loaded = request.load(built_at)?;
            if loaded.template.image.name == image.name {
                return Ok(Some((image.clone(), loaded)));
            }
        }
        Ok(None)
    }

    /// Finds out before a machine is started that the name is taken.
    async fn check_name(&self, loaded: &Loaded, replace: bool) -> Result<(), Error> {
        let name = &loaded.template.image.name;
        match self.catalog.find(name.as_str()).await {
            Ok(holder) if !replace => Err(Error::NameTaken { name: name.clone(), holder: holder.image_id }),
            Ok(_) | Err(kiln_catalog::Error::NameNotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn snapshot(
        &self,
        base: &Base,
        finished: &Finished,
        loaded: &Loaded,
        events: &Events,
    ) -> Result<SnapshotId, Error> {
        let phase = events.begin(Phase::Snapshot);
        let new = NewSnapshot {
            source: Box::new(Chain::open(&base.disk, std::slice::from_ref(&finished.overlay))?),
            parent: Some(base.record.snapshot),
            owner: self.region.owner(),
            description: format!("{}: root of {}", loaded.template.name, loaded.template.image.name),
            tags: tags(loaded),
        };
        let snapshot = self.store(new, events).await?;
        phase.done(stored(&snapshot));
        Ok(snapshot.snapshot_id)
    }

    async fn register(
        &self,
        base: &Base,
        snapshot: SnapshotId,
        loaded: &Loaded,
        planned: &PlannedSteps,
        replace: bool,
        events: &Events,
    ) -> Result<Image, Error> {
        let phase = events.begin(Phase::Register);
        let template = &loaded.template;
        let steps = planned.steps.iter().map(|step| step.key);
        let kiln = ImageKiln {
            template: Some(template.name.clone()),
            template_digest: Some(planned.image_key),
            build_timestamp: Some(loaded.now),
            base: Some(base.record.source.clone()),
            lineage: Vec::new(),
            layers: std::iter::once(base.record.content).chain(steps).collect(),
            ..ImageKiln::default()
        };
        let root = template.image.root_device_name.clone();
        let new = NewImage {
            name: template.image.name.clone(),
            description: template.image.description.clone(),
            owner: self.region.owner(),
            architecture: template.machine.architecture,
            root_device_name: root.clone(),
            mappings: vec![NewMapping::from_snapshot(root, snapshot)],
            boot_mode: None,
            tpm_support: None,
            tags: tags(loaded),
            kiln,
        };
        let image = self.catalog.register(new, replace).await?;
        phase.done(format!("{} {}", image.image_id, image.name));
        Ok(image)
    }

    /// Makes the exports. `steps_run` is nothing where the image was there already: exports that exist then stay.
    async fn finish(
        &self,
        image: &Image,
        loaded: &Loaded,
        steps_run: Option<usize>,
        started: Instant,
        events: &Events,
    ) -> Result<Built, Error> {
        let snapshot = crate::kiln::root_of(image).ok_or(Error::NoRootSnapshot { image: image.image_id })?;
        let unchanged = steps_run.is_none();
        let mut exports = Vec::new();
        for export in &loaded.template.exports {
            exports.push(self.export_of(snapshot, export, unchanged, events).await?);
        }
        Ok(Built {
            name: image.name.clone(),
            image_id: image.image_id,
            snapshot_ids: vec![snapshot],
            exports,
            steps_run: steps_run.unwrap_or_default(),
            steps_cached: if unchanged { loaded.template.provisioners.len() } else { 0 },
            unchanged,
            seconds: started.elapsed().as_secs_f64(),
        })
    }
}

fn tags(loaded: &Loaded) -> Vec<Tag> {
    let tags = loaded.template.image.tags.iter();
    tags.map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
}
