//! A snapshot as bytes at any place.

use ext4_view::Ext4Read;
use kiln_disk::ReadAt;
use kiln_store::{BlockContent, BlockMap, FrameRef, Region, Verify};
use kiln_types::{BLOCK_SIZE, BlockIndex, Digest};
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::runtime::Handle;

/// Blocks that are kept: 128 MiB. Folders and the tables of inodes are read from all over a disk.
const KEPT: usize = 256;

/// The blocks of a region that were read last, by what they hold: one serves every volume that holds it.
#[derive(Debug)]
pub(crate) struct Blocks {
    region: Region,
    runtime: Handle,
    /// The one used last comes first.
    kept: Mutex<VecDeque<(Digest, Arc<Vec<u8>>)>>,
}

impl Blocks {
    /// Reads from a region, on threads that may wait.
    pub(crate) fn new(region: Region) -> Arc<Self> {
        Arc::new(Self { region, runtime: Handle::current(), kept: Mutex::default() })
    }

    fn read(&self, frame: &FrameRef) -> io::Result<Arc<Vec<u8>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(digest, _)| *digest == frame.digest);
        let block = match place.and_then(|place| kept.remove(place)) {
            Some((_, block)) => block,
            None => {
                let read = self.runtime.block_on(self.region.read_block(frame, Verify::Digest));
                Arc::new(read.map_err(io::Error::other)?)
            }
        };
        kept.truncate(KEPT - 1);
        kept.push_front((frame.digest, Arc::clone(&block)));
        Ok(block)
    }
}

/// A snapshot's volume. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    map: Arc<BlockMap>,
    blocks: Arc<Blocks>,
}

impl Volume {
    pub(crate) fn new(map: BlockMap, blocks: &Arc<Blocks>) -> Self {
        Self { map: Arc::new(map), blocks: Arc::clone(blocks) }
    }

    /// Returns where its blocks lie.
    pub(crate) fn map(&self) -> &BlockMap {
        &self.map
    }

    /// Returns a file system's bytes, as its reader wants them.
    pub(crate) fn part(&self, offset: u64) -> Box<dyn Ext4Read> {
        Box::new(Part { volume: self.clone(), offset })
    }
}

impl ReadAt for Volume {
    fn size(&self) -> u64 {
        self.map.size().bytes()
    }

    fn read_at(&self, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            if offset >= self.size() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let inside = usize::try_from(offset % BLOCK_SIZE).unwrap_or_default();
            let index = BlockIndex(u32::try_from(offset / BLOCK_SIZE).map_err(io::Error::other)?);
            let left = usize::try_from(BLOCK_SIZE).unwrap_or_default() - inside;
            let (piece, rest) = buffer.split_at_mut(left.min(buffer.len()));
            match self.map.get(index).map(|entry| entry.content) {
                Some(BlockContent::Data(frame)) => {
                    let block = self.blocks.read(&frame)?;
                    let from = block.get(inside..inside + piece.len());
                    piece.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
                }
                Some(BlockContent::Zero) | None => piece.fill(0),
            }
            offset += piece.len() as u64;
            buffer = rest;
        }
        Ok(())
    }
}

struct Part {
    volume: Volume,
    offset: u64,
}

impl Ext4Read for Part {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        let start = self.offset.checked_add(start_byte).ok_or("beyond any disk")?;
        Ok(self.volume.read_at(start, dst)?)
    }
}
