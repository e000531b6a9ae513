//! What is known of the blocks of layers, so that a snapshot need not read what an earlier one has read.
//!
//! ```text
//! cache/layers/<key>/<serial>.blocks
//!     0  32  sha256 of the overlay's stamp in the layer's record, and of the rest
//!        36  an entry: the block's index (u32, little-endian) and the digest of what it holds; zeros for zeros
//! ```
//! A layer's file tells of the blocks that it was the topmost to write to when a snapshot was made. What such a block holds
//! depends on the layer and those below it alone: in every chain where nothing above has written to it, that is what it
//! holds. The stamp makes sure that it is still the same layer: one that was made anew holds other bytes. The file may be removed at
//! any time.

use crate::{
    Error,
    home::write_whole,
    layers::{DiskChain, LayerCache, Stamp},
    plan::canonical,
    volumes::Volume,
};
use kiln_qcow2::{BlockSource, Chain, KnownContent};
use kiln_store::{BlockContent, BlockMap};
use kiln_types::{BlockIndex, Digest};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
};

/// What the blocks hold that a layer was the topmost to write to.
type Blocks = BTreeMap<BlockIndex, KnownContent>;

/// Bytes of an entry.
const ENTRY: usize = 36;

/// What stands for a block of zeros, which has no digest.
const ZEROS: [u8; 32] = [0; 32];

/// A volume with what is known of its blocks.
pub(crate) struct MappedChain {
    chain: Chain,
    known: Arc<HashMap<BlockIndex, KnownContent>>,
}

impl MappedChain {
    /// Opens a volume whose lowest overlays are the layers of `below`.
    pub(crate) fn open(volume: &Volume, below: &DiskChain, layers: &LayerCache) -> Result<Self, Error> {
        let chain = Chain::open(&volume.base, &volume.chain())?;
        let maps: Vec<Blocks> =
            below.stamps.iter().map(|stamp| layers.blocks(stamp, &volume.serial)).collect();
        let mut known = HashMap::new();
        if maps.iter().any(|map| !map.is_empty()) {
            for (block, overlay) in chain.writers()? {
                known.extend(maps.get(overlay).and_then(|map| map.get(&block)).map(|found| (block, *found)));
            }
        }
        Ok(Self { chain, known: Arc::new(known) })
    }
}

impl BlockSource for MappedChain {
    fn size(&self) -> u64 {
        self.chain.size()
    }

    fn changed_blocks(&mut self) -> Result<Vec<BlockIndex>, kiln_qcow2::Error> {
        self.chain.changed_blocks()
    }

    fn known_content(&self, index: BlockIndex) -> Option<KnownContent> {
        self.known.get(&index).copied()
    }

    fn read_block(&mut self, index: BlockIndex, buffer: &mut [u8]) -> Result<(), kiln_qcow2::Error> {
        self.chain.read_block(index, buffer)
    }

    fn reopen(&self) -> Result<Box<dyn BlockSource>, kiln_qcow2::Error> {
        let chain = Chain::open(self.chain.base(), self.chain.overlays())?;
        Ok(Box::new(Self { chain, known: Arc::clone(&self.known) }))
    }
}

impl LayerCache {
    /// Notes what a snapshot of a volume says of the blocks of its layers.
    pub(crate) fn note_blocks(
        &self,
        volume: &Volume,
        below: &DiskChain,
        map: &BlockMap,
    ) -> Result<(), Error> {
        if below.stamps.is_empty() {
            return Ok(());
        }
        let mut found = vec![Blocks::new(); below.stamps.len()];
        for (block, overlay) in Chain::open(&volume.base, &volume.chain())?.writers()? {
            if let Some(blocks) = found.get_mut(overlay) {
                blocks.insert(block, content(map, block));
            }
        }
        for (stamp, blocks) in below.stamps.iter().zip(found) {
            let mut all = self.blocks(stamp, &volume.serial);
            let before = all.len();
            all.extend(blocks);
            if all.len() != before {
                write_whole(&self.blocks_path(stamp, &volume.serial), &encode(stamp, &all)?)?;
            }
        }
        Ok(())
    }

    /// Reads what is known of a layer's blocks: nothing where the file is not there or not what was written.
    fn blocks(&self, stamp: &Stamp, serial: &str) -> Blocks {
        let bytes = fs_err::read(self.blocks_path(stamp, serial)).unwrap_or_default();
        decode(stamp, &bytes).unwrap_or_default()
    }

    fn blocks_path(&self, stamp: &Stamp, serial: &str) -> PathBuf {
        self.place(stamp.layer).join(format!("{serial}.blocks"))
    }
}

fn content(map: &BlockMap, block: BlockIndex) -> KnownContent {
    match map.get(block).map(|entry| entry.content) {
        Some(BlockContent::Data(frame)) => KnownContent::Data(frame.digest),
        Some(BlockContent::Zero) | None => KnownContent::Zero,
    }
}

fn checksum(stamp: &Stamp, entries: &[u8]) -> Result<[u8; 32], Error> {
    let hasher = Sha256::new().chain_update(canonical(stamp)?).chain_update(entries);
    Ok(hasher.finalize().into())
}

fn encode(stamp: &Stamp, blocks: &Blocks) -> Result<Vec<u8>, Error> {
    let mut entries = Vec::with_capacity(blocks.len() * ENTRY);
    for (block, content) in blocks {
        entries.extend(block.0.to_le_bytes());
        match content {
            KnownContent::Zero => entries.extend(ZEROS),
            KnownContent::Data(digest) => entries.extend(digest.as_bytes()),
        }
    }
    Ok([checksum(stamp, &entries)?.as_slice(), &entries].concat())
}

fn decode(stamp: &Stamp, bytes: &[u8]) -> Option<Blocks> {
    let (digest, entries) = bytes.split_first_chunk::<32>()?;
    if checksum(stamp, entries).ok()? != *digest {
        return None;
    }
    let (entries, []) = entries.as_chunks::<ENTRY>() else { return None };
    let entry = |entry: &[u8; ENTRY]| {
        let (index, digest) = entry.split_first_chunk::<4>()?;
        let digest: [u8; 32] = digest.try_into().ok()?;
        let content =
            if digest == ZEROS { KnownContent::Zero } else { KnownContent::Data(Digest::from_bytes(digest)) };
        Some((BlockIndex(u32::from_le_bytes(*index)), content))
    };
    entries.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::stamp_of;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("overlay");
        fs_err::write(&path, "one").unwrap();
        let layer = Digest::from_bytes([1; 32]);
        let stamp = stamp_of(layer, &path).unwrap();
        let digest = Digest::from_bytes([7; 32]);
        let blocks =
            Blocks::from([(BlockIndex(3), KnownContent::Data(digest)), (BlockIndex(9), KnownContent::Zero)]);
        let bytes = encode(&stamp, &blocks).unwrap();
        assert_eq!(bytes.len(), 32 + 2 * ENTRY);
        assert_eq!(decode(&stamp, &bytes), Some(blocks));
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert_eq!(decode(&stamp, &damaged), None, "byte {place}");
            assert_eq!(decode(&stamp, &bytes[..place]), None, "{place} bytes");
        }
        fs_err::write(&path, "other").unwrap();
        assert_eq!(decode(&stamp_of(layer, &path).unwrap(), &bytes), None, "made anew");
    }
}
