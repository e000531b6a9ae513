//! What of a region no record names.

use crate::{BlockMap, Error, PackId, Region, Snapshot, SnapshotState, pack, snapshot};
use futures::{StreamExt, TryStreamExt, stream};
use kiln_types::SnapshotId;
use object_store::ObjectMeta;
use std::collections::{BTreeMap, HashSet};

/// Maps that are read at the same time.
const READS_AT_ONCE: usize = 4;

/// What no record names.
#[derive(Default)]
pub(crate) struct Found {
    /// Packs, maps without a record and maps that were replaced, by path.
    pub(crate) objects: BTreeMap<String, ObjectMeta>,
    /// All objects of deleted snapshots, of each the record that says so last.
    pub(crate) graves: Vec<Vec<ObjectMeta>>,
}

impl Region {
    /// Finds what no record names. Records are listed after packs: one that is published meanwhile is seen.
    pub(crate) async fn garbage(&self, progress: impl FnMut(u64, u64) + Send) -> Result<Found, Error> {
        let packs = self.list_objects(pack::FOLDER).await?;
        let objects = self.list_objects(snapshot::FOLDER).await?;
        let records = self.versions(snapshot::FOLDER).all::<Snapshot>().await?;
        let records = records.into_iter().map(|(_, version)| (version.record.snapshot_id, version.record));
        let records: BTreeMap<SnapshotId, Snapshot> = records.collect();
        let live = self.named_packs(&records, progress).await?;
        let mut found = Found::default();
        for meta in packs {
            let id = PackId::from_path(meta.location.as_ref());
            if id.is_some_and(|id| !live.contains(&id)) {
                found.objects.insert(meta.location.to_string(), meta);
            }
        }
        let mut folders = BTreeMap::<SnapshotId, Vec<ObjectMeta>>::new();
        for meta in objects {
            let name = meta.location.as_ref().split('/').nth(1);
            if let Some(id) = name.and_then(|name| name.parse().ok()) {
                folders.entry(id).or_default().push(meta);
            }
        }
        for (id, objects) in folders {
            found.of_snapshot(records.get(&id), objects);
        }
        Ok(found)
    }

    async fn named_packs(
        &self,
        records: &BTreeMap<SnapshotId, Snapshot>,
        mut progress: impl FnMut(u64, u64) + Send,
    ) -> Result<HashSet<PackId>, Error> {
        let named = records.values().filter(|record| record.state != SnapshotState::Deleted);
        let named: Vec<_> = named.collect();
        let (mut done, total) = (0, named.len() as u64);
        let reads = named.into_iter().map(|record| self.packs_of(record));
        let mut reads = stream::iter(reads).buffered(READS_AT_ONCE);
        let mut live = HashSet::new();
        while let Some(packs) = reads.try_next().await? {
            live.extend(packs);
            done += 1;
            progress(done, total);
        }
        Ok(live)
    }

    async fn packs_of(&self, record: &Snapshot) -> Result<HashSet<PackId>, Error> {
        let path = record.map_path();
        match self.read_object(&path).await? {
            Some(bytes) => BlockMap::packs(&path, &bytes),
            // Its map is in quarantine.
            None if matches!(record.state, SnapshotState::Error { .. }) => Ok(HashSet::new()),
            None => Err(Error::Damaged { path, what: "it is missing".to_owned() }),
        }
    }
}

impl Found {
    /// Looks at the objects of one snapshot, ascending by path.
    fn of_snapshot(&mut self, record: Option<&Snapshot>, mut objects: Vec<ObjectMeta>) {
        let is_record = |meta: &ObjectMeta| meta.location.as_ref().ends_with(".json");
        match record {
            Some(record) if record.state == SnapshotState::Deleted => {
                // The record that says so goes last.
                objects.sort_by_key(is_record);
                self.graves.push(objects);
                return;
            }
            Some(record) => {
                let map = record.map_path();
                objects.retain(|meta| !is_record(meta) && meta.location.as_ref() != map);
            }
            None => {}
        }
        self.objects.extend(objects.into_iter().map(|meta| (meta.location.to_string(), meta)));
    }
}
