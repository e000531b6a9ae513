//! The base: a source's disk in the cache, and the snapshot of it in the region.
//!
//! ```text
//! cache/bases/<key>/disk.raw     sparse, read-only; disk-<time>.raw where it was made anew
//! cache/bases/<key>/grown        there if the last partition was made larger
//! cache/bases/<key>/base.json    written last: without it the folder is no base
//! ```

use crate::{
    Error, Kiln, Phase, cache,
    cancel::Cancel,
    events::Events,
    home::{BuildFolder, write_whole},
    key::KeyMaker,
    source::{self, Lookups, Origin, Workshop},
};
use kiln_catalog::Image;
use kiln_qcow2::RawDisk;
use kiln_store::{BlockContent, BlockMap, NewSnapshot};
use kiln_template::{Source, Template};
use kiln_types::{ByteSize, Digest, RegionName, SnapshotId, Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Notes beside a disk that its last partition was made larger, and the file system in it was not yet.
pub(crate) const GROWN: &str = "grown";

/// The disk of a base that was made once.
pub(crate) const FIRST_DISK: &str = "disk.raw";

/// A base disk and its snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    /// The raw disk; never written to.
    pub(crate) disk: PathBuf,
    pub(crate) record: BaseRecord,
    /// The snapshot of it in the region of the build.
    pub(crate) snapshot: SnapshotId,
    /// The image whose root volume it is, if it is one's.
    pub(crate) image: Option<Image>,
}

/// What is kept beside a base disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BaseRecord {
    /// The source for people.
    pub(crate) source: String,
    /// The disk's file.
    pub(crate) disk: String,
    /// The disk's exact size in bytes.
    pub(crate) size: u64,
    /// Whether its last partition was made larger: its file system grows when it is first mounted.
    #[serde(default)]
    pub(crate) grown: bool,
    /// What the disk holds: the parent of every step's key.
    pub(crate) content: Digest,
    /// The snapshots of the disk, one a region.
    pub(crate) snapshots: BTreeMap<RegionName, SnapshotId>,
}

impl BaseRecord {
    /// Reads the record in a base's folder, where there is one.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs_err::read(folder.join("base.json")).ok()?).ok()
    }

    /// Returns the disk where it is as long as it was; a shorter one lost its end.
    pub(crate) fn disk_in(&self, folder: &Path) -> Option<PathBuf> {
        let disk = folder.join(&self.disk);
        fs_err::metadata(&disk).is_ok_and(|found| found.len() == self.size).then_some(disk)
    }
}

impl Base {
    /// Returns its folder in the cache.
    pub(crate) fn folder(&self) -> &Path {
        self.disk.parent().unwrap_or(Path::new("/"))
    }
}

impl Kiln {
    /// Returns the base of a source if it is there: the disk, its record, and the snapshot.
    pub(crate) async fn cached_base(&self, key: Digest) -> Result<Option<Base>, Error> {
        let folder = self.home.bases().join(key.to_string());
        let Some(record) = BaseRecord::read(&folder) else { return Ok(None) };
        let snapshot = record.snapshots.get(self.region.name()).copied();
        let (Some(disk), Some(snapshot)) = (record.disk_in(&folder), snapshot) else { return Ok(None) };
        if self.region.snapshot(snapshot).await.is_err() {
            return Ok(None);
        }
        cache::touch(&folder);
        Ok(Some(Base { disk, record, snapshot, image: None }))
    }

    /// Returns the record of a base whose disk is here, whether there is a snapshot of it in this region or not.
    pub(crate) fn base_record(&self, key: Digest) -> Option<BaseRecord> {
        let folder = self.home.bases().join(key.to_string());
        BaseRecord::read(&folder).filter(|record| record.disk_in(&folder).is_some())
    }

    /// Looks up what only the network knows.
    pub(crate) fn lookups(&self, offline: bool) -> Lookups {
        Lookups::new(&self.home, offline)
    }

