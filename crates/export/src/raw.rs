//! Raw: every block decoded and its digest compared; in a file zeros become holes.

use crate::{
    Error,
    file::{HashedFile, Written},
    piece::{Piece, Task},
    pipeline::{self, Job},
    staged::{Failure, Staged},
};
use kiln_qcow2::{PageBuffer, writer::Output};
use kiln_store::{BlockMap, Region};
use kiln_types::BLOCK_SIZE;
use std::io;

/// Where a raw disk goes: an output that may leave out zeros which are data.
pub(crate) trait RawOutput: Output {
    /// Takes bytes of which many pages may be zeros.
    fn sparse_bytes(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Writes a snapshot into a staged file.
pub(crate) async fn write(
    region: &Region,
    map: &BlockMap,
    staged: &Staged,
    sha256: bool,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Written, Error> {
    let needed = u64::try_from(map.data().count()).map_or(u64::MAX, |count| count * BLOCK_SIZE);
    let failure = staged.failure(needed.min(map.size().bytes()));
    let out = HashedFile::new(staged.open()?, sha256);
    let written = send(region, map, out, &failure, progress).await?;
    written.finish().map_err(|error| failure.write(error))
}

/// Sends all bytes of a snapshot's volume to an output.
pub(crate) async fn send<O: RawOutput + Send + 'static>(
    region: &Region,
    map: &BlockMap,
    mut out: O,
    failure: &Failure,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<O, Error> {
    let size = map.size().bytes();
    let told = failure.clone();
    pipeline::run(region, jobs(map), failure, progress, move |pieces| {
        let mut at = 0;
        for piece in pieces {
            let Piece::Block(index, block) = piece? else { return Err(told.worker()) };
            let start = index.offset().min(size);
            let bytes = within(&block, size - start);
            let written = out.zeros(start - at).and_then(|()| out.sparse_bytes(bytes));
            written.map_err(|error| told.write(error))?;
            at = (start + BLOCK_SIZE).min(size);
        }
        out.zeros(size - at).map_err(|error| told.write(error))?;
        Ok(out)
    })
    .await
}

fn jobs(map: &BlockMap) -> impl Iterator<Item = Job> + Clone {
    map.data().map(|(index, frame)| Job { index, frame, task: Task::Decode })
}

/// The part of a block that lies before the volume's end.
fn within(block: &PageBuffer, left: u64) -> &[u8] {
    let length = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
    &block[..length]
}

/// A pipe, a socket, a file that somebody else opened: every byte is written.
#[derive(Debug)]
pub(crate) struct Stream<W>(pub(crate) W);

impl<W: io::Write> Output for Stream<W> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut io::Read::take(io::repeat(0), count), &mut self.0).map(drop)
    }
}

impl<W: io::Write> RawOutput for Stream<W> {
    fn sparse_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes(bytes)
    }
}
