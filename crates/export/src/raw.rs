//! Raw: every block decoded and its digest compared; zeros become holes.

use crate::{
    Error,
    file::{HashedFile, Written},
    pipeline::{self, Job, Piece, Task},
    staged::Staged,
};
use kiln_qcow2::writer::Output;
use kiln_store::{BlockMap, Region};
use kiln_types::BLOCK_SIZE;

/// Writes a snapshot into a staged file.
pub(crate) async fn write(
    region: &Region,
    map: &BlockMap,
    staged: &Staged,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Written, Error> {
    let size = map.size().bytes();
    let jobs: Vec<Job> = map.data().map(|(index, frame)| Job { index, frame, task: Task::Decode }).collect();
    let needed = u64::try_from(jobs.len()).map_or(u64::MAX, |count| count * BLOCK_SIZE).min(size);
    let failure = staged.failure(needed);
    let file = staged.open()?;
    let told = failure.clone();
    pipeline::run(region, &jobs, &failure, progress, move |pieces| {
        let mut out = HashedFile::new(file);
        let mut at = 0;
        for piece in pieces {
            if let Piece::Block(index, block) = piece? {
                let start = index.offset().min(size);
                let length = (size - start).min(BLOCK_SIZE);
                let bytes = &block[..usize::try_from(length).expect("at most a block")];
                let written = out.zeros(start - at).and_then(|()| out.sparse_bytes(bytes));
                written.map_err(|error| told.write(error))?;
                at = start + length;
            }
        }
        out.zeros(size - at).and_then(|()| out.finish()).map_err(|error| told.write(error))
    })
    .await
}
