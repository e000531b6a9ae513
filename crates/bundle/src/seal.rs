//! The compressed stream encrypted, cut into parts and written, each with its digest.

use crate::{Error, Place, hex, manifest::Part};
use aes::{
    Aes128,
    cipher::{Array, BlockModeEncrypt, KeyIvInit},
};
use cbc::Encryptor;
use sha1::{Digest, Sha1};

/// What Amazon's tools cut.
pub const DEFAULT_PART_SIZE: usize = 10 << 20;
/// A part is held in memory until it is whole.
pub const MAX_PART_SIZE: usize = 32 << 20;
/// AES works on blocks of this many bytes.
pub(crate) const BLOCK: usize = 16;

/// Takes the compressed stream, leaves parts in a place. Parts that nobody took are removed again.
pub(crate) struct Sealer {
    cipher: Encryptor<Aes128>,
    place: Place,
    prefix: String,
    part_size: usize,
    /// The part that is being filled; encrypted up to `sealed`.
    part: Vec<u8>,
    sealed: usize,
    parts: Vec<Part>,
    total: u64,
    kept: bool,
}

impl Sealer {
    pub(crate) fn new(place: &Place, prefix: &str, part_size: usize, key: &[u8; 16], iv: &[u8; 16]) -> Self {
        Self {
            cipher: Encryptor::new(key.into(), iv.into()),
            place: place.clone(),
            prefix: prefix.to_owned(),
            part_size,
            part: Vec::with_capacity(part_size),
            sealed: 0,
            parts: Vec::new(),
            total: 0,
            kept: false,
        }
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.part_size - self.part.len()));
            self.part.extend_from_slice(now);
            let (blocks, _) = Array::slice_as_chunks_mut(&mut self.part[self.sealed..]);
            self.cipher.encrypt_blocks(blocks);
            self.sealed += blocks.len() * BLOCK;
            if self.part.len() == self.part_size {
                self.end_part()?;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Pads the stream (PKCS#7) and writes the last part: never an empty one.
    pub(crate) fn finish(mut self) -> Result<SealedParts, Error> {
        let left = BLOCK - self.part.len() % BLOCK;
        self.write(&vec![u8::try_from(left).unwrap_or(16); left])?;
        if !self.part.is_empty() {
            self.end_part()?;
        }
        self.kept = true;
        Ok(SealedParts { parts: std::mem::take(&mut self.parts), total: self.total })
    }

    fn end_part(&mut self) -> Result<(), Error> {
        // A stream cannot know how many parts there will be: two digits at least, as euca2ools has it.
        let name = format!("{}.part.{:02}", self.prefix, self.parts.len());
        let digest = hex::encode(&Sha1::digest(&self.part));
        self.place.put(&name, &self.part)?;
        self.parts.push(Part { name, digest });
        self.total += u64::try_from(self.part.len()).unwrap_or(u64::MAX);
        self.part.clear();
        self.sealed = 0;
        Ok(())
    }
}

/// The parts of a bundle, all written.
pub(crate) struct SealedParts {
    pub(crate) parts: Vec<Part>,
    pub(crate) total: u64,
}

impl Drop for Sealer {
    fn drop(&mut self) {
        if !self.kept {
            remove(&self.place, &self.parts);
        }
    }
}

/// Removes parts that no manifest will name.
pub(crate) fn remove(place: &Place, parts: &[Part]) {
    for part in parts {
        // What is left is overwritten by the next bundle of that name.
        drop(place.remove(&part.name));
    }
}
