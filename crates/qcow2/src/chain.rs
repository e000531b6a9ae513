//! A raw base disk under qcow2 overlays that QEMU wrote for Kiln, read as one volume.
//!
//! ```text
//! overlays, top first   each opened alone by qcow2-rs, with no backing: it answers for its own clusters only
//! base                  a sparse raw file
//! ```
//! A cluster is looked up from the top down: data and zeros end the search, an unallocated cluster passes it on, and
//! below a layer's end nothing shines through: bytes beyond the size of any layer above are zeros. qcow2-rs's own
//! chaining returns stale memory where an overlay is larger than its base; resolving the chain here avoids it and
//! tells which layer wrote a cluster, that is what changed.
//!
//! qcow2-rs's devices cannot move between threads, so each chain has a thread that owns them; a panic inside the
//! library ends that thread and comes out as [`Error::ReaderStopped`].
//!
//! **Invariant:** a chain opens the files that its caller names and no other; names inside the overlays are ignored.

mod changed;
mod file;
mod layer;
mod layers;

use crate::{
    BlockSource, Error, Format, PageBuffer, RawDisk,
    gate::{Policy, examine},
    probe::Probe,
};
use kiln_types::BlockIndex;
use layers::{Layers, Overlay};
use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

/// The most overlays over one base: each costs memory and a look-up a cluster.
pub const MOST_OVERLAYS: usize = 64;

/// A raw base disk and the qcow2 overlays over it. The blocks in which any overlay has something are the changed ones.
pub struct Chain {
    base: PathBuf,
    overlays: Vec<PathBuf>,
    size: u64,
    requests: Option<mpsc::Sender<Request>>,
    replies: mpsc::Receiver<Reply>,
    spare: Option<PageBuffer>,
    thread: Option<thread::JoinHandle<()>>,
}

enum Request {
    Changed,
    Writers,
    Read(BlockIndex, PageBuffer),
}

enum Reply {
    Opened(Result<(), Error>),
    Changed(Result<Vec<BlockIndex>, Error>),
    Writers(Result<Vec<(BlockIndex, usize)>, Error>),
    Read(PageBuffer, Result<(), Error>),
}

impl Chain {
    /// Opens a base and its overlays, the lowest first.
    ///
    /// # Errors
    /// When a file is no valid layer, one is named twice, or there are more than [`MOST_OVERLAYS`].
    pub fn open(base: &Path, overlays: &[PathBuf]) -> Result<Self, Error> {
        let wrong = |why: &str| Error::Chain { base: base.to_owned(), why: why.to_owned() };
        if overlays.len() > MOST_OVERLAYS {
            return Err(wrong("it has too many overlays"));
        }
        let disk = RawDisk::open(base)?;
        let mut seen = vec![disk.identity()?];
        let mut opened = Vec::new();
        for path in overlays {
            let probe = Probe::open(path, Format::Qcow2)?;
            let geometry = examine(&probe, Policy::Layer)?;
            let overlay = Overlay { path: path.clone(), geometry, file: probe.into_file() };
            let identity = overlay.identity()?;
            if seen.contains(&identity) {
                return Err(wrong("it names one file twice"));
            }
            seen.push(identity);
            opened.push(overlay);
        }
        opened.reverse();
        let size = opened.first().map_or(disk.size(), |top| top.geometry.size);
        let (requests, inbox) = mpsc::channel();
        let (outbox, replies) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("disk chain".to_owned())
            .spawn(move || serve(disk, opened, &inbox, &outbox))?;
        let chain = Self {
            base: base.to_owned(),
            overlays: overlays.to_owned(),
            size,
            requests: Some(requests),
            replies,
            spare: None,
            thread: Some(thread),
        };
        match chain.reply()? {
            Reply::Opened(result) => result.map(|()| chain),
            _ => Err(chain.stopped()),
        }
    }

    /// Returns the base.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Returns the overlays, the lowest first.
    #[must_use]
    pub fn overlays(&self) -> &[PathBuf] {
        &self.overlays
    }

    /// Lists the blocks that overlays have written to, each with the topmost of these overlays by its place; 0 is the lowest.
    ///
    /// # Errors
    /// When the tables of an overlay cannot be read.
    pub fn writers(&self) -> Result<Vec<(BlockIndex, usize)>, Error> {
        match self.ask(Request::Writers)? {
            Reply::Writers(writers) => writers,
            _ => Err(self.stopped()),
        }
    }

    fn ask(&self, request: Request) -> Result<Reply, Error> {
        let sent = self.requests.as_ref().map(|requests| requests.send(request));
        match sent {
            Some(Ok(())) => self.reply(),
            Some(Err(_)) | None => Err(self.stopped()),
        }
    }

    fn reply(&self) -> Result<Reply, Error> {
        self.replies.recv().map_err(|_closed| self.stopped())
    }

    fn stopped(&self) -> Error {
        Error::ReaderStopped { base: self.base.clone() }
    }
}

impl BlockSource for Chain {
    fn size(&self) -> u64 {
        self.size
    }

    fn changed_blocks(&mut self) -> Result<Vec<BlockIndex>, Error> {
        match self.ask(Request::Changed)? {
            Reply::Changed(blocks) => blocks,
            _ => Err(self.stopped()),
        }
    }

    fn read_block(&mut self, index: BlockIndex, buffer: &mut [u8]) -> Result<(), Error> {
        if index.offset() >= self.size {
            return Err(Error::BeyondEnd { index: index.0, size: self.size });
        }
        let own = self.spare.take().unwrap_or_else(PageBuffer::block);
        match self.ask(Request::Read(index, own))? {
            Reply::Read(own, result) => {
                if result.is_ok() {
                    buffer.copy_from_slice(&own);
                }
                self.spare = Some(own);
                result
            }
            _ => Err(self.stopped()),
        }
    }

    fn reopen(&self) -> Result<Box<dyn BlockSource>, Error> {
        Ok(Box::new(Self::open(&self.base, &self.overlays)?))
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!(base = %self.base.display(), "the reader of a disk chain panicked");
        }
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Chain");
        debug.field("base", &self.base).field("overlays", &self.overlays).field("size", &self.size);
        debug.finish_non_exhaustive()
    }
}

/// The thread: owns the devices until the chain is dropped.
fn serve(
    base: RawDisk,
    overlays: Vec<Overlay>,
    inbox: &mpsc::Receiver<Request>,
    outbox: &mpsc::Sender<Reply>,
) {
    let layers = match Layers::open(base, overlays) {
        Ok(layers) => layers,
        Err(error) => {
            // The chain is waiting for this; should it be gone, so is the reason to tell.
            drop(outbox.send(Reply::Opened(Err(error))));
            return;
        }
    };
    if outbox.send(Reply::Opened(Ok(()))).is_err() {
        return;
    }
    for request in inbox {
        let reply = match request {
            Request::Changed => Reply::Changed(layers.changed()),
            Request::Writers => Reply::Writers(layers.writers()),
            Request::Read(index, mut buffer) => {
                let result = layers.read(index.offset(), &mut buffer);
                Reply::Read(buffer, result)
            }
        };
        if outbox.send(reply).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
