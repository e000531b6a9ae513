//! Snapshots from one region to another: only the blocks that the other lacks move.
//!
//! A copy that was broken off goes on where it ended when it is begun anew: the packs that it finished lend their blocks.

use crate::{
    BlockContent, BlockMap, BlockRef, Error, FrameDecoder, FrameRef, Progress, Region, Snapshot, Tag, Verify,
    frame::BLOCK, known::Known, pack::PackWriter, snapshot::Counts,
};
use bytes::Bytes;
use kiln_types::{AccountId, Digest, SnapshotId, Timestamp};
use std::collections::{BTreeMap, HashMap};

/// Frames that are read at once: some MiB.
const BATCH: usize = 16;

/// A snapshot to be copied.
#[derive(Debug, Clone)]
pub struct CopySnapshot {
    /// The snapshot.
    pub id: SnapshotId,
    /// The account that will own the copy.
    pub owner: AccountId,
    /// What the copy is, for people.
    pub description: String,
    /// Tags of the copy.
    pub tags: Vec<Tag>,
}

impl Region {
    /// Copies a snapshot of another region into this one, under an id of its own and without a parent, as EC2 does. Every
    /// block that moves is compared with its digest.
    ///
    /// # Errors
    /// When the snapshot is not there or damaged, or a region cannot be read or written.
    pub async fn copy_snapshot(
        &self,
        from: &Self,
        copy: CopySnapshot,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Snapshot, Error> {
        let start = Timestamp::now();
        let source = from.block_map(copy.id).await?;
        let known = self.known_blocks().await?;
        let mut packs = PackWriter::new(self.clone());
        let new = match self.copy_frames(from, missing(&source, &known), &mut packs, progress).await {
            Ok(new) => new,
            Err(error) => {
                packs.abort().await;
                return Err(error);
            }
        };
        let (frames, stored_bytes) = packs.finish().await?;
        let id = SnapshotId::random();
        let entries = copied(&source, id, &frames, &known)?;
        let counts = Counts { changed: entries.len() as u64, new, stored_bytes };
        let map = BlockMap::child(None, id, source.size, entries);
        let mut record = Snapshot::completed(id, &map, &counts, start);
        record.owner_id = copy.owner;
        record.description = copy.description;
        record.tags = copy.tags;
        self.publish(map, record).await
    }

    async fn copy_frames(
        &self,
        from: &Self,
        frames: Vec<FrameRef>,
        packs: &mut PackWriter,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<u64, Error> {
        let total = frames.len() as u64;
        let mut done = 0;
        for batch in frames.chunks(BATCH) {
            progress(Progress { done, total, stored_bytes: packs.stored_bytes() });
            for (digest, frame) in from.verified(batch.to_vec()).await? {
                packs.push(digest, frame).await?;
                done += 1;
            }
        }
        progress(Progress { done, total, stored_bytes: packs.stored_bytes() });
        Ok(done)
    }

    /// Reads frames that decode to what they should.
    pub(crate) async fn verified(&self, batch: Vec<FrameRef>) -> Result<Vec<(Digest, Bytes)>, Error> {
        let read = self.read_frames(&batch).await?;
        let check = move || {
            let (mut decoder, mut block) = (FrameDecoder::new(), vec![0; BLOCK]);
            let mut whole = Vec::with_capacity(batch.len());
            for (frame, bytes) in batch.into_iter().zip(read) {
                decoder.decode(&frame, &bytes, Verify::Digest, &mut block)?;
                whole.push((frame.digest, bytes));
            }
            Ok(whole)
        };
        tokio::task::spawn_blocking(check).await.map_err(|_panicked| Error::Worker)?
    }
}

/// Lists the frames of blocks that a region does not hold, each block once, as they lie.
fn missing(map: &BlockMap, known: &Known) -> Vec<FrameRef> {
    let frames = map.data().map(|(_, frame)| frame).filter(|frame| !known.contains_key(&frame.digest));
    let once: BTreeMap<Digest, FrameRef> = frames.map(|frame| (frame.digest, frame)).collect();
    let mut frames: Vec<_> = once.into_values().collect();
    frames.sort_unstable();
    frames
}

/// Returns the blocks of the copy. Zeros need no entry: there is nothing below that they would hide.
fn copied(
    source: &BlockMap,
    writer: SnapshotId,
    frames: &HashMap<Digest, FrameRef>,
    known: &Known,
) -> Result<Vec<BlockRef>, Error> {
    let place = |digest: &Digest| frames.get(digest).or_else(|| known.get(digest)).copied();
    let entries = source.data().map(|(index, frame)| {
        let content = BlockContent::Data(place(&frame.digest).ok_or(Error::Worker)?);
        Ok(BlockRef { index, writer, content })
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Volume, noise_block, read_back, region_in, region_in_memory, text_block};

    fn copy(id: SnapshotId) -> CopySnapshot {
        CopySnapshot { id, owner: AccountId::LOCAL, description: "a copy".to_owned(), tags: Vec::new() }
    }

    #[tokio::test]
    async fn only_what_the_other_region_lacks_moves() {
        let (here, there) = (region_in_memory().await, region_in_memory().await);
        let zeros = vec![0; BLOCK];
        let blocks = [noise_block(1), text_block(2), noise_block(1), text_block(3)];
        let parent = here.create_snapshot(Volume::of(&blocks).snapshot(None), |_| {}).await.unwrap();
        let changed = Volume::new([noise_block(1), zeros, noise_block(4), text_block(3)].concat(), [1, 2]);
        let child = changed.snapshot(Some(parent.snapshot_id));
        let child = here.create_snapshot(child, |_| {}).await.unwrap();
        there.create_snapshot(Volume::of(&[text_block(3)]).snapshot(None), |_| {}).await.unwrap();

        let copied = there.copy_snapshot(&here, copy(child.snapshot_id), |_| {}).await.unwrap();
        assert_eq!(
            (copied.kiln.new_blocks, copied.kiln.data_blocks, copied.parent_snapshot_id),
            (2, 3, None)
        );
        assert_ne!(copied.snapshot_id, child.snapshot_id);
        assert_eq!(read_back(&there, copied.snapshot_id).await.unwrap(), *changed.bytes);
        let again = there.copy_snapshot(&here, copy(child.snapshot_id), |_| {}).await.unwrap();
        assert_eq!((again.kiln.new_blocks, again.kiln.stored_bytes), (0, 0));
        assert_eq!(there.fsck(false, |_| {}).await.unwrap().problems, []);
    }

    #[tokio::test]
    async fn damage_does_not_spread() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (region_in(folder.path()).await, region_in_memory().await);
        let id = here
            .create_snapshot(Volume::of(&[noise_block(1)]).snapshot(None), |_| {})
            .await
            .unwrap()
            .snapshot_id;
        let frame = here.block_map(id).await.unwrap().data().next().unwrap().1;
        let pack = folder.path().join(frame.pack.path());
        let mut bytes = fs_err::read(&pack).unwrap();
        bytes[9000] ^= 1;
        fs_err::write(&pack, bytes).unwrap();
        let refused = there.copy_snapshot(&here, copy(id), |_| {}).await.unwrap_err();
        assert!(matches!(refused, Error::Damaged { .. }), "{refused}");
        assert_eq!(there.list_objects("").await.unwrap().len(), 1, "only the region's own record");
    }
}
