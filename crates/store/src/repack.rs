//! Packs of which half or more is dead are written anew without the dead part.
//!
//! ```text
//! packs, half dead ─▶ live frames, compared with their digests ─▶ new packs ─▶ new maps ─▶ records that name the maps
//!                                                                                          └ publish, one by one
//! ```
//! A repack deletes nothing. The packs and maps that it replaces are garbage like any other from then on: readers have the
//! grace, and a writer that borrowed from such a pack finds it condemned and stores again. One that dies half-way leaves
//! some snapshots on the old packs and some on the new ones, and all of them whole.

use crate::{
    BlockContent, BlockMap, Error, FrameRef, PackId, Progress, Region, Snapshot, SnapshotState,
    gc::Garbage,
    pack::{self, PackWriter},
    publish::PUBLISH_WITHIN,
    snapshot::{self, FOLDER},
};
use kiln_types::Digest;
use object_store::ObjectMeta;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::SystemTime,
};

/// Frames that are read at once: some MiB.
const BATCH: usize = 16;

/// Where the living frames of each pack begin, and their lengths.
type Live = BTreeMap<PackId, BTreeMap<u64, u32>>;

/// A pack that is worth writing anew.
struct HalfDead {
    id: PackId,
    dead: u64,
    live: Vec<FrameRef>,
}

impl Region {
    /// Writes anew what lives in half-dead packs that are `old`; answers these packs, each with its dead bytes.
    pub(crate) async fn repack(
        &self,
        old: impl Fn(&ObjectMeta) -> bool,
        dry_run: bool,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Vec<Garbage>, Error> {
        let records = self.versions(FOLDER).all::<Snapshot>().await?;
        let records = records.into_iter().map(|(_, version)| version.record);
        let records: Vec<Snapshot> =
            records.filter(|record| record.state == SnapshotState::Completed).collect();
        let half_dead = self.half_dead(&records, old).await?;
        let described = |pack: &HalfDead| Garbage { path: pack.id.path(), bytes: pack.dead };
        if dry_run || half_dead.is_empty() {
            return Ok(half_dead.iter().map(described).collect());
        }
        let total = half_dead.iter().map(|pack| pack.live.len() as u64).sum();
        let (mut packs, mut moved, mut done) = (PackWriter::new(self.clone()), Vec::new(), 0);
        for pack in half_dead {
            match self.move_frames(&pack.live, &mut packs).await {
                Ok(()) => moved.push(pack),
                // It stays as it is, for a check to find.
                Err(error @ Error::Damaged { .. }) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(pack = %pack.id, error, "is not written anew");
                    done += pack.live.len() as u64;
                    continue;
                }
                Err(error) => {
                    packs.abort().await;
                    return Err(error);
                }
            }
            done += moved.last().map_or(0, |pack| pack.live.len() as u64);
            progress(Progress { done, total, stored_bytes: packs.stored_bytes() });
        }
        let (frames, _) = packs.finish().await?;
        let from: HashSet<PackId> = moved.iter().map(|pack| pack.id).collect();
        let new =
            |frame: &FrameRef| frames.get(&frame.digest).copied().filter(|_| from.contains(&frame.pack));
        for record in records {
            self.renew_map(&record, new, &frames).await?;
        }
        Ok(moved.iter().map(described).collect())
    }

    /// Finds old packs of which half or more is named by no snapshot, and the rest by some.
    async fn half_dead(
        &self,
        records: &[Snapshot],
        old: impl Fn(&ObjectMeta) -> bool,
    ) -> Result<Vec<HalfDead>, Error> {
        let (condemned, quarantined) = (self.condemned().await?, self.quarantined().await?);
        let packs = self.list_objects(pack::FOLDER).await?;
        let mut live = Live::new();
        for record in records {
            for (_, frame) in self.map_of(record).await?.data() {
                live.entry(frame.pack).or_default().insert(frame.offset, frame.length);
            }
        }
        let mut half_dead = Vec::new();
        for meta in packs.into_iter().filter(old) {
            let path = meta.location.as_ref();
            let Some((id, live)) = PackId::from_path(path).and_then(|id| Some((id, live.get(&id)?))) else {
                continue;
            };
            let bytes = live.values().map(|length| u64::from(*length)).sum::<u64>();
            if condemned.contains(path) || quarantined.contains(path) || 2 * bytes > meta.size {
                continue;
            }
            // The index counts for neither side: a pack of small frames would look half dead for ever.
            let frames = self.pack_index(id, meta.size).await?;
            let all = frames.iter().map(|frame| u64::from(frame.length)).sum::<u64>();
            let dead = all.saturating_sub(bytes);
            if dead > 0 && dead >= bytes {
                let live = frames.into_iter().filter(|frame| live.contains_key(&frame.offset)).collect();
                half_dead.push(HalfDead { id, dead, live });
            }
        }
        Ok(half_dead)
    }

    async fn move_frames(&self, live: &[FrameRef], packs: &mut PackWriter) -> Result<(), Error> {
        for batch in live.chunks(BATCH) {
            for (digest, frame) in self.verified(batch.to_vec()).await? {
                packs.push(digest, frame).await?;
            }
        }
        Ok(())
    }

    /// Gives a snapshot a map in which these frames lie elsewhere.
    async fn renew_map(
        &self,
        record: &Snapshot,
        new: impl Fn(&FrameRef) -> Option<FrameRef>,
        frames: &HashMap<Digest, FrameRef>,
    ) -> Result<(), Error> {
        let id = record.snapshot_id;
        let mut map: BlockMap = self.map_of(record).await?;
        let mut changed = false;
        for entry in &mut map.entries {
            if let BlockContent::Data(frame) = &mut entry.content
                && let Some(again) = new(frame)
            {
                *frame = again;
                changed = true;
            }
        }
        if !changed {
            return Ok(());
        }
        let looked = SystemTime::now();
        let condemned = self.condemned().await?;
        if frames.values().any(|frame| condemned.contains(&frame.pack.path())) {
            return Err(Error::TooSlow { id });
        }
        let name = snapshot::new_map_name();
        self.create_new(&snapshot::map_path(id, &name), map.encode()).await?;
        if looked.elapsed().unwrap_or(PUBLISH_WITHIN) >= PUBLISH_WITHIN {
            return Err(Error::TooSlow { id });
        }
        // One that was deleted or renewed meanwhile stays as it is.
        let before = record.kiln.map.clone();
        let renewed = self.change_record(id, |record| {
            let same = record.state == SnapshotState::Completed && record.kiln.map == before;
            if same {
                record.kiln.map.clone_from(&name);
            }
            Ok::<_, Error>(same)
        });
        match renewed.await {
            Err(Error::SnapshotNotFound { .. }) => Ok(()),
            done => done.map(drop),
        }
    }
}

#[cfg(test)]
mod tests;