    /// Returns the base of a template, making what is not there.
    pub(crate) async fn base(
        &self,
        template: &Template,
        folder: &BuildFolder,
        refresh: bool,
        events: &Events,
        cancel: &Cancel,
    ) -> Result<Base, Error> {
        let origin = self.origin(template).await?;
        let refresh = refresh && source::is_unpinned(&template.source);
        let base = self.settled_base(&origin, folder, refresh, events, cancel).await?;
        Ok(Base { image: origin.image, ..base })
    }

    async fn settled_base(
        &self,
        origin: &Origin<'_>,
        folder: &BuildFolder,
        refresh: bool,
        events: &Events,
        cancel: &Cancel,
    ) -> Result<Base, Error> {
        let template = origin.template.as_ref();
        let label = source::describe(&template.source);
        let phase = events.begin(Phase::Base { source: label.clone() });
        let key = source_key(template, self.lookups(false)).await?;
        if let (false, Some(base)) = (refresh, self.cached_base(key).await?) {
            phase.cached(format!("{}", ByteSize::from_bytes(base.record.size)));
            return Ok(base);
        }
        // Two builds of one source: one makes the base, the other waits and finds it.
        let _making = self.lock(&format!("base-{key}"), events).await?;
        if let (false, Some(base)) = (refresh, self.cached_base(key).await?) {
            phase.cached("made by another build");
            return Ok(base);
        }
        let place = self.home.bases().join(key.to_string());
        fs_err::create_dir_all(&place)?;
        let before = BaseRecord::read(&place);
        // A disk that is there may only have no snapshot in this region yet.
        let kept = before.as_ref().filter(|_| !refresh).and_then(|record| record.disk_in(&place));
        let disk = match kept {
            Some(disk) => disk,
            None => self.new_disk(origin, &place, before.is_some(), folder, events, cancel).await?,
        };
        phase.done(allocated(&disk)?);
        let grown = place.join(GROWN).exists();
        let mut base = match origin.image.as_ref().and_then(crate::kiln::root_of) {
            Some(snapshot) => self.base_of(label, disk, grown, snapshot).await?,
            None => self.snapshot_base(label, disk, grown, events).await?,
        };
        if let Some(before) = before.as_ref().filter(|before| before.disk == base.record.disk) {
            for (region, snapshot) in &before.snapshots {
                base.record.snapshots.entry(region.clone()).or_insert(*snapshot);
            }
        }
        let bytes = serde_json::to_vec(&base.record).map_err(Error::Canonical)?;
        write_whole(&place.join("base.json"), &bytes)?;
        keep_disks(&place, &[Some(base.record.disk.clone()), before.map(|record| record.disk)])?;
        Ok(base)
    }

    /// Makes a base's disk, and returns where it lies: beside an earlier one, which builds may be reading.
    async fn new_disk(
        &self,
        origin: &Origin<'_>,
        place: &Path,
        again: bool,
        folder: &BuildFolder,
        events: &Events,
        cancel: &Cancel,
    ) -> Result<PathBuf, Error> {
        let disk = match again {
            true => place.join(format!("disk-{}.raw", Timestamp::now().compact())),
            false => place.join(FIRST_DISK),
        };
        // A disk without a record was whole when its build was killed.
        if disk.exists() {
            return Ok(disk);
        }
        match (&origin.template.source, &origin.image) {
            (_, Some(image)) => self.take_volume(image, &disk, folder, events).await?,
            (Source::Iso(iso), None) => {
                self.install(&origin.template, iso, &disk, folder, events, cancel).await?;
            }
            (_, None) => self.make_disk(&origin.template, &disk, folder, events, cancel).await?,
        }
        Ok(disk)
    }

