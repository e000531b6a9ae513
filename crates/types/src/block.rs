//! Blocks: the unit in which snapshots are hashed, stored and compared.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes of a block, as the EBS direct API has them. A change makes every region unreadable.
pub const BLOCK_SIZE: u64 = 524_288;

/// The place of a block in a volume: its offset divided by [`BLOCK_SIZE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockIndex(pub u32);

impl BlockIndex {
    /// Returns the offset of the block's first byte in the volume.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.0 as u64 * BLOCK_SIZE
    }
}

impl fmt::Display for BlockIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
