//! The block map of a snapshot: every block that it or one of its ancestors wrote.

use crate::FrameRef;
use kiln_types::{BlockIndex, ByteSize, SnapshotId};

/// What a block of a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockContent {
    /// Zeros, written over data: reads like a block that was never written, and hides the parent's.
    Zero,
    /// The block that this frame decodes to.
    Data(FrameRef),
}

/// One written block of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRef {
    /// The block's place in the volume.
    pub index: BlockIndex,
    /// The snapshot of the lineage that wrote it: what ListChangedBlocks compares.
    pub writer: SnapshotId,
    /// What it holds.
    pub content: BlockContent,
}

/// All that is known of a snapshot's blocks, flat: reading the hundredth child costs what the first does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMap {
    pub(crate) size: u64,
    pub(crate) volume_gib: u32,
    pub(crate) lineage: Vec<SnapshotId>,
    pub(crate) entries: Vec<BlockRef>,
}

impl BlockMap {
    /// Returns the exact size of the volume: what an export restores.
    #[must_use]
    pub const fn size(&self) -> ByteSize {
        ByteSize::from_bytes(self.size)
    }

    /// Returns the volume's size in whole GiB: EC2's `VolumeSize`.
    #[must_use]
    pub const fn volume_gib(&self) -> u32 {
        self.volume_gib
    }

    /// Returns the snapshots that this one grew from, the oldest first and this one last.
    #[must_use]
    pub fn lineage(&self) -> &[SnapshotId] {
        &self.lineage
    }

    /// Returns the written blocks, ascending; a block that is not among them was never written and reads as zeros.
    #[must_use]
    pub fn entries(&self) -> &[BlockRef] {
        &self.entries
    }

    /// Returns the blocks that hold data, ascending: all that an export has to write.
    pub fn data(&self) -> impl Iterator<Item = (BlockIndex, FrameRef)> + '_ {
        self.entries.iter().filter_map(|entry| match entry.content {
            BlockContent::Zero => None,
            BlockContent::Data(frame) => Some((entry.index, frame)),
        })
    }

    /// Returns a written block.
    #[must_use]
    pub fn get(&self, index: BlockIndex) -> Option<&BlockRef> {
        let at = self.entries.binary_search_by_key(&index, |entry| entry.index).ok()?;
        self.entries.get(at)
    }
}
