//! The block map of a snapshot: every block that it or one of its ancestors wrote.
//!
//! ```text
//! 0        "KILNBMAP" | version u32 | block size u32
//! 16       exact size u64 | volume size u32, in GiB | snapshots u32 | packs u32 | entries u32
//! 40       snapshots, 22 bytes each: their ids as text, the lineage from the oldest to this one
//!          packs, 16 bytes each: the ids of the packs that the entries name
//!          entries, 56 bytes each, by block index
//!            index u32 | writer u32 | pack u32 | length u32 | offset u64 | digest 32 bytes
//! end-32   SHA-256 of all before
//! ```
//! All integers are little-endian. `writer` and `pack` count from 0 into the two tables. A pack of `ffffffff` means
//! zeros written over data; length, offset and digest are then 0. A block without an entry was never written.
//!
//! The map is flat: a child repeats what it inherits, so that reading the hundredth of a lineage costs what the first
//! does and no snapshot needs another to be read. The lineage stands oldest first so that a child appends itself and
//! its inherited entries keep their numbers. Who wrote a block is what ListChangedBlocks compares, and the digests in
//! order give the LINEAR checksum, both without reading a block.

mod codec;

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
    /// The snapshot of the lineage that wrote it.
    pub writer: SnapshotId,
    /// What it holds.
    pub content: BlockContent,
}

/// All that is known of a snapshot's blocks.
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
    pub fn data(&self) -> impl Iterator<Item = (BlockIndex, FrameRef)> + Clone + '_ {
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

    /// Makes the map of a child: what it changed over what it inherits. `changes` are ascending.
    pub(crate) fn child(parent: Option<&Self>, id: SnapshotId, size: u64, changes: Vec<BlockRef>) -> Self {
        let inherited = parent.map_or(&[][..], Self::entries);
        let mut lineage = parent.map_or_else(Vec::new, |parent| parent.lineage.clone());
        lineage.push(id);
        let mut entries = Vec::with_capacity(inherited.len() + changes.len());
        let mut inherited = inherited.iter().copied().peekable();
        for change in changes {
            while let Some(entry) = inherited.next_if(|entry| entry.index < change.index) {
                entries.push(entry);
            }
            inherited.next_if(|entry| entry.index == change.index);
            entries.push(change);
        }
        entries.extend(inherited);
        Self { size, volume_gib: volume_gib(size), lineage, entries }
    }
}

/// Largest volume, as EBS has it: 64 TiB.
pub(crate) const MAX_VOLUME_GIB: u32 = 65_536;

/// Returns whole GiB, rounded up; the largest number where there is none.
pub(crate) fn volume_gib(size: u64) -> u32 {
    u32::try_from(ByteSize::from_bytes(size).gib_rounded_up()).unwrap_or(u32::MAX)
}
