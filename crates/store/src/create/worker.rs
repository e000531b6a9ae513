//! A worker: reads blocks, compares them with the parent's, hashes and compresses the ones that are new.

use crate::{
    BlockContent, BlockMap, Error,
    frame::{self, FrameEncoder},
    known::Known,
};
use bytes::Bytes;
use kiln_qcow2::{BlockSource, KnownContent, PageBuffer};
use kiln_types::{BlockIndex, Digest};
use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::mpsc;

/// What the workers of a snapshot share.
pub(super) struct Job {
    /// The blocks to look at.
    pub(super) changed: Vec<BlockIndex>,
    /// The snapshot below.
    pub(super) parent: Option<BlockMap>,
    /// The blocks that the region holds.
    pub(super) known: Known,
    /// The next of `changed` that nobody has taken.
    next: AtomicUsize,
    /// Blocks that a worker has taken upon itself to compress.
    claimed: Mutex<HashSet<Digest>>,
}

impl Job {
    pub(super) fn new(changed: Vec<BlockIndex>, parent: Option<BlockMap>, known: Known) -> Arc<Self> {
        Arc::new(Self {
            changed,
            parent,
            known,
            next: AtomicUsize::new(0),
            claimed: Mutex::new(HashSet::new()),
        })
    }

    fn take(&self) -> Option<BlockIndex> {
        self.changed.get(self.next.fetch_add(1, Ordering::Relaxed)).copied()
    }

    /// Says whether the caller is the first to meet this block.
    fn claim(&self, digest: Digest) -> bool {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner).insert(digest)
    }
}

/// What became of a block that the source listed.
pub(super) enum Change {
    /// It is what the parent has.
    None,
    /// Zeros over the parent's data.
    Zero { index: BlockIndex },
    /// A block that the region holds, or that another worker met first.
    Known { index: BlockIndex, digest: Digest },
    /// A block that has to be stored.
    New { index: BlockIndex, digest: Digest, frame: Bytes },
}

/// Takes blocks until none is left, a block fails, or nobody listens any more.
pub(super) fn run(job: &Job, source: Box<dyn BlockSource>, sender: &mpsc::Sender<Result<Change, Error>>) {
    let mut worker = match Worker::new(job, source) {
        Ok(worker) => worker,
        Err(error) => {
            // A receiver that is gone has an error already.
            sender.blocking_send(Err(error)).unwrap_or_default();
            return;
        }
    };
    while let Some(index) = job.take() {
        let change = worker.block(index);
        let failed = change.is_err();
        if sender.blocking_send(change).is_err() || failed {
            return;
        }
    }
}

struct Worker<'j> {
    job: &'j Job,
    source: Box<dyn BlockSource>,
    encoder: FrameEncoder,
    block: PageBuffer,
}

impl<'j> Worker<'j> {
    fn new(job: &'j Job, source: Box<dyn BlockSource>) -> Result<Self, Error> {
        let encoder =
            FrameEncoder::new().map_err(|source| Error::Compress { index: BlockIndex(0), source })?;
        Ok(Self { job, source, encoder, block: PageBuffer::block() })
    }

    fn block(&mut self, index: BlockIndex) -> Result<Change, Error> {
        if let Some(change) = self.unread(index) {
            return Ok(change);
        }
        let read = self.source.read_block(index, &mut self.block);
        read.map_err(|source| Error::SourceRead { index, source })?;
        if frame::is_zero(&self.block) {
            return Ok(self.zero(index));
        }
        let digest = frame::digest(&self.block);
        if self.inherits(index, digest) {
            return Ok(Change::None);
        }
        if self.job.known.contains_key(&digest) || !self.job.claim(digest) {
            return Ok(Change::Known { index, digest });
        }
        let frame = Bytes::copy_from_slice(self.encoder.encode(index, &self.block)?);
        Ok(Change::New { index, digest, frame })
    }

    /// Says what became of a block that need not be read: its source knows what it holds, and the region holds it.
    fn unread(&self, index: BlockIndex) -> Option<Change> {
        match self.source.known_content(index)? {
            KnownContent::Zero => Some(self.zero(index)),
            KnownContent::Data(digest) if self.inherits(index, digest) => Some(Change::None),
            KnownContent::Data(digest) => {
                self.job.known.contains_key(&digest).then_some(Change::Known { index, digest })
            }
        }
    }

    fn zero(&self, index: BlockIndex) -> Change {
        match self.inherited(index) {
            None | Some(BlockContent::Zero) => Change::None,
            Some(BlockContent::Data(_)) => Change::Zero { index },
        }
    }

    fn inherits(&self, index: BlockIndex, digest: Digest) -> bool {
        matches!(self.inherited(index), Some(BlockContent::Data(frame)) if frame.digest == digest)
    }

    fn inherited(&self, index: BlockIndex) -> Option<BlockContent> {
        Some(self.job.parent.as_ref()?.get(index)?.content)
    }
}
