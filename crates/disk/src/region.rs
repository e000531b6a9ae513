//! A bounded part of a disk: every read is checked against its end.

use crate::{Disk, Error, disk::ReadAt};
use ext4_view::Ext4Read;
use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};

/// `size` bytes of a disk from `offset` on. Cheap to clone: what is read from is shared.
#[derive(Clone)]
pub(crate) struct Region {
    disk: Disk,
    source: Arc<dyn ReadAt>,
    offset: u64,
    size: u64,
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({}, {} bytes at {})", self.disk.path().display(), self.size, self.offset)
    }
}

impl Region {
    /// Opens a whole disk for reading.
    pub(crate) fn open(disk: &Disk) -> Result<Self, Error> {
        let source = disk.open()?;
        Ok(Self { disk: disk.clone(), size: source.size(), source, offset: 0 })
    }

    /// Narrows to a part; `None` when it does not lie inside.
    pub(crate) fn part(&self, offset: u64, size: u64) -> Option<Self> {
        let end = offset.checked_add(size)?;
        if end > self.size {
            return None;
        }
        Some(Self { offset: self.offset.checked_add(offset)?, size, ..self.clone() })
    }

    /// Returns how messages call the disk.
    pub(crate) fn path(&self) -> &Path {
        self.disk.path()
    }

    /// Returns the length in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Returns its bytes as a stream, for crates that want one.
    pub(crate) fn stream(&self) -> Stream {
        Stream { region: self.clone(), position: 0, reads: 0 }
    }

    /// Fills `buffer` from `start` on; a read past the end is `UnexpectedEof`.
    pub(crate) fn read_at(&self, start: u64, buffer: &mut [u8]) -> io::Result<()> {
        let length = u64::try_from(buffer.len()).map_err(io::Error::other)?;
        let inside = start.checked_add(length).is_some_and(|end| end <= self.size);
        let position = self.offset.checked_add(start).filter(|_| inside);
        let Some(position) = position else {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{length} bytes at {start} lie past the end at {}", self.size),
            ));
        };
        self.source.read_at(position, buffer)
    }

    /// Reads up to `N` bytes from `start` on; what lies past the end is zero.
    pub(crate) fn peek<const N: usize>(&self, start: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        let left = self.size.saturating_sub(start);
        let length = usize::try_from(left).map_or(N, |left| left.min(N));
        if length > 0 {
            self.read_at(start, &mut bytes[..length])?;
        }
        Ok(bytes)
    }
}

impl Ext4Read for Region {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(self.read_at(start_byte, dst)?)
    }
}

/// An initrd of 256 MiB on clusters of 512 bytes is read in as many pieces; who reads more goes in a circle that a damaged
/// file system leads through.
const READS_LIMIT: u32 = 1 << 20;

/// A region with a position. It is never written to: what tries to is told so.
#[derive(Debug)]
pub(crate) struct Stream {
    region: Region,
    position: u64,
    reads: u32,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads > READS_LIMIT {
            let error = "it has no end: its structures lead in a circle";
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        let left = self.region.size.saturating_sub(self.position);
        let length = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.region.read_at(self.position, &mut buffer[..length])?;
        self.position += u64::try_from(length).map_err(io::Error::other)?;
        Ok(length)
    }
}

impl Seek for Stream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.region.size.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

impl Write for Stream {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