    /// Makes the disk in the build's folder, and moves it into the cache when it is whole.
    async fn make_disk(
        &self,
        template: &Template,
        disk: &Path,
        folder: &BuildFolder,
        events: &Events,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let (home, events, cancel) = (self.home.clone(), events.clone(), cancel.clone());
        let (template, folder, disk) = (template.clone(), folder.path().to_owned(), disk.to_owned());
        let work = move || {
            let staged = folder.join("base.raw");
            let workshop = Workshop { home: &home, folder: &folder, events: &events, cancel: &cancel };
            if source::make(&template, &staged, &workshop)? {
                fs_err::write(disk.with_file_name(GROWN), [])?;
            }
            put_in_place(&staged, &disk)
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::Task)?
    }

    async fn snapshot_base(
        &self,
        label: String,
        disk: PathBuf,
        grown: bool,
        events: &Events,
    ) -> Result<Base, Error> {
        let phase = events.begin(Phase::BaseSnapshot);
        let source = RawDisk::open(&disk)?;
        let new = NewSnapshot {
            source: Box::new(source),
            parent: None,
            owner: self.region.owner(),
            description: format!("base: {label}"),
            tags: Vec::new(),
        };
        let snapshot = self.store(new, events).await?;
        let base = self.base_of(label, disk, grown, snapshot.snapshot_id).await?;
        phase.done(stored(&snapshot));
        Ok(base)
    }

    /// Describes a disk by the snapshot of it.
    async fn base_of(
        &self,
        source: String,
        disk: PathBuf,
        grown: bool,
        snapshot: SnapshotId,
    ) -> Result<Base, Error> {
        let map = self.region.block_map(snapshot).await?;
        let (size, content) = (map.size().bytes(), content_digest(&map));
        let name = disk.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let snapshots = BTreeMap::from([(self.region.name().clone(), snapshot)]);
        let record = BaseRecord { source, disk: name, size, grown, content, snapshots };
        Ok(Base { disk, record, snapshot, image: None })
    }
}

/// Removes what is left of earlier disks. A build may still be about to open the one before.
fn keep_disks(place: &Path, keep: &[Option<String>]) -> Result<(), Error> {
    for entry in fs_err::read_dir(place)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("disk") && !keep.contains(&Some(name)) {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Moves a whole disk to where bases lie; nobody writes to it any more.
pub(crate) fn put_in_place(staged: &Path, disk: &Path) -> Result<(), Error> {
    fs_err::File::open(staged)?.sync_all()?;
    fs_err::set_permissions(staged, std::fs::Permissions::from_mode(0o444))?;
    Ok(fs_err::rename(staged, disk)?)
}

/// Computes what a template's base depends on, on a thread that may wait for the network.
pub(crate) async fn source_key(template: &Template, lookups: Lookups) -> Result<Digest, Error> {
    let template = template.clone();
    tokio::task::spawn_blocking(move || source::key(&template, &lookups)).await.map_err(Error::Task)?
}

/// Says what a snapshot added to the region.
pub(crate) fn stored(snapshot: &kiln_store::Snapshot) -> String {
    let bytes = ByteSize::from_bytes(snapshot.kiln.stored_bytes).approximate();
    format!("{}, {} changed blocks, {bytes} stored", snapshot.snapshot_id, snapshot.kiln.changed_blocks)
}

/// Says how much of a sparse disk is data.
fn allocated(disk: &Path) -> Result<String, Error> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs_err::metadata(disk)?;
    let data = ByteSize::from_bytes(metadata.blocks() * 512).approximate();
    Ok(format!("{data} in a disk of {}", ByteSize::from_bytes(metadata.len())))
}

/// Digests what a volume holds, whoever wrote it.
pub(crate) fn content_digest(map: &BlockMap) -> Digest {
    let mut maker = KeyMaker::new("content");
    maker.part("size", &map.size().bytes().to_le_bytes());
    for entry in map.entries() {
        if let BlockContent::Data(frame) = entry.content {
            maker.part("index", &entry.index.0.to_le_bytes());
            maker.part("digest", frame.digest.as_bytes());
        }
    }
    maker.finish()
}
