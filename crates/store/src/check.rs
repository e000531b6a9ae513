//! Reading blocks only to see whether they are whole.

use crate::{BlockMap, Error, FrameDecoder, FrameRef, Progress, Region, Verify, frame::BLOCK};
use futures::{StreamExt, stream};
use kiln_types::{BlockIndex, SnapshotId};
use std::{
    collections::{BTreeSet, HashMap},
    thread,
};

/// Frames that are read at once: with one batch on each processor, some tens of MiB.
const BATCH: usize = 8;

/// Most batches at the same time.
const BATCHES_AT_ONCE: usize = 4;

/// What was found when every block of a snapshot was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Blocks that hold data.
    pub blocks: u64,
    /// Those of them that are not what was stored, and why.
    pub damaged: Vec<(BlockIndex, String)>,
}

impl Region {
    /// Reads every block of a snapshot and compares it with its digest.
    ///
    /// # Errors
    /// As [`Region::block_map`]; a damaged block is an answer, not an error.
    pub async fn verify_snapshot(
        &self,
        id: SnapshotId,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Verified, Error> {
        let map = self.block_map(id).await?;
        let frames: BTreeSet<FrameRef> = map.data().map(|(_, frame)| frame).collect();
        let bad = self.damaged_frames(frames, progress).await?;
        Ok(Verified { blocks: map.data().count() as u64, damaged: damaged_blocks(&map, &bad) })
    }

    /// Reads and decodes frames, and answers those that are not whole, with the reason.
    pub(crate) async fn damaged_frames(
        &self,
        frames: BTreeSet<FrameRef>,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<HashMap<FrameRef, String>, Error> {
        let total = frames.len() as u64;
        let mut done = 0;
        progress(Progress { total, ..Progress::default() });
        let frames: Vec<_> = frames.into_iter().collect();
        let batches: Vec<_> = frames.chunks(BATCH).map(<[_]>::to_vec).collect();
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let checks = batches.into_iter().map(|batch| async move {
            let count = batch.len() as u64;
            Ok::<_, Error>((count, self.check_batch(batch).await?))
        });
        let mut checks = stream::iter(checks).buffered(processors.min(BATCHES_AT_ONCE));
        let mut damaged = HashMap::new();
        while let Some(checked) = checks.next().await {
            let (count, bad) = checked?;
            done += count;
            damaged.extend(bad);
            progress(Progress { done, total, ..Progress::default() });
        }
        Ok(damaged)
    }

    async fn check_batch(&self, batch: Vec<FrameRef>) -> Result<Vec<(FrameRef, String)>, Error> {
        // One bad frame fails the whole batch: then each is looked at by itself.
        let mut bad = Vec::new();
        let mut read = Vec::with_capacity(batch.len());
        match self.read_frames(&batch).await {
            Ok(bytes) => read.extend(batch.into_iter().zip(bytes)),
            Err(_) => {
                for frame in batch {
                    match self.read_frame(&frame).await {
                        Ok(bytes) => read.push((frame, bytes)),
                        Err(error) => bad.push((frame, why(error)?)),
                    }
                }
            }
        }
        let decode = move || {
            let mut decoder = FrameDecoder::new();
            let mut block = vec![0; BLOCK];
            for (frame, bytes) in read {
                if let Err(error) = decoder.decode(&frame, &bytes, Verify::Digest, &mut block) {
                    bad.push((frame, why(error)?));
                }
            }
            Ok(bad)
        };
        tokio::task::spawn_blocking(decode).await.map_err(|_panicked| Error::Worker)?
    }
}

/// Tells damage from a region that cannot be read just now, of which nothing follows.
fn why(error: Error) -> Result<String, Error> {
    match error {
        Error::Damaged { what, .. } => Ok(what),
        Error::Object { source: object_store::Error::NotFound { .. }, .. } => {
            Ok("its pack is missing".to_owned())
        }
        // A pack that was cut short; a server answers such a range with an error of its own.
        Error::Object { source: object_store::Error::Generic { .. }, path, .. } => {
            Ok(format!("{path} cannot be read there"))
        }
        other => Err(other),
    }
}

/// Lists the blocks of a map whose frames are damaged.
pub(crate) fn damaged_blocks(map: &BlockMap, bad: &HashMap<FrameRef, String>) -> Vec<(BlockIndex, String)> {
    let blocks = map.data().filter_map(|(index, frame)| Some((index, bad.get(&frame)?.clone())));
    blocks.collect()
}
