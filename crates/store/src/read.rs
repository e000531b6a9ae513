//! Reading snapshots back.

use crate::{
    BlockMap, Error, FrameDecoder, FrameRef, PackId, Region, Snapshot, SnapshotState, Verify,
    frame::{self, BLOCK},
    snapshot::FOLDER,
};
use bytes::Bytes;
use futures::future::try_join_all;
use kiln_types::SnapshotId;
use std::collections::BTreeMap;

impl Region {
    /// Reads the record of a snapshot.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`], or when the region cannot be read.
    pub async fn snapshot(&self, id: SnapshotId) -> Result<Snapshot, Error> {
        let newest = self.versions(FOLDER).newest::<Snapshot>(&id.to_string()).await?;
        let record =
            newest.map(|version| version.record).filter(|record| record.state != SnapshotState::Deleted);
        record.ok_or(Error::SnapshotNotFound { id })
    }

    /// Reads the records of all snapshots, by start time and then id.
    ///
    /// # Errors
    /// When the region cannot be read.
    pub async fn snapshots(&self) -> Result<Vec<Snapshot>, Error> {
        let all = self.versions(FOLDER).all::<Snapshot>().await?;
        let mut snapshots = all.into_iter().map(|(_, version)| version.record).collect::<Vec<_>>();
        snapshots.retain(|snapshot| snapshot.state != SnapshotState::Deleted);
        snapshots.sort_by_key(|snapshot| (snapshot.start_time, snapshot.snapshot_id));
        Ok(snapshots)
    }

    /// Reads the block map of a published snapshot.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`], [`Error::Damaged`], or when the region cannot be read.
    pub async fn block_map(&self, id: SnapshotId) -> Result<BlockMap, Error> {
        self.map_of(&self.snapshot(id).await?).await
    }

    /// Reads the block map that a record names.
    pub(crate) async fn map_of(&self, record: &Snapshot) -> Result<BlockMap, Error> {
        let path = record.map_path();
        let damaged = |what: &str| Error::Damaged { path: path.clone(), what: what.to_owned() };
        let bytes = self.read_object(&path).await?.ok_or_else(|| damaged("it is missing"))?;
        let map = BlockMap::decode(&path, &bytes)?;
        if map.lineage.last() != Some(&record.snapshot_id) || map.size != record.kiln.size {
            return Err(damaged("it is the map of another snapshot"));
        }
        Ok(map)
    }

    /// Reads one frame as it lies in its pack, to be copied or decoded. Its headers are checked: it is one whole zstd
    /// frame of one block; that it holds the right block is for [`FrameDecoder::decode`] to say.
    ///
    /// # Errors
    /// [`Error::Damaged`] when no frame lies there, or when the region cannot be read.
    pub async fn read_frame(&self, frame: &FrameRef) -> Result<Bytes, Error> {
        let frames = self.read_frames(std::slice::from_ref(frame)).await?;
        Ok(frames.into_iter().next().unwrap_or_default())
    }

    /// Reads many frames, answered in the order asked for; neighbours in a pack are read at once. All of them are
    /// held in memory: ask for a few tens at a time.
    ///
    /// # Errors
    /// As [`Region::read_frame`].
    pub async fn read_frames(&self, frames: &[FrameRef]) -> Result<Vec<Bytes>, Error> {
        let mut packs = BTreeMap::<PackId, Vec<usize>>::new();
        for (at, frame) in frames.iter().enumerate() {
            packs.entry(frame.pack).or_default().push(at);
        }
        let reads = packs.into_iter().map(async |(pack, places)| {
            let wanted = places.iter().filter_map(|at| frames.get(*at));
            let ranges = wanted.map(|frame| frame.offset..frame.offset.saturating_add(frame.length.into()));
            let bytes = self.read_ranges(&pack.path(), &ranges.collect::<Vec<_>>()).await?;
            Ok::<_, Error>(places.into_iter().zip(bytes))
        });
        let mut answers = vec![Bytes::new(); frames.len()];
        for (at, bytes) in try_join_all(reads).await?.into_iter().flatten() {
            answers[at] = bytes;
        }
        for (reference, bytes) in frames.iter().zip(&answers) {
            frame::check_headers(reference, bytes)?;
        }
        Ok(answers)
    }

    /// Reads and decodes one block of [`kiln_types::BLOCK_SIZE`] bytes.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the frame or the block is not what was stored, or when the region cannot be read.
    pub async fn read_block(&self, frame: &FrameRef, verify: Verify) -> Result<Vec<u8>, Error> {
        let bytes = self.read_frame(frame).await?;
        let mut block = vec![0; BLOCK];
        FrameDecoder::new().decode(frame, &bytes, verify, &mut block)?;
        Ok(block)
    }
}
