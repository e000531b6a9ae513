//! A file's SHA-256, computed beside its writing.

use bytes::Bytes;
use kiln_types::Digest;
use sha2::{Digest as _, Sha256};
use std::{io, sync::mpsc, thread};

/// Zeros that are hashed at once; they fit in the processor's cache.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
/// Pieces that wait to be hashed. With 512 KiB each they take 4 MiB.
const WAITING: usize = 8;

enum Chunk {
    Bytes(Bytes),
    Zeros(u64),
}

/// A SHA-256 that is computed by a thread of its own.
#[derive(Debug)]
pub(crate) struct Hasher {
    chunks: mpsc::SyncSender<Chunk>,
    thread: thread::JoinHandle<Digest>,
}

impl Hasher {
    pub(crate) fn start() -> Self {
        let (chunks, inbox) = mpsc::sync_channel(WAITING);
        let thread = thread::spawn(move || {
            let mut hasher = Sha256::new();
            for chunk in inbox {
                match chunk {
                    Chunk::Bytes(bytes) => hasher.update(&bytes),
                    Chunk::Zeros(count) => zeros(&mut hasher, count),
                }
            }
            Digest::from_bytes(hasher.finalize().into())
        });
        Self { chunks, thread }
    }

    /// A copy costs a twentieth of the hashing.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        self.send(Chunk::Bytes(Bytes::copy_from_slice(bytes)))
    }

    pub(crate) fn zeros(&self, count: u64) -> io::Result<()> {
        self.send(Chunk::Zeros(count))
    }

    fn send(&self, chunk: Chunk) -> io::Result<()> {
        self.chunks.send(chunk).map_err(|_gone| io::Error::other("the thread that hashes has ended"))
    }

    pub(crate) fn finish(self) -> io::Result<Digest> {
        drop(self.chunks);
        self.thread.join().map_err(|_panicked| io::Error::other("the thread that hashes panicked"))
    }
}

fn zeros(hasher: &mut Sha256, count: u64) {
    let mut left = count;
    while left > 0 {
        let step = usize::try_from(left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
        hasher.update(&ZEROS[..step]);
        left -= u64::try_from(step).unwrap_or(left);
    }
}
