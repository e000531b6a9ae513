//! Reading snapshots back.

use crate::{BlockMap, Error, FrameRef, Region, Snapshot, Verify};
use bytes::Bytes;
use kiln_types::SnapshotId;

impl Region {
    /// Reads the record of a snapshot.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`], or when the region cannot be read.
    pub async fn snapshot(&self, id: SnapshotId) -> Result<Snapshot, Error> {
        let _ = id;
        todo!()
    }

    /// Reads the records of all snapshots, by start time and then id.
    ///
    /// # Errors
    /// When the region cannot be read.
    pub async fn snapshots(&self) -> Result<Vec<Snapshot>, Error> {
        todo!()
    }

    /// Reads the block map of a snapshot.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`], [`Error::Damaged`], or when the region cannot be read.
    pub async fn block_map(&self, id: SnapshotId) -> Result<BlockMap, Error> {
        let _ = id;
        todo!()
    }

    /// Reads one frame as it lies in its pack: an unverified zstd frame, to be copied or decoded.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the pack is too short, or when the region cannot be read.
    pub async fn read_frame(&self, frame: &FrameRef) -> Result<Bytes, Error> {
        let _ = frame;
        todo!()
    }

    /// Reads many frames, answered in the order asked for; neighbours in a pack are read at once. All of them are
    /// held in memory: ask for a few tens at a time.
    ///
    /// # Errors
    /// As [`Region::read_frame`].
    pub async fn read_frames(&self, frames: &[FrameRef]) -> Result<Vec<Bytes>, Error> {
        let _ = frames;
        todo!()
    }

    /// Reads and decodes one block of [`kiln_types::BLOCK_SIZE`] bytes.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the frame or the block is not what was stored, or when the region cannot be read.
    pub async fn read_block(&self, frame: &FrameRef, verify: Verify) -> Result<Vec<u8>, Error> {
        let _ = (frame, verify);
        todo!()
    }
}
