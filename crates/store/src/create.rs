//! Making a snapshot of a volume.
//!
//! ```text
//! changed blocks ─▶ workers: read, compare, hash, compress ─▶ packs ─▶ snapshots/<id>/map ─▶ 00000001.json
//!                   (a thread each, with a source of its own)         │                      └ publishes
//!                                                                     └ dies before: garbage, no snapshot
//! ```
//! Which blocks count as changed: of the blocks that the source lists, those that differ from the parent's. A guest
//! that rewrites a block with the same bytes changes nothing here, and the parent stays its writer. (In the EBS direct
//! API a put of identical bytes is a change; a server of it decides that for itself and has no overlay to compare.)
//! Zeros over the parent's data are a change of their own kind; zeros where nothing was written are none.
//!
//! Memory: a worker holds a block and a frame, the queue two frames a worker, the pack's stream three parts.

mod worker;

use crate::{
    BlockContent, BlockMap, BlockRef, Error, FrameRef, Region, Snapshot, Tag,
    map::{MAX_VOLUME_GIB, volume_gib},
    pack::PackWriter,
    snapshot::Counts,
};
use kiln_qcow2::BlockSource;
use kiln_types::{AccountId, BlockIndex, Digest, SnapshotId, Timestamp};
use std::{collections::HashMap, fmt, sync::Arc, thread};
use tokio::{sync::mpsc, task};
use worker::{Change, Job};

/// Most threads that compress. One more costs 3 MiB and the source's open files.
const MAX_WORKERS: usize = 8;

/// What a snapshot is made from.
pub struct NewSnapshot {
    /// The volume. Only the blocks that it lists as changed are read; with a parent, the source must therefore list
    /// every block that may differ from *that snapshot*: the overlays over a disk that has the parent's content.
    pub source: Box<dyn BlockSource>,
    /// The snapshot whose blocks are inherited where the source lists no change.
    pub parent: Option<SnapshotId>,
    /// The account that will own it.
    pub owner: AccountId,
    /// What it is, for people.
    pub description: String,
    /// Tags.
    pub tags: Vec<Tag>,
}

impl fmt::Debug for NewSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSnapshot")
            .field("size", &self.source.size())
            .field("parent", &self.parent)
            .field("owner", &self.owner)
            .field("description", &self.description)
            .field("tags", &self.tags)
            .finish()
    }
}

/// How far a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Changed blocks that are done.
    pub done: u64,
    /// Changed blocks in all.
    pub total: u64,
    /// Bytes written to packs so far.
    pub stored_bytes: u64,
}

