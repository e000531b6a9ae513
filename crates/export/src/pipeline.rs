//! Frames on their way from the region into a file: read ahead, decoded on all cores, written in order.
//!
//! ```text
//! caller          thread "decode"           thread "write"
//! read 16 frames ─→ decode them         ─→ write and hash them
//! ```
//! Between two stages waits at most one batch, so that memory stays under 40 MiB whatever the volume's size. When one
//! stage fails or the caller goes away, the others find their channel closed and end.

use crate::{Error, staged::Failure};
use bytes::Bytes;
use kiln_qcow2::PageBuffer;
use kiln_store::{FrameDecoder, FrameRef, Region, Verify};
use kiln_types::{BLOCK_SIZE, BlockIndex};
use std::{num::NonZero, sync::mpsc, thread};
use tokio::{
    sync::mpsc::{Receiver, channel},
    task::spawn_blocking,
};

/// Frames that are read and decoded together.
const BATCH: usize = 16;

/// What happens to a frame before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// It is written as it is, perhaps after its block's digest has been compared.
    Copy(Verify),
    /// Its block is written.
    Decode,
}

/// A block of the snapshot, in the order of writing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    pub(crate) index: BlockIndex,
    pub(crate) frame: FrameRef,
    pub(crate) task: Task,
}

/// What is written.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A frame as it lies in its pack.
    Frame(Bytes),
    /// The block that stands at this place.
    Block(BlockIndex, PageBuffer),
}

type Pieces = Vec<Result<Piece, Error>>;

/// Runs all jobs; `write` takes the pieces in order, on a thread of its own.
pub(crate) async fn run<T: Send + 'static>(
    region: &Region,
    jobs: &[Job],
    failure: &Failure,
    progress: &mut (dyn FnMut(u64, u64) + Send),
    write: impl FnOnce(&mut dyn Iterator<Item = Result<Piece, Error>>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (batches, inbox) = channel(1);
    let (outbox, pieces) = mpsc::sync_channel::<Pieces>(1);
    let decoding = spawn_blocking(move || decode(inbox, &outbox));
    let writing = spawn_blocking(move || write(&mut pieces.into_iter().flatten()));

    let blocks = |jobs: &[Job]| u64::try_from(jobs.len()).map_or(u64::MAX, |count| count * BLOCK_SIZE);
    let (mut done, total) = (0, blocks(jobs));
    for batch in jobs.chunks(BATCH) {
        let wanted: Vec<FrameRef> = batch.iter().map(|job| job.frame).collect();
        let frames = region.read_frames(&wanted).await.map_err(Error::Store)?;
        if batches.send((batch.to_vec(), frames)).await.is_err() {
            break; // The writer has failed, and says why below.
        }
        done += blocks(batch);
        progress(done, total);
    }
    drop(batches);
    decoding.await.map_err(|_panicked| failure.worker())?;
    writing.await.map_err(|_panicked| failure.worker())?
}

fn decode(mut inbox: Receiver<(Vec<Job>, Vec<Bytes>)>, outbox: &mpsc::SyncSender<Pieces>) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut decoders: Vec<FrameDecoder> = std::iter::repeat_with(FrameDecoder::new).take(threads).collect();
    while let Some((jobs, frames)) = inbox.blocking_recv() {
        let work: Vec<(Job, Bytes)> = jobs.into_iter().zip(frames).collect();
        let easy = work.iter().all(|(job, _)| job.task == Task::Copy(Verify::Length));
        let share = if easy { work.len() } else { work.len().div_ceil(threads) };
        let pieces = thread::scope(|scope| {
            let parts = work.chunks(share.max(1)).zip(&mut decoders);
            let parts: Vec<_> = parts
                .map(|(part, decoder)| {
                    scope.spawn(move || {
                        part.iter().map(|(job, frame)| piece(job, frame, decoder)).collect::<Pieces>()
                    })
                })
                .collect();
            parts.into_iter().map(thread::ScopedJoinHandle::join).collect::<Result<Vec<_>, _>>()
        });
        // A panic has been printed; the writer finds the pieces missing.
        let Ok(pieces) = pieces else { return };
        if outbox.send(pieces.into_iter().flatten().collect()).is_err() {
            return;
        }
    }
}

fn piece(job: &Job, frame: &Bytes, decoder: &mut FrameDecoder) -> Result<Piece, Error> {
    let mut decoded = |verify| {
        let mut block = PageBuffer::block();
        decoder.decode(&job.frame, frame, verify, &mut block).map_err(Error::Store)?;
        Ok(block)
    };
    match job.task {
        Task::Decode => Ok(Piece::Block(job.index, decoded(Verify::Digest)?)),
        Task::Copy(Verify::Digest) => decoded(Verify::Digest).map(|_block| Piece::Frame(frame.clone())),
        // The region has checked the frame's headers and its length: exactly one frame of one block.
        Task::Copy(Verify::Length) => Ok(Piece::Frame(frame.clone())),
    }
}
