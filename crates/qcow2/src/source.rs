//! A volume that is read block by block: what a snapshot is made from.

use crate::Error;
use kiln_types::{BlockIndex, Digest};

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownContent {
    /// Zeros.
    Zero,
    /// Bytes with this digest (SHA-256 of the whole block).
    Data(Digest),
}

/// A volume's content in blocks of [`kiln_types::BLOCK_SIZE`].
///
/// A source knows which of its blocks may differ from its parent (the disk below it in the chain, or an empty
/// disk): only those are read, hashed and stored, so that the cost follows the change and not the volume.
pub trait BlockSource: Send {
    /// Returns the exact size of the volume in bytes; it need not be a multiple of the block size.
    fn size(&self) -> u64;

    /// Lists the blocks that may differ from the parent, ascending and without repeats.
    ///
    /// A trimmed or zeroed cluster over parent data is listed too: it reads as zeros, which is a change.
    ///
    /// # Errors
    /// When the image's tables cannot be read.
    fn changed_blocks(&mut self) -> Result<Vec<BlockIndex>, Error>;

    /// Says what a block holds where that is known without reading it.
    fn known_content(&self, _index: BlockIndex) -> Option<KnownContent> {
        None
    }

    /// Reads one block into `buffer`, whose length is [`kiln_types::BLOCK_SIZE`]; bytes past the volume's end are zeroed.
    ///
    /// # Errors
    /// When the block cannot be read whole: a short read is never passed off as data.
    fn read_block(&mut self, index: BlockIndex, buffer: &mut [u8]) -> Result<(), Error>;

    /// Opens the same volume once more, for another thread.
    ///
    /// # Errors
    /// When the files cannot be opened again.
    fn reopen(&self) -> Result<Box<dyn BlockSource>, Error>;
}
