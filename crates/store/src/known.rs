//! Which blocks the region holds already: a block is stored once, whichever snapshot it is in.

use crate::{
    Error, FrameRef, PackId, Region,
    pack::{self, TRAILER, decode_index, index_start},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use kiln_types::Digest;
use std::collections::HashMap;

/// Bytes at a pack's end that are read at once: the index of a usual pack, of blocks that compress to a third.
const TAIL: u64 = 64 << 10;

/// Indexes that are read at the same time.
const READS_AT_ONCE: usize = 16;

/// The blocks of a region's packs, by digest.
pub(crate) type Known = HashMap<Digest, FrameRef>;

impl Region {
    /// Reads the index of every pack that may lend blocks: what a garbage collection has condemned or a check found
    /// damaged lends none.
    ///
    /// A pack whose index cannot be read lends no blocks: what it holds is stored again, and whoever needs the pack
    /// itself is told of the damage.
    pub(crate) async fn known_blocks(&self) -> Result<Known, Error> {
        let (condemned, quarantined) = (self.condemned().await?, self.quarantined().await?);
        let lends = |path: &str| !condemned.contains(path) && !quarantined.contains(path);
        let packs = self.list_objects(pack::FOLDER).await?.into_iter().filter_map(|object| {
            let id = PackId::from_path(object.location.as_ref())?;
            lends(object.location.as_ref()).then_some((id, object.size))
        });
        let reads = packs.map(async |(id, size)| (id, self.pack_index(id, size).await));
        let indexes = stream::iter(reads).buffered(READS_AT_ONCE).collect::<Vec<_>>().await;
        let mut known = Known::new();
        for (id, index) in indexes {
            match index {
                Ok(frames) => known.extend(frames.into_iter().map(|frame| (frame.digest, frame))),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(pack = %id, error, "left out of deduplication");
                }
            }
        }
        Ok(known)
    }

    /// Reads the index of one pack.
    pub(crate) async fn pack_index(&self, id: PackId, size: u64) -> Result<Vec<FrameRef>, Error> {
        let path = id.path();
        if size < TRAILER {
            return Err(Error::damaged_pack(id, format!("it has {size} bytes")));
        }
        let guess = size.saturating_sub(TAIL);
        let tail = self.read_range(&path, guess..size).await?;
        let start = index_start(id, size, &tail)?;
        let tail = match start.checked_sub(guess).and_then(|skip| usize::try_from(skip).ok()) {
            Some(skip) if skip <= tail.len() => tail.slice(skip..),
            _ => self.read_range(&path, start..size).await?,
        };
        decode_index(id, &tail)
    }

    async fn read_range(&self, path: &str, range: std::ops::Range<u64>) -> Result<Bytes, Error> {
        let length = range.end.saturating_sub(range.start);
        let bytes = self.read_ranges(path, &[range]).await?.into_iter().next().unwrap_or_default();
        if bytes.len() as u64 != length {
            let what = format!("{} bytes were read where {length} should be", bytes.len());
            return Err(Error::Damaged { path: path.to_owned(), what });
        }
        Ok(bytes)
    }
}
