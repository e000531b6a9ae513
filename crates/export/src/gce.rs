//! `disk.raw` in a tar.gz: what Google Compute Engine imports.
//!
//! ```text
//! gzip header │ deflate: tar header and map │ one part a block, each on any core │ deflate: end of the archive │ CRC, length
//! ```
//! The archive is of GNU's old format, as `tar --format=oldgnu -S` makes it: holes stand in a map and not in the data.
//! Every part ends at a byte's boundary, so that the parts together are one gzip member.

use crate::{
    Error,
    file::{HashedFile, Written},
    piece::{Piece, Task, deflated},
    pipeline::{self, Job},
    staged::{Failure, Staged},
};
use flate2::FlushCompress;
use kiln_qcow2::writer::Output;
use kiln_store::{BlockMap, Region};
use kiln_types::{BLOCK_SIZE, BlockIndex};
use std::io;

/// A file of an archive is filled up to whole records.
const RECORD: usize = 512;
/// Stretches of data that one block of a map has room for after the first block's four.
const STRETCHES: usize = 21;

/// Writes a snapshot into a staged file as a disk of `size` bytes.
pub(crate) async fn write(
    region: &Region,
    map: &BlockMap,
    size: u64,
    staged: &Staged,
    sha256: bool,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Written, Error> {
    let jobs = map.data().map(|(index, frame)| Job { index, frame, task: Task::Gzip });
    let head = header(&stretches(map, size), size);
    let needed = u64::try_from(jobs.clone().count()).map_or(u64::MAX, |count| count * BLOCK_SIZE);
    let failure = staged.failure(needed);
    let (file, told) = (staged.open()?, failure.clone());
    pipeline::run(region, jobs, &failure, progress, move |pieces| {
        let out = HashedFile::new(file, sha256);
        let mut gzip = Gzip { out, crc: crc32fast::Hasher::new(), length: 0 };
        gzip.start(&head).map_err(|error| told.write(error))?;
        for piece in pieces {
            gzip.part(piece?, &told)?;
        }
        gzip.finish().map_err(|error| told.write(error))
    })
    .await
}

struct Gzip {
    out: HashedFile,
    crc: crc32fast::Hasher,
    /// Bytes of the archive.
    length: u64,
}

impl Gzip {
    fn start(&mut self, head: &[u8]) -> io::Result<()> {
        // Deflate, no name, no time, any system.
        self.out.bytes(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff])?;
        self.piece(deflated(head, FlushCompress::Sync)?)
    }

    fn part(&mut self, piece: Piece, told: &Failure) -> Result<(), Error> {
        self.piece(piece).map_err(|error| told.write(error))
    }

    fn piece(&mut self, piece: Piece) -> io::Result<()> {
        let Piece::Deflated { bytes, crc, of } = piece else {
            return Err(io::Error::other("a part that is not deflated"));
        };
        self.crc.combine(&crc);
        self.length += of;
        self.out.bytes(&bytes)
    }

    /// Blocks are whole records: what is left is the archive's end, two records of zeros.
    fn finish(mut self) -> io::Result<Written> {
        self.piece(deflated(&[0; 2 * RECORD], FlushCompress::Finish)?)?;
        self.out.bytes(&self.crc.finalize().to_le_bytes())?;
        // The length's lowest 32 bits, as the format has it.
        let length = self.length.to_le_bytes();
        self.out.bytes(length.first_chunk::<4>().unwrap_or(&[0; 4]))?;
        self.out.finish()
    }
}

/// The stretches of data, offset and length, and an empty one at the end where the disk ends with a hole.
fn stretches(map: &BlockMap, size: u64) -> Vec<(u64, u64)> {
    let blocks: Vec<BlockIndex> = map.data().map(|(index, _)| index).collect();
    let runs = blocks.chunk_by(|a, b| a.0 + 1 == b.0);
    let mut stretches: Vec<(u64, u64)> = runs
        .filter_map(|run| {
            let (first, last) = (run.first()?.offset(), run.last()?.offset() + BLOCK_SIZE);
            Some((first, last - first))
        })
        .collect();
    if stretches.last().is_none_or(|(offset, length)| offset + length < size) {
        stretches.push((size, 0));
    }
    stretches
}

/// The archive's header for the disk, with the map of its data (tar.5, "GNU tar archives").
fn header(stretches: &[(u64, u64)], size: u64) -> Vec<u8> {
    let mut head = vec![0; RECORD];
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    let stored = stretches.iter().map(|(_, length)| length).sum();
    put(0, b"disk.raw");
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, &number(stored));
    put(136, &number(0));
    put(148, b"        ");
    put(156, b"S");
    put(257, b"ustar  \0");
    let (first, rest) = stretches.split_at(stretches.len().min(4));
    for (place, stretch) in first.iter().enumerate() {
        put(386 + 24 * place, &entry(*stretch));
    }
    put(482, &[u8::from(!rest.is_empty())]);
    put(483, &number(size));
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut chunks = rest.chunks(STRETCHES).peekable();
    while let Some(chunk) = chunks.next() {
        let mut record: Vec<u8> = chunk.iter().flat_map(|stretch| entry(*stretch)).collect();
        record.resize(RECORD, 0);
        record[STRETCHES * 24] = u8::from(chunks.peek().is_some());
        head.append(&mut record);
    }
    head
}

fn entry((offset, length): (u64, u64)) -> [u8; 24] {
    let mut entry = [0; 24];
    entry[..12].copy_from_slice(&number(offset));
    entry[12..].copy_from_slice(&number(length));
    entry
}

/// Eleven octal digits, or a number in base 256 where they do not suffice.
fn number(value: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if value < 1 << 33 {
        field[..11].copy_from_slice(format!("{value:011o}").as_bytes());
    } else {
        field[0] = 0x80;
        field[4..].copy_from_slice(&value.to_be_bytes());
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(&number(8), b"00000000010\0");
        assert_eq!(number(1 << 33), [0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    }

    #[test]
    fn a_map_goes_on_in_records_of_its_own() {
        let stretches: Vec<(u64, u64)> = (0..4 + 21 + 1).map(|index| (index << 20, 512)).collect();
        let head = header(&stretches, 1 << 30);
        assert_eq!(head.len(), 3 * RECORD);
        assert_eq!((head[482], head[512 + 504], head[1024 + 504]), (1, 1, 0));
    }
}
