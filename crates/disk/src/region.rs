//! A bounded part of a raw disk: every read is checked against its end.

use crate::Error;
use ext4_view::Ext4Read;
use std::{
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// `size` bytes of a raw disk from `offset` on. Cheap to clone: the file is shared.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    path: PathBuf,
    file: Arc<fs_err::File>,
    offset: u64,
    size: u64,
}

impl Region {
    /// Opens a whole raw disk for reading.
    pub(crate) fn open(raw: &Path) -> Result<Self, Error> {
        let file = fs_err::File::open(raw).map_err(|e| Error::io(format!("open {}", raw.display()), e))?;
        let metadata = file.metadata().map_err(|e| Error::io("read the disk's size", e))?;
        Ok(Self { path: raw.to_owned(), file: Arc::new(file), offset: 0, size: metadata.len() })
    }

    /// Narrows to a part; `None` when it does not lie inside.
    pub(crate) fn part(&self, offset: u64, size: u64) -> Option<Self> {
        let end = offset.checked_add(size)?;
        if end > self.size {
            return None;
        }
        Some(Self { offset: self.offset.checked_add(offset)?, size, ..self.clone() })
    }

    /// Returns the disk's file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the length in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
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
        self.file.file().read_exact_at(buffer, position)
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
