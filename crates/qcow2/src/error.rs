//! What can go wrong with a disk image.

use std::io;

/// An operation on a disk image that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the source names it.
    #[error("disk image input or output failed")]
    Io(#[from] io::Error),
}
