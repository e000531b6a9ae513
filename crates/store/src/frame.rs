//! Frames: a block as it lies in a pack.
//!
//! A frame is one whole zstd frame that carries its content size and no checksum, and decodes to exactly
//! [`BLOCK_SIZE`] bytes, also where the volume ends inside the block. This is what QEMU's qcow2 driver asks of a
//! compressed cluster of 512 KiB, so that an export copies frames and compresses nothing. The digest of the block,
//! kept beside the frame, is the checksum.

use crate::{Error, PackId};
use kiln_types::{BLOCK_SIZE, BlockIndex, Digest};
use sha2::{Digest as _, Sha256};
use std::{fmt, io};
use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::{self, CParameter},
};

/// Bytes of a block.
pub(crate) const BLOCK: usize = 524_288;
const _: () = assert!(BLOCK as u64 == BLOCK_SIZE, "a frame holds one block");

/// The level that blocks are compressed with. Exports copy the frames, so that this decides how large they are: 3 is
/// what `qemu-img convert` uses, and with lower ones Kiln's qcow2 files would be larger than its.
const LEVEL: i32 = 3;

/// Longest frame of a block: what zstd's `compressBound` allows for one that does not compress. Longer ones are damage.
pub(crate) const MAX_FRAME: u32 = 526_336;

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

/// Returns the SHA-256 of a block.
pub(crate) fn digest(block: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(block).into())
}

/// Says whether a block holds zeros only: its first byte is 0 and each equals the one before, which is one `memcmp`.
pub(crate) fn is_zero(block: &[u8]) -> bool {
    match block {
        [] => true,
        [first, rest @ ..] => *first == 0 && *rest == block[..rest.len()],
    }
}

/// Compresses blocks into frames; one a thread.
pub(crate) struct FrameEncoder {
    compressor: Compressor<'static>,
    frame: Vec<u8>,
}

impl FrameEncoder {
    pub(crate) fn new() -> Result<Self, io::Error> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.set_parameter(CParameter::ChecksumFlag(false))?;
        compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
        Ok(Self { compressor, frame: Vec::with_capacity(zstd_safe::compress_bound(BLOCK)) })
    }

    /// Compresses a block; the answer is overwritten by the next call.
    pub(crate) fn encode(&mut self, index: BlockIndex, block: &[u8]) -> Result<&[u8], Error> {
        self.frame.clear();
        self.compressor
            .compress_to_buffer(block, &mut self.frame)
            .map_err(|source| Error::Compress { index, source })?;
        Ok(&self.frame)
    }
}

/// Decodes frames into blocks; one a thread, its memory is kept from block to block.
pub struct FrameDecoder {
    decompressor: Decompressor<'static>,
}

impl fmt::Debug for FrameDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameDecoder").finish_non_exhaustive()
    }
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameDecoder {
    /// Makes a decoder.
    #[must_use]
    pub fn new() -> Self {
        let decompressor = Decompressor::new().expect("a decoder without a dictionary needs only memory");
        Self { decompressor }
    }

    /// Decodes the bytes of a frame into `block`, whose length is [`BLOCK_SIZE`]; never writes past it.
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
        let damaged =
            |what: &str| Error::damaged_pack(at.pack, format!("the frame at offset {} {what}", at.offset));
        let decoded = self.decompressor.decompress_to_buffer(frame, block);
        let length = decoded.map_err(|error| damaged(&format!("does not decode: {error}")))?;
        if length != BLOCK || block.len() != BLOCK {
            return Err(damaged(&format!("decodes to {length} bytes")));
        }
        if verify == Verify::Digest && digest(block) != at.digest {
            return Err(damaged(&format!("does not hold the block {}", at.digest.short())));
        }
        Ok(())
    }
}

/// Checks by its headers alone that these bytes are one whole frame of one block, as a qcow2 cluster must be.
pub(crate) fn check_headers(at: &FrameRef, frame: &[u8]) -> Result<(), Error> {
    let whole = zstd_safe::find_frame_compressed_size(frame) == Ok(frame.len());
    let content = zstd_safe::get_frame_content_size(frame).ok().flatten();
    if u32::try_from(frame.len()) != Ok(at.length) || !whole || content != Some(BLOCK_SIZE) {
        let what = format!("the {} bytes at offset {} are not a block's frame", at.length, at.offset);
        return Err(Error::damaged_pack(at.pack, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn at(frame: &[u8], block: &[u8]) -> FrameRef {
        let length = u32::try_from(frame.len()).unwrap();
        FrameRef { pack: PackId([7; 16]), offset: 0, length, digest: digest(block) }
    }

    fn encode(block: &[u8]) -> Vec<u8> {
        FrameEncoder::new().unwrap().encode(BlockIndex(0), block).unwrap().to_vec()
    }

    #[test]
    fn a_frame_is_what_qemu_takes_as_a_cluster() {
        let frame = encode(&testing::text_block(1));
        // RFC 8878, 3.1.1.1: descriptor with content size of 4 bytes, single segment, no checksum, no dictionary.
        assert_eq!(frame[4], 0b1010_0000, "a format change: exports copy these bytes");
        assert_eq!(u64::from(u32::from_le_bytes(frame[5..9].try_into().unwrap())), BLOCK_SIZE);
        assert!(check_headers(&at(&frame, &[]), &frame).is_ok());
    }

    #[test]
    fn a_block_that_does_not_compress_fits_the_longest_frame() {
        let block = testing::noise_block(3);
        let frame = encode(&block);
        assert!(frame.len() > BLOCK && frame.len() <= usize::try_from(MAX_FRAME).unwrap());
        assert!(zstd_safe::compress_bound(BLOCK) <= usize::try_from(MAX_FRAME).unwrap());
        let mut back = vec![0; BLOCK];
        FrameDecoder::new().decode(&at(&frame, &block), &frame, Verify::Digest, &mut back).unwrap();
        assert!(back == block);
    }

    #[test]
    fn damage_is_an_error() {
        let block = testing::text_block(1);
        let frame = encode(&block);
        let reference = at(&frame, &block);
        let mut decoder = FrameDecoder::new();
        let mut back = vec![0; BLOCK];
        for end in [0, 3, 9, frame.len() - 1] {
            assert!(decoder.decode(&reference, &frame[..end], Verify::Length, &mut back).is_err(), "{end}");
            assert!(check_headers(&reference, &frame[..end]).is_err(), "{end}");
        }
        let doubled = [frame.clone(), frame.clone()].concat();
        assert!(decoder.decode(&reference, &doubled, Verify::Length, &mut back).is_err());
        let long = zstd::encode_all(&vec![1; BLOCK * 4][..], 1).unwrap();
        assert!(
            decoder.decode(&reference, &long, Verify::Length, &mut back).is_err(),
            "a bomb is not unpacked"
        );
        let other = encode(&testing::text_block(2));
        assert!(decoder.decode(&reference, &other, Verify::Digest, &mut back).is_err());
    }

    #[test]
    fn zeros() {
        let mut block = vec![0; BLOCK];
        assert!(is_zero(&block) && is_zero(&[]));
        for at in [0, 1, 4096, BLOCK - 1] {
            block[at] = 1;
            assert!(!is_zero(&block), "{at}");
            block[at] = 0;
        }
        assert!(!is_zero(&vec![1; BLOCK]));
    }
}
