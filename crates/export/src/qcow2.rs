//! qcow2 with 512 KiB clusters: the region's frames as they are.

use crate::{
    Error,
    file::{HashedFile, Written},
    pipeline::{self, Job, Piece, Task},
    staged::Staged,
};
use kiln_qcow2::writer::{Compression, Content, Layout, Writer};
use kiln_store::{BlockMap, FrameRef, Region, Verify};
use kiln_types::{BLOCK_SIZE, BlockIndex};

/// A cluster holds a block, as a power of two.
const CLUSTER_BITS: u32 = BLOCK_SIZE.trailing_zeros();

/// Writes a snapshot into a staged file.
pub(crate) async fn write(
    region: &Region,
    map: &BlockMap,
    verify: Verify,
    staged: &Staged,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Written, Error> {
    let clusters = map.data().map(|(index, frame)| (u64::from(index.0), content(&frame))).collect();
    let size = map.size().bytes().next_multiple_of(512);
    let layout = Layout::new(size, CLUSTER_BITS, Compression::Zstd, clusters).map_err(Error::Image)?;
    let jobs = jobs(map, verify);
    let failure = staged.failure(layout.file_size());
    let file = staged.open()?;
    let told = failure.clone();
    pipeline::run(region, &jobs, &failure, progress, move |pieces| {
        let mut writer = Writer::start(&layout, HashedFile::new(file)).map_err(|error| told.image(error))?;
        for piece in pieces {
            let written = match piece? {
                Piece::Frame(frame) => writer.frame(&frame),
                Piece::Block(_, block) => writer.plain(&block),
            };
            written.map_err(|error| told.image(error))?;
        }
        let out = writer.finish().map_err(|error| told.image(error))?;
        out.finish().map_err(|error| told.write(error))
    })
    .await
}

/// A frame that is no smaller than its block is stored as the block.
fn content(frame: &FrameRef) -> Content {
    if u64::from(frame.length) < BLOCK_SIZE { Content::Frame(frame.length) } else { Content::Plain }
}

/// The blocks in the layout's order: all frames, then all plain clusters.
fn jobs(map: &BlockMap, verify: Verify) -> Vec<Job> {
    let of = |wanted: fn(Content) -> bool, task| {
        let chosen = map.data().filter(move |(_, frame)| wanted(content(frame)));
        chosen.map(move |(index, frame): (BlockIndex, FrameRef)| Job { index, frame, task })
    };
    let frames = of(|content| content != Content::Plain, Task::Copy(verify));
    frames.chain(of(|content| content == Content::Plain, Task::Decode)).collect()
}
