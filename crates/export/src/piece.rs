//! What becomes of one frame before it is written.

use crate::{Error, pipeline::Job, target::Compress};
use bytes::Bytes;
use flate2::{Compression, FlushCompress};
use kiln_qcow2::PageBuffer;
use kiln_store::{FrameDecoder, Verify};
use kiln_types::BlockIndex;
use libdeflater::{CompressionLvl, Compressor as Deflater};
use std::{fmt, io};
use zstd::{bulk::Compressor as Zstd, zstd_safe::CParameter};

/// With clusters of 64 KiB one per cent larger than level 3, which `qemu-img` uses, in six tenths of the time: the fast matcher of
/// level 1, with a table that suits so short a text and the shorter matches that pay there.
const ZSTD: [CParameter; 4] = [
    CParameter::CompressionLevel(1),
    CParameter::HashLog(13),
    CParameter::MinMatch(5),
    CParameter::ChecksumFlag(false),
];
/// With libdeflate smaller than zlib's 6, which `qemu-img` uses, at twice its speed.
const DEFLATE_LEVEL: i32 = 5;

/// What happens to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// It is written as it is.
    Copy,
    /// It is written as it is, after its block's digest has been compared.
    Verify,
    /// Its block is written.
    Decode,
    /// Its block is cut into clusters, which are compressed each by itself.
    Recompress(Recompress),
    /// Its block becomes a part of a gzip stream.
    Gzip,
}

/// How a block is cut and compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recompress {
    pub(crate) cluster_bits: u32,
    pub(crate) compress: Compress,
}

/// What is written.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Frames as they lie in their packs.
    Frames(Vec<Bytes>),
    /// The block that stands at this place.
    Block(BlockIndex, PageBuffer),
    /// A block's clusters, by their number in the volume.
    Clusters(Vec<(u64, Cluster)>),
    /// A part of a gzip stream.
    Deflated {
        /// The part.
        bytes: Vec<u8>,
        /// The CRC-32 of what was deflated.
        crc: crc32fast::Hasher,
        /// How many bytes that was.
        of: u64,
    },
}

/// A cluster that was looked at.
#[derive(Debug)]
pub(crate) enum Cluster {
    Zero,
    Frame(Vec<u8>),
    Plain(Vec<u8>),
}

/// What a worker keeps from frame to frame.
#[derive(Default)]
pub(crate) struct Tools {
    decoder: FrameDecoder,
    zstd: Option<Zstd<'static>>,
    deflater: Option<Deflater>,
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tools").finish_non_exhaustive()
    }
}

impl Task {
    pub(crate) fn run(self, job: &Job, frame: &Bytes, tools: &mut Tools) -> Result<Piece, Error> {
        let mut decoded = || {
            let mut block = PageBuffer::block_to_fill();
            tools.decoder.decode(&job.frame, frame, Verify::Digest, &mut block).map_err(Error::Store)?;
            Ok::<_, Error>(block)
        };
        match self {
            // The region has checked the frame's headers and its length: exactly one frame of one block.
            Self::Copy => Ok(Piece::Frames(vec![frame.clone()])),
            Self::Verify => decoded().map(|_block| Piece::Frames(vec![frame.clone()])),
            Self::Decode => Ok(Piece::Block(job.index, decoded()?)),
            Self::Recompress(how) => {
                let block = decoded()?;
                let clusters = how.clusters(job.index, &block, tools);
                clusters.map(Piece::Clusters).map_err(|source| Error::Compress { index: job.index, source })
            }
            Self::Gzip => {
                let block = decoded()?;
                let part = deflated(&block, FlushCompress::Sync);
                part.map_err(|source| Error::Compress { index: job.index, source })
            }
        }
    }
}

impl Recompress {
    fn clusters(self, index: BlockIndex, block: &[u8], tools: &mut Tools) -> io::Result<Vec<(u64, Cluster)>> {
        let size = usize::try_from(1_u64 << self.cluster_bits).map_err(io::Error::other)?;
        let first = index.offset() >> self.cluster_bits;
        let clusters = block.chunks(size).zip(first..).map(|(bytes, number)| {
            if crate::file::is_zero(bytes) {
                return Ok((number, Cluster::Zero));
            }
            let frame = match self.compress {
                Compress::Zstd => Some(tools.zstd(bytes)?),
                Compress::Zlib => tools.deflate(bytes)?,
                Compress::None => None,
            };
            let frame = frame.filter(|frame| frame.len() < size);
            Ok((number, frame.map_or_else(|| Cluster::Plain(bytes.to_vec()), Cluster::Frame)))
        });
        clusters.collect()
    }
}

impl Tools {
    /// One frame with its content's size and no checksum, as QEMU wants it.
    fn zstd(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        if self.zstd.is_none() {
            let mut zstd = Zstd::new(0)?;
            ZSTD.into_iter().try_for_each(|parameter| zstd.set_parameter(parameter))?;
            self.zstd = Some(zstd);
        }
        self.zstd.as_mut().map_or_else(|| Ok(Vec::new()), |zstd| zstd.compress(bytes))
    }

    /// Nothing where the result would be no smaller.
    fn deflate(&mut self, bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let deflater = match &mut self.deflater {
            Some(deflater) => deflater,
            none => none.insert(Deflater::new(
                CompressionLvl::new(DEFLATE_LEVEL).map_err(|_range| io::Error::other("deflate level"))?,
            )),
        };
        let mut out = vec![0; bytes.len()];
        Ok(deflater.deflate_compress(bytes, &mut out).ok().map(|length| {
            out.truncate(length);
            out
        }))
    }
}

/// Deflates bytes so that more can follow ([`FlushCompress::Sync`]), or none ([`FlushCompress::Finish`]).
pub(crate) fn deflated(bytes: &[u8], flush: FlushCompress) -> io::Result<Piece> {
    let mut deflate = flate2::Compress::new(Compression::default(), false);
    let mut out = Vec::with_capacity(bytes.len() / 2);
    loop {
        let taken = usize::try_from(deflate.total_in()).map_err(io::Error::other)?;
        let room = out.capacity() - out.len();
        deflate.compress_vec(bytes.get(taken..).unwrap_or_default(), &mut out, flush)?;
        // With room left over, everything has been taken and flushed.
        if out.len() < out.capacity() && room > 0 {
            break;
        }
        out.reserve(bytes.len() / 4 + 64);
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(bytes);
    let of = u64::try_from(bytes.len()).map_err(io::Error::other)?;
    Ok(Piece::Deflated { bytes: out, crc, of })
}