impl Region {
    /// Stores the changed blocks of a volume and publishes the snapshot of it.
    ///
    /// The record is written last: a call that fails, is dropped or dies leaves nothing that a reader can see.
    ///
    /// # Errors
    /// When the source cannot be read, the region cannot be written, the parent does not exist or is larger.
    pub async fn create_snapshot(
        &self,
        new: NewSnapshot,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Snapshot, Error> {
        let start = Timestamp::now();
        let size = new.source.size();
        if size == 0 || volume_gib(size) > MAX_VOLUME_GIB {
            return Err(Error::VolumeSize { size });
        }
        let parent = self.parent_map(new.parent, size).await?;
        let (sources, changed) = prepare(new.source, size).await?;
        let job = Job::new(changed, parent, self.known_blocks().await?);
        let written = self.store_blocks(Arc::clone(&job), sources, progress).await?;

        let id = SnapshotId::random();
        let changes = written.changes(id, &job)?;
        let counts =
            Counts { changed: changes.len() as u64, new: written.new, stored_bytes: written.stored_bytes };
        let map = BlockMap::child(job.parent.as_ref(), id, size, changes);
        let mut record = Snapshot::completed(id, &map, &counts, start);
        record.parent_snapshot_id = new.parent;
        record.owner_id = new.owner;
        record.description = new.description;
        record.tags = new.tags;
        self.publish(map, record).await
    }

    async fn parent_map(&self, parent: Option<SnapshotId>, size: u64) -> Result<Option<BlockMap>, Error> {
        let Some(parent) = parent else {
            return Ok(None);
        };
        let map = self.block_map(parent).await?;
        if size < map.size {
            return Err(Error::SmallerThanParent { parent, parent_size: map.size, size });
        }
        Ok(Some(map))
    }

    /// Runs the workers and writes what they find into packs.
    async fn store_blocks(
        &self,
        job: Arc<Job>,
        sources: Vec<Box<dyn BlockSource>>,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Written, Error> {
        let (sender, receiver) = mpsc::channel(2 * sources.len());
        let total = job.changed.len() as u64;
        let workers = sources.into_iter().map(|source| {
            let (job, sender) = (Arc::clone(&job), sender.clone());
            task::spawn_blocking(move || worker::run(&job, source, &sender))
        });
        let workers = workers.collect::<Vec<_>>();
        drop(sender);
        let mut packs = PackWriter::new(self.clone());
        let collected = collect(receiver, &mut packs, total, progress).await;
        // The receiver is gone: each worker ends at its next block, also after an error.
        for worker in workers {
            worker.await.map_err(|_panicked| Error::Worker)?;
        }
        match collected {
            Ok((changes, new)) if changes.done == total => {
                let (frames, stored_bytes) = packs.finish().await?;
                Ok(Written { changes: changes.blocks, frames, new, stored_bytes })
            }
            Ok(_) => Err(Error::Worker),
            Err(error) => {
                packs.abort().await;
                Err(error)
            }
        }
    }
}

/// Lists the changed blocks and opens a source for each worker.
async fn prepare(
    mut source: Box<dyn BlockSource>,
    size: u64,
) -> Result<(Vec<Box<dyn BlockSource>>, Vec<BlockIndex>), Error> {
    let prepare = move || {
        let changed = source.changed_blocks().map_err(|source| Error::SourceList { source })?;
        let mut next = 0;
        for index in &changed {
            if u64::from(index.0) < next || index.offset() >= size {
                return Err(Error::SourceOrder { index: *index });
            }
            next = u64::from(index.0) + 1;
        }
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let workers = threads.min(MAX_WORKERS).min(changed.len());
        let mut sources = Vec::with_capacity(workers);
        for _ in 1..workers {
            sources.push(source.reopen().map_err(|source| Error::SourceReopen { source })?);
        }
        sources.push(source);
        Ok((sources, changed))
    };
    task::spawn_blocking(prepare).await.map_err(|_panicked| Error::Worker)?
}

/// Blocks that changed, in no order, and how many were looked at.
#[derive(Default)]
struct Changes {
    blocks: Vec<(BlockIndex, Option<Digest>)>,
    done: u64,
}

async fn collect(
    mut receiver: mpsc::Receiver<Result<Change, Error>>,
    packs: &mut PackWriter,
    total: u64,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<(Changes, u64), Error> {
    let mut changes = Changes::default();
    let mut new = 0;
    progress(Progress { total, ..Progress::default() });
    while let Some(change) = receiver.recv().await {
        match change? {
            Change::None => {}
            Change::Zero { index } => changes.blocks.push((index, None)),
            Change::Known { index, digest } => changes.blocks.push((index, Some(digest))),
            Change::New { index, digest, frame } => {
                packs.push(digest, frame).await?;
                changes.blocks.push((index, Some(digest)));
                new += 1;
            }
        }
        changes.done += 1;
        progress(Progress { done: changes.done, total, stored_bytes: packs.stored_bytes() });
    }
    Ok((changes, new))
}

/// What the workers found, with every new block in a pack.
struct Written {
    changes: Vec<(BlockIndex, Option<Digest>)>,
    frames: HashMap<Digest, FrameRef>,
    new: u64,
    stored_bytes: u64,
}

impl Written {
    /// Returns the changed blocks in order, each with the place of its frame.
    fn changes(&self, writer: SnapshotId, job: &Job) -> Result<Vec<BlockRef>, Error> {
        let place = |digest: &Digest| self.frames.get(digest).or_else(|| job.known.get(digest)).copied();
        let mut changes = Vec::with_capacity(self.changes.len());
        for (index, digest) in &self.changes {
            let content = match digest {
                None => BlockContent::Zero,
                Some(digest) => BlockContent::Data(place(digest).ok_or(Error::Worker)?),
            };
            changes.push(BlockRef { index: *index, writer, content });
        }
        changes.sort_unstable_by_key(|change| change.index);
        Ok(changes)
    }
}

#[cfg(test)]
mod tests;
