//! The results of steps in a region, so that an empty machine begins with what another has made.
//!
//! ```text
//! cache/bases/<source key>/<n>.json    a base: what it holds, its snapshot in the region, what its machine kept
//! cache/layers/<key>/<n>.json          a layer: what it is the result of, its overlays and those it stands on
//! cache/files/<sha256>.zst             the overlays
//! ```
//! A layer stands on exactly the overlays that its record names: of two machines that made results of the same step, one
//! was first in the region, and the other's later layers stay at home. What comes out of a region is checked as any foreign
//! image is, and by its digests.

use crate::{
    Error, Events, Kiln,
    base::{BaseRecord, content_digest, put_in_place, source_key},
    cancel::CancelOnDrop,
    home::{BuildFolder, write_whole},
    layers::{DiskChain, Found, LayerCache, LayerRecord, Made, serials},
    machine_state::{MachineState, SavedState},
    plan::{PlannedSteps, canonical},
    request::TemplateRequest,
};
use kiln_qcow2::Chain;
use kiln_store::{Collect, Garbage, Put, SharedFolders, Versioned};
use kiln_template::Template;
use kiln_types::{Digest, SnapshotId, Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path, time::Duration};

const BASES: &str = "cache/bases";
const LAYERS: &str = "cache/layers";
const FILES: &str = "cache/files";

