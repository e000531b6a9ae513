//! Frames on their way from the region into a file: read ahead, worked on by all cores, written in order.
//!
//! ```text
//! caller             one thread a core                   thread "write"
//! read 8 frames  ─→ decode, compare, compress again ─→ write and hash, in the jobs' order
//! ```
//! Every job has a slot in the order of writing before it is worked on, or shares one with the others of its batch where frames are only
//! copied; and there are few slots, whatever the volume's size: on two cores what waits has at most 32 MiB. When one stage fails or the caller goes away, the others find their channel
//! closed and end.

use crate::{
    Error,
    piece::{Piece, Task, Tools},
    staged::Failure,
};
use bytes::Bytes;
use kiln_store::{FrameRef, Region};
use kiln_types::{BLOCK_SIZE, BlockIndex};
use std::{
    num::NonZero,
    sync::{Arc, Mutex, PoisonError},
    thread,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};

/// Frames that are read together.
const BATCH: usize = 8;
/// Pieces that wait to be written, beside the one that each thread makes: they take up what a slow one lets wait.
const WAITING: usize = 6;

/// A block of the snapshot, in the order of writing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    pub(crate) index: BlockIndex,
    pub(crate) frame: FrameRef,
    pub(crate) task: Task,
}

type Answer = Result<Piece, Error>;
type Work = (Job, Bytes, oneshot::Sender<Answer>);

/// Runs all jobs; `write` takes the pieces in order, on a thread of its own.
pub(crate) async fn run<T: Send + 'static>(
    region: &Region,
    jobs: impl Iterator<Item = Job> + Clone + Send,
    failure: &Failure,
    progress: &mut (dyn FnMut(u64, u64) + Send),
    write: impl FnOnce(&mut dyn Iterator<Item = Answer>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let (queue, inbox) = mpsc::channel::<Work>(threads + WAITING);
    let (slots, mut answers) = mpsc::channel::<oneshot::Receiver<Answer>>(threads + WAITING);
    let inbox = Arc::new(Mutex::new(inbox));
    for _ in 0..threads {
        let inbox = Arc::clone(&inbox);
        spawn_blocking(move || work(&inbox));
    }
    drop(inbox);
    let lost = failure.clone();
    let writing = spawn_blocking(move || {
        let next = || {
            let slot = answers.blocking_recv()?;
            // A worker that panicked has said so.
            Some(slot.blocking_recv().unwrap_or_else(|_gone| Err(lost.worker())))
        };
        write(&mut std::iter::from_fn(next))
    });
    let read = feed(region, jobs, &queue, &slots, progress).await;
    drop((queue, slots));
    let written = writing.await.map_err(|_panicked| failure.worker())?;
    // The writer has seen the end too early when reading failed.
    read.and(written)
}

async fn feed(
    region: &Region,
    mut jobs: impl Iterator<Item = Job> + Clone + Send,
    queue: &mpsc::Sender<Work>,
    slots: &mpsc::Sender<oneshot::Receiver<Answer>>,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<(), Error> {
    let blocks = |count: usize| u64::try_from(count).map_or(u64::MAX, |count| count * BLOCK_SIZE);
    let (mut done, total) = (0, jobs.clone().count());
    loop {
        let batch: Vec<Job> = jobs.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let wanted: Vec<FrameRef> = batch.iter().map(|job| job.frame).collect();
        let frames = region.read_frames(&wanted).await.map_err(Error::Store)?;
        if !given(&batch, frames, queue, slots).await {
            return Ok(()); // The writer has failed, and says why.
        }
        done += batch.len();
        progress(blocks(done), blocks(total));
    }
}

/// Gives frames to the workers, or to the writer where nothing is to be done with them: no thread need be woken for each then.
async fn given(
    batch: &[Job],
    frames: Vec<Bytes>,
    queue: &mpsc::Sender<Work>,
    slots: &mpsc::Sender<oneshot::Receiver<Answer>>,
) -> bool {
    if batch.iter().all(|job| job.task == Task::Copy) {
        let (answer, slot) = oneshot::channel();
        return answer.send(Ok(Piece::Frames(frames))).is_ok() && slots.send(slot).await.is_ok();
    }
    for (job, frame) in batch.iter().zip(frames) {
        let (answer, slot) = oneshot::channel();
        if slots.send(slot).await.is_err() || queue.send((*job, frame, answer)).await.is_err() {
            return false;
        }
    }
    true
}

fn work(inbox: &Mutex<mpsc::Receiver<Work>>) {
    let mut tools = Tools::default();
    loop {
        let next = inbox.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some((job, frame, answer)) = next else { return };
        // Nobody waits for the answer any more when the writer has failed.
        drop(answer.send(job.task.run(&job, &frame, &mut tools)));
    }
}
