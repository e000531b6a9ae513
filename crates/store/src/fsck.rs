//! The check of a whole region: every pack, every block, every map, every record.
//!
//! ```text
//! packs ─ index ─ every frame decoded and hashed ─┐
//! records ─ map ─ every block's frame ────────────┴─▶ problems ─ repair ─▶ quarantine/<path>, snapshots in state `error`
//! ```
//! A repair takes nothing away that may still be of use. A record or map that cannot be read is moved to `quarantine/`. A pack
//! with damage stays where it is, for the blocks of it that are whole, and a note in `quarantine/` says that it lends no
//! blocks to new snapshots. A snapshot that is not whole goes into state `error`, so that nothing is made from it unawares.

use crate::{
    BlockMap, Error, FrameRef, PackId, Progress, Put, Region, Snapshot, SnapshotState, check::damaged_blocks,
    gc, objects::object_error, pack, snapshot,
};
use futures::{StreamExt, stream};
use kiln_types::SnapshotId;
use object_store::ObjectStoreExt;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The folder of what a repair took aside.
pub(crate) const QUARANTINE: &str = "quarantine";

/// Indexes that are read at the same time.
const READS_AT_ONCE: usize = 16;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Checked {
    /// Packs that were read.
    pub packs: u64,
    /// Blocks that were read and compared with their digests.
    pub blocks: u64,
    /// Snapshots whose records and maps were read.
    pub snapshots: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Something in a region that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Problem {
    /// The object, or what is called so.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
    /// What a repair did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<String>,
}

/// What is known of the region's frames.
#[derive(Default)]
struct Frames {
    whole: HashSet<FrameRef>,
    bad: HashMap<FrameRef, String>,
}

impl Region {
    /// Reads everything in the region, and says what is wrong; with `repair`, takes it aside.
    ///
    /// # Errors
    /// When the region cannot be read or, for a repair, written.
    pub async fn fsck(
        &self,
        repair: bool,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Checked, Error> {
        let mut checked = Checked::default();
        for meta in self.list_objects(gc::FOLDER).await? {
            let path = meta.location.to_string();
            if let Err(Error::Record { source, .. }) = self.condemned_list(&path).await {
                self.wrong(repair, &mut checked, &path, &source.to_string()).await?;
            }
        }
        let mut frames = self.check_packs(repair, &mut checked, &mut progress).await?;
        let newest = self.check_records(repair, &mut checked).await?;
        for (id, record) in newest {
            // What is deleted need not be whole, and of what is in state `error` this is known.
            if record.state == SnapshotState::Completed {
                checked.snapshots += 1;
                self.check_snapshot(id, &record, repair, &mut frames, &mut checked).await?;
            }
        }
        Ok(checked)
    }

    async fn check_packs(
        &self,
        repair: bool,
        checked: &mut Checked,
        progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<Frames, Error> {
        let quarantined = self.quarantined().await?;
        let packs = self.list_objects(pack::FOLDER).await?.into_iter();
        let packs = packs.filter_map(|meta| Some((PackId::from_path(meta.location.as_ref())?, meta.size)));
        let reads = packs.map(async |(id, size)| (id, self.pack_index(id, size).await));
        let mut reads = stream::iter(reads).buffered(READS_AT_ONCE);
        let mut listed = BTreeSet::new();
        let mut damaged = BTreeMap::new();
        while let Some((id, index)) = reads.next().await {
            checked.packs += 1;
            match index {
                Ok(index) => listed.extend(index),
                Err(Error::Damaged { what, .. }) => drop(damaged.insert(id, what)),
                Err(error) => return Err(error),
            }
        }
        checked.blocks = listed.len() as u64;
        let bad = self.damaged_frames(listed.clone(), progress).await?;
        for (frame, why) in &bad {
            damaged.entry(frame.pack).or_insert_with(|| format!("the frame at {}: {why}", frame.offset));
        }
        for (id, what) in damaged {
            let path = id.path();
            // It was found before, lends nothing, and is kept for what of it is whole.
            if quarantined.contains(&path) {
                continue;
            }
            let done = if repair { Some(self.note(&path, &what).await?) } else { None };
            checked.problems.push(Problem { path, what, repair: done });
        }
        listed.retain(|frame| !bad.contains_key(frame));
        Ok(Frames { whole: listed.into_iter().collect(), bad })
    }

    /// Reads every version of every record; answers the newest of each that can be read.
    async fn check_records(
        &self,
        repair: bool,
        checked: &mut Checked,
    ) -> Result<BTreeMap<SnapshotId, Snapshot>, Error> {
        let mut newest = BTreeMap::new();
        for meta in self.list_objects(snapshot::FOLDER).await? {
            let path = meta.location.to_string();
            let id = path.split('/').nth(1).and_then(|name| name.parse::<SnapshotId>().ok());
            let Some(id) = id.filter(|_| path.ends_with(".json")) else { continue };
            let Some(bytes) = self.read_record(&path).await? else { continue };
            match serde_json::from_slice::<Snapshot>(&bytes) {
                // Listed by path, the newest comes last.
                Ok(record) if record.snapshot_id == id => drop(newest.insert(id, record)),
                Ok(_) => self.wrong(repair, checked, &path, "it is another snapshot's record").await?,
                Err(error) => self.wrong(repair, checked, &path, &error.to_string()).await?,
            }
        }
        Ok(newest)
    }

    async fn check_snapshot(
        &self,
        id: SnapshotId,
        record: &Snapshot,
        repair: bool,
        frames: &mut Frames,
        checked: &mut Checked,
    ) -> Result<(), Error> {
        let path = record.map_path();
        let map = match self.read_object(&path).await? {
            None => Err("it is missing".to_owned()),
            Some(bytes) => match BlockMap::decode(&path, &bytes) {
                Ok(map) if map.lineage.last() == Some(&id) && map.size == record.kiln.size => Ok(map),
                Ok(_) => Err("it is the map of another snapshot".to_owned()),
                Err(Error::Damaged { what, .. }) => Err(what),
                Err(error) => return Err(error),
            },
        };
        let map = match map {
            Ok(map) => map,
            Err(what) => {
                self.wrong(repair, checked, &path, &what).await?;
                return self.not_whole(id, repair, checked, &format!("its block map: {what}")).await;
            }
        };
        // Frames that no index lists: the index is damaged, or the pack is gone.
        let known = |frame: &FrameRef| frames.whole.contains(frame) || frames.bad.contains_key(frame);
        let unknown: BTreeSet<_> = map.data().map(|(_, frame)| frame).filter(|frame| !known(frame)).collect();
        if !unknown.is_empty() {
            let bad = self.damaged_frames(unknown.clone(), |_| {}).await?;
            frames.whole.extend(unknown.into_iter().filter(|frame| !bad.contains_key(frame)));
            frames.bad.extend(bad);
        }
        match damaged_blocks(&map, &frames.bad).as_slice() {
            [] => Ok(()),
            [(index, why), rest @ ..] => {
                let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
                self.not_whole(id, repair, checked, &format!("block {index}: {why}{more}")).await
            }
        }
    }

    /// Notes a snapshot that is not whole.
    async fn not_whole(
        &self,
        id: SnapshotId,
        repair: bool,
        checked: &mut Checked,
        what: &str,
    ) -> Result<(), Error> {
        let mut done = None;
        if repair {
            self.fail_snapshot(id, what).await?;
            done = Some("it is in state error now".to_owned());
        }
        checked.problems.push(Problem { path: id.to_string(), what: what.to_owned(), repair: done });
        Ok(())
    }

    /// Notes an object that cannot be read, and moves it aside.
    async fn wrong(&self, repair: bool, checked: &mut Checked, path: &str, what: &str) -> Result<(), Error> {
        let mut done = None;
        if repair {
            let to = format!("{QUARANTINE}/{path}");
            match self.inner.store.rename(&path.into(), &to.as_str().into()).await {
                Ok(()) => done = Some(format!("moved to {to}")),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(object_error("move", path, source)),
            }
        }
        checked.problems.push(Problem { path: path.to_owned(), what: what.to_owned(), repair: done });
        Ok(())
    }

    /// Says of a pack that it lends no blocks.
    async fn note(&self, path: &str, what: &str) -> Result<String, Error> {
        let note = format!("{what}\n").into();
        let (Put::Done | Put::Taken) = self.create_object(&format!("{QUARANTINE}/{path}"), note).await?;
        Ok("it lends no blocks to new snapshots now".to_owned())
    }

    /// Lists the packs that lend no blocks, by path.
    pub(crate) async fn quarantined(&self) -> Result<HashSet<String>, Error> {
        let folder = format!("{QUARANTINE}/{}", pack::FOLDER);
        let notes = self.list_objects(&folder).await?.into_iter();
        let prefix = format!("{QUARANTINE}/");
        Ok(notes.filter_map(|meta| meta.location.as_ref().strip_prefix(&prefix).map(str::to_owned)).collect())
    }
}

#[cfg(test)]
mod tests;
