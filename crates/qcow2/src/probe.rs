//! Bounded, checked reading of an image that nobody has looked at yet.

use crate::{Error, Format, Refusal};
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::OFlags;
use std::{
    fs::FileType,
    os::unix::fs::{FileExt, FileTypeExt},
    path::{Path, PathBuf},
};
use zerocopy::FromBytes;

/// The most that is read of an image at once. No format's tables are read whole, so this bounds the gate's memory.
const LARGEST_READ: u64 = 64 * 1024;

/// An open image under examination.
#[derive(Debug)]
pub(crate) struct Probe {
    path: PathBuf,
    file: fs_err::File,
    len: u64,
    format: Format,
}

impl Probe {
    /// Opens a regular file; nothing else is ever opened, since even opening a device or a FIFO has effects.
    pub(crate) fn open(path: &Path, format: Format) -> Result<Self, Error> {
        let not_a_file = |kind| Err(Error::NotAFile { path: path.to_owned(), kind });
        if let Some(kind) = unusual(fs_err::metadata(path)?.file_type()) {
            return not_a_file(kind);
        }
        // The path may have been given to a FIFO in between: do not wait on one.
        let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).expect("flags fit in a C int");
        let file = fs_err::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        match unusual(metadata.file_type()) {
            Some(kind) => not_a_file(kind),
            None => Ok(Self { path: path.to_owned(), file, len: metadata.len(), format }),
        }
    }

    pub(crate) fn into_file(self) -> fs_err::File {
        self.file
    }

    /// Bytes of the file.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn malformed(&self, why: impl Into<String>) -> Error {
        Error::Malformed { path: self.path.clone(), format: self.format, why: why.into() }
    }

    pub(crate) fn refused(&self, reason: Refusal) -> Error {
        Error::Refused { path: self.path.clone(), reason }
    }

    /// Fails with the reason unless the condition holds.
    pub(crate) fn require(&self, holds: bool, why: impl FnOnce() -> String) -> Result<(), Error> {
        if holds { Ok(()) } else { Err(self.malformed(why())) }
    }

    /// Fails unless a range lies inside the file, naming what was to be there.
    pub(crate) fn inside(&self, what: &str, offset: u64, len: u64) -> Result<(), Error> {
        let fits = offset.checked_add(len).is_some_and(|end| end <= self.len);
        self.require(fits, || {
            format!("{what} at byte {offset} ({len} bytes) lies outside the file of {} bytes", self.len)
        })
    }

    /// Reads a range that must lie inside the file.
    pub(crate) fn bytes(&self, what: &str, offset: u64, len: u64) -> Result<Vec<u8>, Error> {
        self.inside(what, offset, len)?;
        self.require(len <= LARGEST_READ, || format!("{what} is too large ({len} bytes)"))?;
        let mut bytes = vec![0; usize::try_from(len).expect("checked above")];
        self.file.file().read_exact_at(&mut bytes, offset).map_err(|error| self.failed(&error))?;
        Ok(bytes)
    }

    /// Reads as much of a range as the file has.
    pub(crate) fn some(&self, offset: u64, len: u64) -> Result<Vec<u8>, Error> {
        self.bytes("the range", offset, len.min(self.len.saturating_sub(offset)))
    }

    /// Reads a structure that must lie inside the file.
    pub(crate) fn structure<T: FromBytes>(&self, what: &str, offset: u64) -> Result<T, Error> {
        let bytes = self.bytes(what, offset, u64::try_from(size_of::<T>()).expect("structures are small"))?;
        Ok(T::read_from_bytes(&bytes).expect("the length is the structure's"))
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        let text = format!("cannot read `{}`: {error}", self.path.display());
        Error::Io(std::io::Error::new(error.kind(), text))
    }
}

fn unusual(kind: FileType) -> Option<&'static str> {
    let kinds = [
        (kind.is_dir(), "a folder"),
        (kind.is_fifo(), "a FIFO"),
        (kind.is_socket(), "a socket"),
        (kind.is_block_device(), "a block device"),
        (kind.is_char_device(), "a character device"),
    ];
    match kinds.into_iter().find(|(is, _)| *is) {
        Some((_, name)) => Some(name),
        None => (!kind.is_file()).then_some("not a regular file"),
    }
}
