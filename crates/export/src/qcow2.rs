//! qcow2: the region's frames as they are, or clusters that are compressed again on all cores.

use crate::{
    Error,
    file::{self, HashedFile, Written},
    piece::{Cluster, Piece, Recompress, Task},
    pipeline::{self, Job},
    staged::{Failure, Staged},
    target::{Compress, Qcow2},
};
use kiln_qcow2::writer::{Compression, Content, Geometry, Layout, OpenLayout, Writer};
use kiln_store::{BlockContent, BlockMap, FrameRef, Region, Verify};
use kiln_types::{BLOCK_SIZE, BlockIndex};
use std::{fs::File, io, os::unix::fs::FileExt};

/// A cluster that holds a block, as a power of two.
const BLOCK_BITS: u32 = BLOCK_SIZE.trailing_zeros();

/// What a snapshot's qcow2 file holds: everything, or what the snapshot wrote over its parent.
#[derive(Debug)]
struct Contents<'a> {
    map: &'a BlockMap,
    incremental: bool,
}

impl Contents<'_> {
    fn blocks(&self) -> impl Iterator<Item = (BlockIndex, BlockContent)> + Clone + '_ {
        let own = self.map.lineage().last();
        let wanted = self.map.entries().iter().filter(move |entry| match entry.content {
            _ if self.incremental => Some(&entry.writer) == own,
            BlockContent::Zero => false,
            BlockContent::Data(_) => true,
        });
        wanted.map(|entry| (entry.index, entry.content))
    }

    fn jobs(&self, task: impl Fn(&FrameRef) -> Option<Task> + Clone) -> impl Iterator<Item = Job> + Clone {
        self.blocks().filter_map(move |(index, content)| match content {
            BlockContent::Data(frame) => task(&frame).map(|task| Job { index, frame, task }),
            BlockContent::Zero => None,
        })
    }
}

/// How a file is written, beside what it holds.
pub(crate) struct Way<'a> {
    pub(crate) staged: &'a Staged,
    /// Bytes of the volume in the file.
    pub(crate) size: u64,
    pub(crate) verify: Verify,
    pub(crate) sha256: bool,
}

/// Writes a snapshot into a staged file.
pub(crate) async fn write(
    region: &Region,
    map: &BlockMap,
    options: &Qcow2,
    way: &Way<'_>,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Written, Error> {
    if options.parent.is_some() && map.lineage().len() < 2 {
        return Err(Error::NoParent);
    }
    let contents = Contents { map, incremental: options.parent.is_some() };
    let geometry = Geometry {
        version: options.version,
        backing: options.parent.clone(),
        ..Geometry::new(
            way.size,
            options.cluster_bits,
            match options.compress {
                Compress::Zstd => Compression::Zstd,
                Compress::Zlib | Compress::None => Compression::Deflate,
            },
        )
    };
    if (options.cluster_bits, options.compress) == (BLOCK_BITS, Compress::Zstd) {
        copy(region, &contents, geometry, way, progress).await
    } else {
        let how = Recompress { cluster_bits: options.cluster_bits, compress: options.compress };
        recompress(region, &contents, geometry, how, way, progress).await
    }
}

/// Copies frames; all lengths are known, so that the file is written in order.
async fn copy(
    region: &Region,
    contents: &Contents<'_>,
    geometry: Geometry,
    way: &Way<'_>,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Written, Error> {
    let described = |(index, content): (BlockIndex, BlockContent)| (u64::from(index.0), described(&content));
    let clusters: Vec<_> = contents.blocks().map(described).collect();
    let layout = Layout::new(geometry, &clusters).map_err(Error::Image)?;
    drop(clusters);
    // The layout's order: all frames, then all plain clusters.
    let copy = match way.verify {
        Verify::Digest => Task::Verify,
        Verify::Length => Task::Copy,
    };
    let frames = contents.jobs(move |frame| is_frame(frame).then_some(copy));
    let jobs = frames.chain(contents.jobs(|frame| (!is_frame(frame)).then_some(Task::Decode)));
    let failure = way.staged.failure(layout.file_size());
    let (file, told, sha256) = (way.staged.open()?, failure.clone(), way.sha256);
    pipeline::run(region, jobs, &failure, progress, move |pieces| {
        let out = HashedFile::new(file, sha256);
        let mut writer = Writer::start(&layout, out).map_err(|error| told.image(error))?;
        for piece in pieces {
            let written = match piece? {
                Piece::Frames(frames) => frames.iter().try_for_each(|frame| writer.frame(frame)),
                Piece::Block(_, block) => writer.plain(&block),
                _ => return Err(told.worker()),
            };
            written.map_err(|error| told.image(error))?;
        }
        let out = writer.finish().map_err(|error| told.image(error))?;
        out.finish().map_err(|error| told.write(error))
    })
    .await
}

