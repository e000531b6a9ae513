//! A disk as a build left it, and as the base was: bytes at any place.

use crate::Error;
use ext4_view::Ext4Read;
use kiln_disk::ReadAt;
use kiln_qcow2::{BlockSource, Chain, PageBuffer, RawDisk};
use kiln_types::{BLOCK_SIZE, BlockIndex};
use std::{
    collections::VecDeque,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Blocks that are kept: 128 MiB. Folders and the tables of inodes are read from all over the disk.
const KEPT: usize = 256;

/// A disk as it is now, and the base under it.
#[derive(Debug)]
pub(super) struct Disk {
    /// With what the build wrote.
    pub(super) now: Bytes,
    /// Without.
    pub(super) base: Bytes,
    /// Stretches in which anything may have changed, whole blocks.
    pub(super) changed: Vec<Range<u64>>,
}

/// Bytes of a volume. Cheap to clone: what was read is shared.
#[derive(Debug, Clone)]
pub(super) struct Bytes {
    blocks: Arc<Mutex<Blocks>>,
    size: u64,
}

struct Blocks {
    source: Box<dyn BlockSource>,
    /// The one used last comes first.
    kept: VecDeque<(BlockIndex, PageBuffer)>,
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").field("kept", &self.kept.len()).finish_non_exhaustive()
    }
}

impl Disk {
    pub(super) fn open(base: &Path, overlays: &[PathBuf]) -> Result<Self, Error> {
        let mut chain = Chain::open(base, overlays)?;
        let size = chain.size();
        let mut changed: Vec<Range<u64>> = Vec::new();
        for block in chain.changed_blocks()? {
            let range = block.offset()..(block.offset() + BLOCK_SIZE).min(size);
            match changed.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => changed.push(range),
            }
        }
        let base = Bytes::of(Box::new(RawDisk::open(base)?));
        Ok(Self { now: Bytes::of(Box::new(chain)), base, changed })
    }
}

impl Bytes {
    fn of(source: Box<dyn BlockSource>) -> Self {
        let size = source.size();
        Self { blocks: Arc::new(Mutex::new(Blocks { source, kept: VecDeque::new() })), size }
    }

    /// Fills `buffer`; what lies beyond the end is zeros.
    pub(super) fn read(&self, mut offset: u64, mut buffer: &mut [u8]) -> Result<(), Error> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        while !buffer.is_empty() {
            if offset >= self.size {
                buffer.fill(0);
                break;
            }
            let inside = usize::try_from(offset % BLOCK_SIZE).unwrap_or_default();
            let block = blocks.block(offset / BLOCK_SIZE)?;
            let from = block.get(inside..).unwrap_or_default();
            let length = from.len().min(buffer.len());
            let (piece, rest) = buffer.split_at_mut(length);
            piece.copy_from_slice(from.get(..length).unwrap_or_default());
            buffer = rest;
            offset += length as u64;
        }
        Ok(())
    }

    /// Returns a stretch; what lies beyond the end is zeros.
    pub(super) fn stretch(&self, range: &Range<u64>) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
        self.read(range.start, &mut bytes)?;
        Ok(bytes)
    }

    /// Returns a file system's bytes, as its reader wants them.
    pub(super) fn part(&self, offset: u64) -> Box<dyn Ext4Read> {
        Box::new(Part { bytes: self.clone(), offset })
    }
}

impl Blocks {
    fn block(&mut self, index: u64) -> Result<&[u8], Error> {
        // A volume of more than 2^32 blocks was refused when it was opened.
        let index = BlockIndex(u32::try_from(index).unwrap_or(u32::MAX));
        let entry = match self.kept.iter().position(|(kept, _)| *kept == index) {
            Some(place) => self.kept.remove(place),
            None => None,
        };
        let entry = match entry {
            Some(entry) => entry,
            None => {
                let spare = if self.kept.len() < KEPT { None } else { self.kept.pop_back() };
                let mut buffer = spare.map_or_else(PageBuffer::block, |(_, buffer)| buffer);
                self.source.read_block(index, &mut buffer)?;
                (index, buffer)
            }
        };
        self.kept.push_front(entry);
        Ok(self.kept.front().map(|(_, buffer)| &**buffer).unwrap_or_default())
    }
}

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read(offset, buffer).map_err(io::Error::other)
    }
}

struct Part {
    bytes: Bytes,
    offset: u64,
}

impl Ext4Read for Part {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        let start = self.offset.checked_add(start_byte).ok_or("beyond any disk")?;
        Ok(self.bytes.read(start, dst)?)
    }
}
