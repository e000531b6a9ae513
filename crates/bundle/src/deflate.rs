//! One gzip member, deflated by all cores.
//!
//! ```text
//! caller            one thread a core                            thread "seal"
//! 256 KiB chunks ─→ deflate after the chunk before, CRC-32 ─→ in order: header, pieces, CRC-32 and length
//! ```
//! Every chunk is deflated by itself with the last 32 KiB before it as dictionary, and ends at a byte: the pieces in a row
//! are one stream. Cutting does not depend on the cores, so the same bytes come out everywhere. A chunk of zeros is deflated
//! once for all.

use crate::{
    Error,
    seal::{SealedParts, Sealer},
};
use crc32fast::Hasher;
use std::{
    io,
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
};
use zlib_rs::{Deflate, DeflateConfig, DeflateError, DeflateFlush};

/// What one thread deflates at a time. Another size makes other bundles of the same disk.
pub(crate) const CHUNK: usize = 256 << 10;
/// A power of two that bounds the symbols of a deflate block: 2^13. Twice as many, as is usual, adapt less well to the
/// files of a disk, and make bundles half a per cent larger.
const BLOCKS: i32 = 7;
/// How far deflate looks back.
const WINDOW: usize = 32 << 10;
/// No name, no time, made on Unix.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

struct Job {
    chunk: Vec<u8>,
    before: Vec<u8>,
    answer: Sender<io::Result<Piece>>,
}

#[derive(Clone)]
struct Piece {
    bytes: Vec<u8>,
    crc: Hasher,
    length: u64,
}

/// Takes the bytes to compress.
pub(crate) struct Chunks {
    chunk: Vec<u8>,
    before: Vec<u8>,
    jobs: SyncSender<Job>,
    slots: SyncSender<Receiver<io::Result<Piece>>>,
}

impl Chunks {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut at = 0;
        self.fill(bytes.len(), |room| {
            room.copy_from_slice(&bytes[at..at + room.len()]);
            at += room.len();
            Ok(())
        })
    }

    /// Takes `length` bytes that `read` puts in their place, a stretch at a time.
    pub(crate) fn fill(
        &mut self,
        mut length: usize,
        mut read: impl FnMut(&mut [u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while length > 0 {
            let start = self.chunk.len();
            let now = length.min(CHUNK - start);
            self.chunk.resize(start + now, 0);
            read(&mut self.chunk[start..])?;
            length -= now;
            if self.chunk.len() == CHUNK {
                self.send()?;
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), Error> {
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        let after = chunk[chunk.len().saturating_sub(WINDOW)..].to_vec();
        let before = std::mem::replace(&mut self.before, after);
        let (answer, slot) = channel();
        self.slots.send(slot).map_err(|_closed| Error::Worker)?;
        self.jobs.send(Job { chunk, before, answer }).map_err(|_closed| Error::Worker)
    }
}

/// Compresses what `feed` gives into a sealer.
pub(crate) fn run<T>(
    level: u32,
    sealer: Sealer,
    feed: impl FnOnce(&mut Chunks) -> Result<T, Error>,
) -> Result<(T, SealedParts), Error> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(32);
    let zeros = deflated(&mut compressor(level), &[0; CHUNK], &[]).map_err(Error::Io)?;
    let (jobs, queue) = sync_channel::<Job>(threads);
    let (slots, ordered) = sync_channel(2 * threads + 2);
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        let seal = scope.spawn(move || write(sealer, &ordered));
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(level, &zeros, &queue))).collect();
        let mut chunks = Chunks { chunk: Vec::with_capacity(CHUNK), before: Vec::new(), jobs, slots };
        let fed = feed(&mut chunks).and_then(|value| {
            if !chunks.chunk.is_empty() {
                chunks.send()?;
            }
            Ok(value)
        });
        if fed.is_err() {
            // The writer must not take what is there for all: it gets a slot that nobody fills.
            drop(chunks.slots.send(channel().1));
        }
        drop(chunks);
        for worker in workers {
            worker.join().map_err(|_panic| Error::Worker)?;
        }
        let sealed = seal.join().map_err(|_panic| Error::Worker)?;
        match (fed, sealed) {
            (Ok(value), Ok(sealed)) => Ok((value, sealed)),
            // The caller finds its channel closed when the writer fails: the writer knows why.
            (Err(Error::Worker) | Ok(_), Err(error)) | (Err(error), _) => Err(error),
        }
    })
}

fn work(level: u32, zeros: &Piece, queue: &Mutex<Receiver<Job>>) {
    let mut compress = compressor(level);
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { chunk, before, answer }) = job else { return };
        let piece = if chunk.len() == CHUNK && is_zero(&chunk) {
            Ok(zeros.clone())
        } else {
            deflated(&mut compress, &chunk, &before)
        };
        // Nobody waits any more where the writer failed.
        drop(answer.send(piece));
    }
}

fn write(mut sealer: Sealer, ordered: &Receiver<Receiver<io::Result<Piece>>>) -> Result<SealedParts, Error> {
    let mut crc = Hasher::new();
    let mut length = 0_u64;
    sealer.write(&HEADER)?;
    for slot in ordered {
        let piece = slot.recv().map_err(|_closed| Error::Worker)??;
        length += piece.length;
        crc.combine(&piece.crc);
        sealer.write(&piece.bytes)?;
    }
    // An empty last block.
    sealer.write(&[3, 0])?;
    sealer.write(&crc.finalize().to_le_bytes())?;
    // The length's lowest 32 bits, as the format has it.
    sealer.write(length.to_le_bytes().first_chunk::<4>().unwrap_or(&[0; 4]))?;
    sealer.finish()
}

fn compressor(level: u32) -> Deflate {
    let level = i32::try_from(level).unwrap_or(6);
    Deflate::new_with_config(DeflateConfig {
        level,
        window_bits: -15,
        mem_level: BLOCKS,
        ..DeflateConfig::default()
    })
}

/// Deflates a chunk up to a byte's end, so that another can follow.
fn deflated(compress: &mut Deflate, chunk: &[u8], before: &[u8]) -> io::Result<Piece> {
    let failed = |error: DeflateError| io::Error::other(error.as_str());
    compress.reset();
    if !before.is_empty() {
        compress.set_dictionary(before).map_err(failed)?;
    }
    // Nine bits for each byte is the worst that it makes of anything, and a flush is short.
    let mut bytes = vec![0; chunk.len() + chunk.len() / 4 + 1024];
    compress.compress(chunk, &mut bytes, DeflateFlush::SyncFlush).map_err(failed)?;
    if compress.total_in() != u64::try_from(chunk.len()).unwrap_or(u64::MAX) {
        return Err(io::Error::other("deflate took only a part of what it was given"));
    }
    bytes.truncate(usize::try_from(compress.total_out()).map_err(io::Error::other)?);
    let mut crc = Hasher::new();
    crc.update(chunk);
    Ok(Piece { bytes, crc, length: compress.total_in() })
}

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(64).all(|some| some.iter().fold(0, |all, byte| all | byte) == 0)
}
