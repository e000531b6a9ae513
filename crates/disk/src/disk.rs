//! A disk's bytes, however they are kept.

use crate::Error;
use std::{
    fmt, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Bytes at any place: a raw file, or a chain of overlays over one.
pub trait ReadAt: Send + Sync {
    /// Returns how many there are.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// When the bytes cannot be read or end before the buffer does.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// A disk to look at: the path of a raw file becomes one, which is opened each time that it is read, and so does
/// anything that gives [`ReadAt`]. Cheap to clone.
#[derive(Clone)]
pub struct Disk {
    path: PathBuf,
    source: Option<Arc<dyn ReadAt>>,
}

impl Disk {
    /// Makes a disk of what `source` reads; messages call it `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, source: impl ReadAt + 'static) -> Self {
        Self { path: path.into(), source: Some(Arc::new(source)) }
    }

    /// Returns how messages call it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its bytes.
    pub(crate) fn open(&self) -> Result<Arc<dyn ReadAt>, Error> {
        match &self.source {
            Some(source) => Ok(Arc::clone(source)),
            None => Ok(Arc::new(RawFile::open(&self.path)?)),
        }
    }
}

impl From<&Path> for Disk {
    fn from(raw: &Path) -> Self {
        Self { path: raw.to_owned(), source: None }
    }
}

impl From<&PathBuf> for Disk {
    fn from(raw: &PathBuf) -> Self {
        Self::from(raw.as_path())
    }
}

impl From<&Self> for Disk {
    fn from(disk: &Self) -> Self {
        disk.clone()
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({})", self.path.display())
    }
}

/// A raw file. Its size is asked for once.
struct RawFile {
    file: fs_err::File,
    size: u64,
}

impl RawFile {
    fn open(path: &Path) -> Result<Self, Error> {
        let file = fs_err::File::open(path).map_err(|e| Error::io(format!("open {}", path.display()), e))?;
        let metadata = file.metadata().map_err(|e| Error::io("read the disk's size", e))?;
        Ok(Self { size: metadata.len(), file })
    }
}

impl ReadAt for RawFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.file().read_exact_at(buffer, offset)
    }
}
