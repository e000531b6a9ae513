//! Regions, volumes and blocks for the tests of this crate.

pub(crate) mod s3;

use crate::{NewSnapshot, Region, frame::BLOCK};
use kiln_qcow2::{BlockSource, Error, KnownContent};
use kiln_types::{AccountId, BLOCK_SIZE, BlockIndex, RegionName, SnapshotId};
use object_store::memory::InMemory;
use std::{io, path::Path, sync::Arc};

pub(crate) async fn region_in(folder: &Path) -> Region {
    let location = crate::Location::Folder(folder.to_owned());
    Region::open_or_create(&location, &RegionName::local(), AccountId::LOCAL).await.unwrap()
}

pub(crate) async fn region_in_memory() -> Region {
    Region::on(Arc::new(InMemory::new()), &RegionName::local(), AccountId::LOCAL).await.unwrap()
}

/// A block that compresses well and is unlike those of other seeds.
pub(crate) fn text_block(seed: u32) -> Vec<u8> {
    let line = format!("line {seed} of a text that compresses\n");
    line.bytes().cycle().take(BLOCK).collect()
}

/// A block that does not compress: xorshift.
pub(crate) fn noise_block(seed: u64) -> Vec<u8> {
    let mut state = seed * 2 + 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(BLOCK).collect()
}

/// A volume in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Volume {
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) changed: Vec<u32>,
    /// A block that cannot be read.
    pub(crate) bad: Option<u32>,
    /// What is known of blocks without reading them.
    pub(crate) known: Vec<(u32, KnownContent)>,
}

impl Volume {
    /// A volume of these bytes of which these blocks are listed as changed.
    pub(crate) fn new(bytes: Vec<u8>, changed: impl IntoIterator<Item = u32>) -> Self {
        Self { bytes: Arc::new(bytes), changed: changed.into_iter().collect(), ..Self::default() }
    }

    /// A volume of these blocks, all changed.
    pub(crate) fn of(blocks: &[Vec<u8>]) -> Self {
        let bytes = blocks.concat();
        let count = u32::try_from(bytes.len().div_ceil(BLOCK)).unwrap();
        Self::new(bytes, 0..count)
    }

    pub(crate) fn snapshot(&self, parent: Option<SnapshotId>) -> NewSnapshot {
        NewSnapshot {
            source: Box::new(self.clone()),
            parent,
            owner: AccountId::LOCAL,
            description: "a test's".to_owned(),
            tags: Vec::new(),
        }
    }
}

impl BlockSource for Volume {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn changed_blocks(&mut self) -> Result<Vec<BlockIndex>, Error> {
        Ok(self.changed.iter().copied().map(BlockIndex).collect())
    }

    fn known_content(&self, index: BlockIndex) -> Option<KnownContent> {
        self.known.iter().find(|(known, _)| *known == index.0).map(|(_, content)| *content)
    }

    fn read_block(&mut self, index: BlockIndex, buffer: &mut [u8]) -> Result<(), Error> {
        assert_eq!(buffer.len() as u64, BLOCK_SIZE);
        if self.bad == Some(index.0) {
            return Err(Error::Io(io::Error::other("a bad sector")));
        }
        let start = usize::try_from(index.offset()).unwrap();
        let end = self.bytes.len().min(start + BLOCK);
        buffer.fill(0);
        buffer[..end - start].copy_from_slice(&self.bytes[start..end]);
        Ok(())
    }

    fn reopen(&self) -> Result<Box<dyn BlockSource>, Error> {
        Ok(Box::new(self.clone()))
    }
}

/// Reads a whole snapshot back.
pub(crate) async fn read_back(region: &Region, id: SnapshotId) -> Result<Vec<u8>, crate::Error> {
    let map = region.block_map(id).await?;
    let size = usize::try_from(map.size().bytes()).unwrap();
    let mut bytes = vec![0; size.next_multiple_of(BLOCK)];
    for (index, frame) in map.data() {
        let block = region.read_block(&frame, crate::Verify::Digest).await?;
        let start = usize::try_from(index.offset()).unwrap();
        bytes[start..start + BLOCK].copy_from_slice(&block);
    }
    assert!(bytes[size..].iter().all(|byte| *byte == 0), "bytes past the end are zeros");
    bytes.truncate(size);
    Ok(bytes)
}
