//! The disk that is bundled: bytes at any place, and where there are any.

use fs_err::File;
use rustix::{fs::SeekFrom, io::Errno};
use std::{io, ops::Range, os::unix::fs::FileExt, path::Path};

/// A disk that is read once, its data in ascending order.
pub trait Image: Sync {
    /// Returns its size in bytes.
    fn size(&self) -> u64;

    /// Lists the stretches that may hold other bytes than zeros, ascending and apart.
    ///
    /// # Errors
    /// When the holes cannot be found.
    fn stretches(&self) -> io::Result<Vec<Range<u64>>>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// When the bytes cannot be read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// A raw disk file; its holes are those that its file system knows of.
#[derive(Debug)]
pub struct RawImage {
    file: File,
    size: u64,
}

impl RawImage {
    /// Opens a raw disk.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl Image for RawImage {
    fn size(&self) -> u64 {
        self.size
    }

    fn stretches(&self) -> io::Result<Vec<Range<u64>>> {
        let mut stretches = Vec::new();
        let mut from = 0;
        while from < self.size {
            match rustix::fs::seek(self.file.file(), SeekFrom::Data(from)) {
                Ok(start) if start < self.size => {
                    let end = rustix::fs::seek(self.file.file(), SeekFrom::Hole(start))?.min(self.size);
                    stretches.push(start..end);
                    from = end;
                }
                Ok(_) | Err(Errno::NXIO) => break,
                // The file system does not know of holes.
                Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                    stretches.push(from..self.size);
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(stretches)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let failed = |error: io::Error| {
            let path = self.file.path().display();
            io::Error::new(error.kind(), format!("cannot read `{path}` at byte {offset}: {error}"))
        };
        self.file.file().read_exact_at(buffer, offset).map_err(failed)
    }
}

/// A part of a disk: one partition.
pub struct Slice<I> {
    /// The disk.
    pub disk: I,
    /// Where the part lies on it.
    pub range: Range<u64>,
}

impl<I: Image> Image for Slice<I> {
    fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn stretches(&self) -> io::Result<Vec<Range<u64>>> {
        let Range { start, end } = self.range;
        let within = |stretch: Range<u64>| stretch.start.max(start)..stretch.end.min(end);
        let stretches = self.disk.stretches()?.into_iter().map(within).filter(|part| part.start < part.end);
        Ok(stretches.map(|part| part.start - start..part.end - start).collect())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.read_at(self.range.start + offset, buffer)
    }
}

impl<I> std::fmt::Debug for Slice<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slice").field("range", &self.range).finish_non_exhaustive()
    }
}

impl Image for Box<dyn Image + Send> {
    fn size(&self) -> u64 {
        self.as_ref().size()
    }

    fn stretches(&self) -> io::Result<Vec<Range<u64>>> {
        self.as_ref().stretches()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.as_ref().read_at(offset, buffer)
    }
}