/// A frame that is no smaller than its block is stored as the block.
fn is_frame(frame: &FrameRef) -> bool {
    u64::from(frame.length) < BLOCK_SIZE
}

fn described(content: &BlockContent) -> Content {
    match content {
        BlockContent::Zero => Content::Zero,
        BlockContent::Data(frame) if is_frame(frame) => Content::Frame(frame.length),
        BlockContent::Data(_) => Content::Plain,
    }
}

/// Compresses clusters again. Their lengths are known only then, so that the tables are written last, and the file is
/// read once more to be hashed.
async fn recompress(
    region: &Region,
    contents: &Contents<'_>,
    geometry: Geometry,
    how: Recompress,
    way: &Way<'_>,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Written, Error> {
    let per_block = 1 << (BLOCK_BITS - how.cluster_bits);
    let end = way.size.div_ceil(1 << how.cluster_bits);
    let of = move |index: BlockIndex| {
        let first = u64::from(index.0) * per_block;
        first..(first + per_block).min(end)
    };
    let may_be_stored = contents.blocks().flat_map(|(index, _)| of(index));
    let open = OpenLayout::new(geometry, may_be_stored).map_err(Error::Image)?;
    // Zeros that this snapshot wrote stand between its blocks of data.
    let zeros = contents.blocks().filter(|(_, content)| *content == BlockContent::Zero);
    let zeros: Vec<u64> = zeros.flat_map(|(index, _)| of(index)).collect();
    let jobs = contents.jobs(move |_| Some(Task::Recompress(how)));
    let needed = u64::try_from(jobs.clone().count()).map_or(u64::MAX, |count| count * BLOCK_SIZE);
    let failure = way.staged.failure(needed);
    let (file, told, sha256) = (way.staged.open()?, failure.clone(), way.sha256);
    let keep_zeros = contents.incremental;
    pipeline::run(region, jobs, &failure, progress, move |pieces| {
        let zeros = zeros.into_iter().peekable();
        let mut writer = Recompressed { open, file, zeros, keep_zeros, end };
        for piece in pieces {
            let Piece::Clusters(clusters) = piece? else { return Err(told.worker()) };
            writer.clusters(clusters).map_err(|error| told.write(error))?;
        }
        writer.finish(&told, sha256)
    })
    .await
}

/// A file whose clusters are written as they come.
struct Recompressed {
    open: OpenLayout,
    file: File,
    /// Clusters of zeros that hide the parent's, ascending.
    zeros: std::iter::Peekable<std::vec::IntoIter<u64>>,
    /// Whether zeros in a block of data have to hide the parent's.
    keep_zeros: bool,
    /// The first cluster beyond the volume.
    end: u64,
}

impl Recompressed {
    fn clusters(&mut self, clusters: Vec<(u64, Cluster)>) -> io::Result<()> {
        for (number, cluster) in clusters.into_iter().filter(|(number, _)| *number < self.end) {
            while let Some(zero) = self.zeros.next_if(|zero| *zero < number) {
                self.open.zero(zero);
            }
            match cluster {
                Cluster::Zero if self.keep_zeros => self.open.zero(number),
                Cluster::Zero => {}
                Cluster::Frame(bytes) => {
                    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
                    self.file.write_all_at(&bytes, self.open.frame(number, length))?;
                }
                Cluster::Plain(bytes) => {
                    self.file.write_all_at(&bytes, self.open.plain(number))?;
                }
            }
        }
        Ok(())
    }

    fn finish(self, told: &Failure, sha256: bool) -> Result<Written, Error> {
        let Self { mut open, file, zeros, .. } = self;
        zeros.for_each(|zero| open.zero(zero));
        let layout = open.close().map_err(Error::Image)?;
        let tables = file.try_clone().map_err(|error| told.write(error))?;
        let mut tables = HashedFile::new(tables, false);
        layout.write_tables(&mut tables).map_err(|error| told.image(error))?;
        let size = layout.file_size();
        let ended = file
            .set_len(size)
            .and_then(|()| if sha256 { file::hash(&file) } else { Ok(Written { sha256: None, size }) });
        ended.map_err(|error| told.write(error))
    }
}
