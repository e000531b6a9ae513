//! Frames: a block as it lies in a pack.
//!
//! A frame is one whole zstd frame that carries its content size and no checksum, and decodes to exactly
//! [`BLOCK_SIZE`](kiln_types::BLOCK_SIZE) bytes, also where the volume ends inside the block. This is what QEMU's
//! qcow2 driver asks of a compressed cluster of 512 KiB, so that an export copies frames and compresses nothing.
//! The digest of the block, kept beside the frame, is the checksum.

use crate::{Error, PackId};
use kiln_types::Digest;

/// Where the frame of a block lies, and what it must decode to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameRef {
    /// The pack that holds the frame.
    pub pack: PackId,
    /// The frame's first byte in the pack.
    pub offset: u64,
    /// The frame's length in bytes.
    pub length: u32,
    /// The SHA-256 of the block.
    pub digest: Digest,
}

/// Whether a decoded block is hashed and compared with its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Hash and compare.
    Digest,
    /// Only the frame's own structure and length are checked.
    Length,
}

/// Decodes frames into blocks; one a thread, its memory is kept from block to block.
#[derive(Debug)]
pub struct FrameDecoder {}

impl FrameDecoder {
    /// Makes a decoder.
    #[must_use]
    pub fn new() -> Self {
        todo!()
    }

    /// Decodes the bytes of a frame into `block`, whose length is [`kiln_types::BLOCK_SIZE`]; never writes past it.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the frame is not whole, has another length, or the block's digest differs.
    pub fn decode(
        &mut self,
        at: &FrameRef,
        frame: &[u8],
        verify: Verify,
        block: &mut [u8],
    ) -> Result<(), Error> {
        let _ = (at, frame, verify, block);
        todo!()
    }
}
