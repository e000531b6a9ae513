//! A raw disk as blocks: its holes are not read.

use crate::{BlockSource, Error, Format, buffer::BLOCK, probe::Probe};
use kiln_types::{BLOCK_SIZE, BlockIndex};
use rustix::{fs::SeekFrom, io::Errno};
use std::{os::unix::fs::FileExt, path::Path};

/// A sparse raw file. The blocks that its file system has data for are the changed ones.
#[derive(Debug)]
pub struct RawDisk {
    file: fs_err::File,
    size: u64,
}

impl RawDisk {
    /// Opens a raw disk for reading.
    ///
    /// # Errors
    /// When the path names no regular file, or it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let probe = Probe::open(path, Format::Raw)?;
        let size = probe.len();
        Ok(Self { file: probe.into_file(), size })
    }

    /// Returns the file's identity: device and inode.
    pub(crate) fn identity(&self) -> Result<(u64, u64), Error> {
        use std::os::unix::fs::MetadataExt;
        let metadata = self.file.metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// Reads a range; what lies beyond the end is zeros.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let has = self.size.saturating_sub(offset);
        let data = usize::try_from(has).map_or(buffer.len(), |has| has.min(buffer.len()));
        let (data, beyond) = buffer.split_at_mut(data);
        beyond.fill(0);
        if data.is_empty() {
            return Ok(());
        }
        self.file.file().read_exact_at(data, offset).map_err(|error| {
            let path = self.file.path().display();
            std::io::Error::new(error.kind(), format!("cannot read `{path}` at byte {offset}: {error}"))
        })?;
        Ok(())
    }

    /// Finds the next stretch of data at or after an offset: its first byte and the first byte of the hole after it.
    pub(crate) fn next_data(&self, from: u64) -> Result<Option<(u64, u64)>, Error> {
        let failed = |error: Errno| {
            let path = self.file.path().display();
            Error::Io(std::io::Error::other(format!("cannot find the holes of `{path}`: {error}")))
        };
        if from >= self.size {
            return Ok(None);
        }
        match rustix::fs::seek(self.file.file(), SeekFrom::Data(from)) {
            Ok(start) => {
                let end = rustix::fs::seek(self.file.file(), SeekFrom::Hole(start)).map_err(failed)?;
                Ok(Some((start, end.min(self.size))))
            }
            Err(Errno::NXIO) => Ok(None),
            // The file system does not know of holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some((from, self.size))),
            Err(error) => Err(failed(error)),
        }
    }
}

impl BlockSource for RawDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn changed_blocks(&mut self) -> Result<Vec<BlockIndex>, Error> {
        let mut blocks = Vec::new();
        let mut from = 0;
        while let Some((start, end)) = self.next_data(from)? {
            let last = (end - 1) / BLOCK_SIZE;
            for block in start / BLOCK_SIZE..=last {
                blocks.push(index(block, self.size)?);
            }
            from = (last + 1) * BLOCK_SIZE;
        }
        Ok(blocks)
    }

    fn read_block(&mut self, index: BlockIndex, buffer: &mut [u8]) -> Result<(), Error> {
        if index.offset() >= self.size {
            return Err(Error::BeyondEnd { index: index.0, size: self.size });
        }
        debug_assert_eq!(buffer.len(), BLOCK, "blocks are read whole");
        self.read(index.offset(), buffer)
    }

    fn reopen(&self) -> Result<Box<dyn BlockSource>, Error> {
        Ok(Box::new(Self { file: self.file.try_clone()?, size: self.size }))
    }
}

/// Makes the index of a block; volumes of more than 2^32 blocks (2 PiB) do not exist.
pub(crate) fn index(block: u64, size: u64) -> Result<BlockIndex, Error> {
    let index = u32::try_from(block).map_err(|_overflow| Error::BeyondEnd { index: u32::MAX, size })?;
    Ok(BlockIndex(index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PageBuffer;

    #[test]
    fn holes_are_not_listed_and_the_tail_is_zeroed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        let file = fs_err::File::create(&path).unwrap();
        let size = 10 * BLOCK_SIZE + 700;
        file.set_len(size).unwrap();
        file.file().write_all_at(&[7; 4096], 3 * BLOCK_SIZE + 8192).unwrap();
        file.file().write_all_at(&[9; 700], 10 * BLOCK_SIZE).unwrap();

        let mut disk = RawDisk::open(&path).unwrap();
        assert_eq!(disk.size(), size);
        assert_eq!(disk.changed_blocks().unwrap(), [BlockIndex(3), BlockIndex(10)]);
        let mut buffer = PageBuffer::block();
        buffer.fill(0xff);
        let mut again = disk.reopen().unwrap();
        again.read_block(BlockIndex(10), &mut buffer).unwrap();
        assert!(buffer[..700].iter().all(|byte| *byte == 9));
        assert!(buffer[700..].iter().all(|byte| *byte == 0));
        assert!(matches!(disk.read_block(BlockIndex(11), &mut buffer), Err(Error::BeyondEnd { .. })));
        drop(file);
    }

    #[test]
    fn a_file_that_shrank_is_an_error_and_not_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        fs_err::write(&path, vec![1; BLOCK]).unwrap();
        let mut disk = RawDisk::open(&path).unwrap();
        fs_err::OpenOptions::new().write(true).open(&path).unwrap().set_len(4096).unwrap();
        assert!(disk.read_block(BlockIndex(0), &mut PageBuffer::block()).is_err());
    }
}