/// The format of both records.
const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SharedBase {
    format_version: u32,
    source: String,
    size: u64,
    grown: bool,
    content: Digest,
    snapshot: SnapshotId,
    state: SavedState,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SharedLayer {
    format_version: u32,
    #[serde(flatten)]
    made: Made,
    disks: Vec<SharedDisk>,
    state: SavedState,
}

/// The overlays of a disk, the lowest first; the last is the layer's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SharedDisk {
    serial: String,
    overlays: Vec<SharedOverlay>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SharedOverlay {
    layer: Digest,
    digest: Digest,
    size: u64,
}

/// What went from here to a region, or came from there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Travelled {
    /// The template, with the values of its matrix.
    pub template: String,
    /// Whether the base travelled.
    pub base: bool,
    /// The layers that travelled.
    pub layers: Vec<Digest>,
    /// Layers that were on the other side already.
    pub there: usize,
    /// Why what is left did not travel, where something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

impl Kiln {
    /// Puts the base of a template and the layers of its steps into the region.
    ///
    /// # Errors
    /// When the template is not valid, nothing of it was built here, or the region cannot be written.
    pub async fn push_cache(&self, request: &TemplateRequest, events: &Events) -> Result<Travelled, Error> {
        let loaded = request.load(Timestamp::now())?;
        let template = &loaded.template;
        let mut travelled = Travelled { template: template.label(), ..Travelled::default() };
        let origin = self.origin(template).await?;
        let key = source_key(&origin.template, self.lookups(false)).await?;
        if self.base_record(key).is_none() {
            return Err(Error::NothingToPush { template: template.label() });
        }
        let (cancel, folder) = (Self::cancel(), self.home.new_build()?);
        let _give_up = CancelOnDrop(cancel.clone());
        let base = self.base(template, &folder, false, events, &cancel).await?;
        let shared = SharedBase {
            format_version: FORMAT,
            source: base.record.source.clone(),
            size: base.record.size,
            grown: base.record.grown,
            content: base.record.content,
            snapshot: base.snapshot,
            state: SavedState::kept_in(base.folder())?,
        };
        travelled.base = self.publish_base(key, &shared).await?;
        let planned = PlannedSteps::over(base.record.content, template, &self.home.seal()?)?;
        let layers = self.layers();
        let mut last = None;
        for step in planned.steps.iter().filter(|step| last.replace(step.key) != Some(step.key)) {
            let Found::Whole(record) = layers.find(step.key) else { break };
            match self.push_layer(&layers, step.key, &record, events).await? {
                Pushed::Sent => travelled.layers.push(step.key),
                Pushed::There => travelled.there += 1,
                Pushed::Other => {
                    travelled.stopped =
                        Some(format!("the region has another result of step {}", step.number));
                    break;
                }
            }
        }
        Ok(travelled)
    }

    /// Makes a base the newest of its source in the region; says whether it was not.
    async fn publish_base(&self, key: Digest, base: &SharedBase) -> Result<bool, Error> {
        let versions = self.region.versions(BASES);
        let newest: Option<Versioned<SharedBase>> = versions.newest(&key.to_string()).await?;
        if newest.as_ref().is_some_and(|newest| newest.record.content == base.content) {
            return Ok(false);
        }
        let number = newest.map_or(1, |newest| newest.number.saturating_add(1));
        // Where another was faster, theirs is the newest.
        Ok(versions.put(&key.to_string(), number, base).await? == Put::Done)
    }

    async fn push_layer(
        &self,
        layers: &LayerCache,
        key: Digest,
        record: &LayerRecord,
        events: &Events,
    ) -> Result<Pushed, Error> {
        let mut disks = Vec::with_capacity(record.disks.len());
        for disk in &record.disks {
            disks.push(layers.shared(disk)?);
        }
        let versions = self.region.versions(LAYERS);
        let newest: Option<Versioned<SharedLayer>> = versions.newest(&key.to_string()).await?;
        if let Some(there) = newest {
            return Ok(if there.record.disks == disks { Pushed::There } else { Pushed::Other });
        }
        for disk in &disks {
            if let Some(own) = disk.overlays.last() {
                events.note(format!("step {}: sending its result", record.made.name));
                self.region.put_blob(FILES, own.digest, &layers.overlay(key, &disk.serial)).await?;
            }
        }
        let state = SavedState::kept_in(&layers.place(key))?;
        let shared = SharedLayer { format_version: FORMAT, made: record.made.clone(), disks, state };
        Ok(match versions.put(&key.to_string(), 1, &shared).await? {
            Put::Done => Pushed::Sent,
            Put::Taken => Pushed::Other,
        })
    }

    /// Fetches the base of a template and the layers of its steps from the region.
    ///
    /// # Errors
    /// When the template is not valid, or what the region holds is damaged.
    pub async fn pull_cache(&self, request: &TemplateRequest, events: &Events) -> Result<Travelled, Error> {
        let loaded = request.load(Timestamp::now())?;
        let template = &loaded.template;
        let mut travelled = Travelled { template: template.label(), ..Travelled::default() };
        let origin = self.origin(template).await?;
        let key = source_key(&origin.template, self.lookups(false)).await?;
        let folder = self.home.new_build()?;
        let Some((record, new)) = self.pull_base(key, &folder, events).await? else {
            travelled.stopped = Some("the region has no base of this source".to_owned());
            return Ok(travelled);
        };
        travelled.base = new;
        let planned = PlannedSteps::over(record.content, template, &self.home.seal()?)?;
        let layers = self.layers();
        let disk = self.home.bases().join(key.to_string()).join(&record.disk);
        let mut last = None;
        for step in planned.steps.iter().filter(|step| last.replace(step.key) != Some(step.key)) {
            let _making = self.lock(&format!("layer-{}", step.key.short()), events).await?;
            if matches!(layers.find(step.key), Found::Whole(_)) {
                travelled.there += 1;
                continue;
            }
            match self.pull_layer(&layers, template, step.key, &disk, &folder, events).await? {
                Pulled::Done => travelled.layers.push(step.key),
                Pulled::Missing => break,
                Pulled::Unfit => {
                    let why =
                        format!("the region's result of step {} stands on others than are here", step.number);
                    travelled.stopped = Some(why);
                    break;
                }
            }
        }
        Ok(travelled)
    }

    /// Deletes from the region what was pushed longer ago than `age`, and files that nothing needs.
    ///
    /// # Errors
    /// When the region cannot be read or written.
    pub(crate) async fn collect_cache(&self, age: Duration, collect: Collect) -> Result<Vec<Garbage>, Error> {
        let folders = SharedFolders { records: &[BASES, LAYERS], files: FILES };
        Ok(self.region.collect_shared(folders, age, collect, files_of).await?)
    }

    /// Returns the base that is here, or fetches the region's; says whether it was fetched.
    async fn pull_base(
        &self,
        key: Digest,
        folder: &BuildFolder,
        events: &Events,
    ) -> Result<Option<(BaseRecord, bool)>, Error> {
        let place = self.home.bases().join(key.to_string());
        let _making = self.lock(&format!("base-{key}"), events).await?;
        if let Some(record) = self.base_record(key) {
            return Ok(Some((record, false)));
        }
        let newest: Option<Versioned<SharedBase>> =
            self.region.versions(BASES).newest(&key.to_string()).await?;
        let Some(Versioned { record: shared, .. }) = newest else { return Ok(None) };
        let map = match self.region.block_map(shared.snapshot).await {
            Err(kiln_store::Error::SnapshotNotFound { .. }) => return Ok(None),
            map => map?,
        };
        if content_digest(&map) != shared.content || map.size().bytes() != shared.size {
            return Err(Error::SharedDamaged {
                what: format!("the base {key}"),
                why: "its snapshot is another".to_owned(),
            });
        }
        events.note(format!("fetching the base: {}", shared.source));
        let staged = folder.path().join("base.raw");
        self.write_volume(shared.snapshot, &staged, events).await?;
        fs_err::create_dir_all(&place)?;
        shared.state.unpack(&place)?;
        if shared.grown {
            fs_err::write(place.join(crate::base::GROWN), [])?;
        }
        let record = BaseRecord {
            source: shared.source,
            disk: crate::base::FIRST_DISK.to_owned(),
            size: shared.size,
            grown: shared.grown,
            content: shared.content,
            snapshots: BTreeMap::from([(self.region.name().clone(), shared.snapshot)]),
        };
        put_in_place(&staged, &place.join(&record.disk))?;
        write_whole(&place.join("base.json"), &canonical(&record)?)?;
        Ok(Some((record, true)))
    }

    async fn pull_layer(
        &self,
        layers: &LayerCache,
        template: &Template,
        key: Digest,
        base: &Path,
        folder: &BuildFolder,
        events: &Events,
    ) -> Result<Pulled, Error> {
        let newest: Option<Versioned<SharedLayer>> =
            self.region.versions(LAYERS).newest(&key.to_string()).await?;
        let Some(Versioned { record: shared, .. }) = newest else { return Ok(Pulled::Missing) };
        if shared.format_version != FORMAT {
            return Ok(Pulled::Missing);
        }
        // They become names of files.
        if !serials(template).eq(shared.disks.iter().map(|disk| disk.serial.as_str())) {
            return Ok(Pulled::Unfit);
        }
        let mut disks = Vec::with_capacity(shared.disks.len());
        for (number, disk) in shared.disks.iter().enumerate() {
            let Some((own, below)) = disk.overlays.split_last() else { return Ok(Pulled::Unfit) };
            let below_here = match below.last() {
                None => DiskChain::blank(&disk.serial),
                Some(last) => match layers.find(last.layer) {
                    Found::Whole(record) => {
                        match record.disks.into_iter().find(|d| d.serial == disk.serial) {
                            Some(chain) => chain,
                            None => return Ok(Pulled::Unfit),
                        }
                    }
                    Found::Missing | Found::Damaged(_) => return Ok(Pulled::Unfit),
                },
            };
            if layers.shared(&below_here)?.overlays != below || own.layer != key {
                return Ok(Pulled::Unfit);
            }
            events.note(format!("step {}: fetching its result", shared.made.name));
            let overlay = folder.path().join(format!("{}-{number}.qcow2", key.short()));
            if !self.region.get_blob(FILES, own.digest, own.size, &overlay).await? {
                return Ok(Pulled::Missing);
            }
            // It passes the gate that every overlay passes before QEMU is shown it.
            Chain::open(base, std::slice::from_ref(&overlay))?;
            disks.push((below_here, overlay));
        }
        let state = folder.path().join(format!("state-{}", key.short()));
        fs_err::create_dir(&state)?;
        shared.state.unpack(&state)?;
        let kept = MachineState::is_in(&state).then_some(state.as_path());
        layers.publish(key, shared.made, disks, kept)?;
        Ok(Pulled::Done)
    }
}

/// The files that a record of a base or a layer names.
fn files_of(record: &[u8]) -> Option<Vec<Digest>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Either {
        format_version: u32,
        #[serde(default)]
        disks: Vec<SharedDisk>,
    }
    let record: Either = serde_json::from_slice(record).ok()?;
    let own = record.disks.iter().filter_map(|disk| disk.overlays.last()).map(|overlay| overlay.digest);
    (record.format_version == FORMAT).then(|| own.collect())
}

enum Pushed {
    Sent,
    /// The same is there.
    There,
    /// Another machine's result of the step is there.
    Other,
}

enum Pulled {
    Done,
    Missing,
    /// It stands on other overlays than those that are here.
    Unfit,
}

impl LayerCache {
    /// Describes a disk's overlays for others.
    fn shared(&self, disk: &DiskChain) -> Result<SharedDisk, Error> {
        let mut overlays = Vec::with_capacity(disk.stamps.len());
        for stamp in &disk.stamps {
            let Found::Whole(record) = self.find(stamp.layer) else {
                return Err(Error::LayerChanged { key: stamp.layer });
            };
            let own = record.disks.iter().zip(&record.digests).find(|(other, _)| other.serial == disk.serial);
            let (_, digest) = own.ok_or(Error::LayerChanged { key: stamp.layer })?;
            let size = fs_err::metadata(self.overlay(stamp.layer, &disk.serial))?.len();
            overlays.push(SharedOverlay { layer: stamp.layer, digest: *digest, size });
        }
        Ok(SharedDisk { serial: disk.serial.clone(), overlays })
    }
}
