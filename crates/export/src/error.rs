//! What can go wrong with an export.

use kiln_types::BlockIndex;
use std::{
    io,
    path::{Path, PathBuf},
};

/// An export that failed; nothing of it is left at the target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(
    clippy::error_impl_error,
    reason = "a crate has one error, and its path names it: `kiln_export::Error`"
)]
pub enum Error {
    /// The snapshot could not be read.
    #[error("could not read the snapshot")]
    Store(#[source] kiln_store::Error),

    /// The disk image could not be laid out or converted.
    #[error(transparent)]
    Image(kiln_qcow2::Error),

    /// The file could not be written.
    #[error("could not write `{}`", path.display())]
    Write {
        /// The file that was to be made.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The file system is full.
    #[error("no space left to write `{}`, which needs {needed} bytes", path.display())]
    DiskFull {
        /// The file that was to be made; nothing is left of it.
        path: PathBuf,
        /// The bytes that it takes.
        needed: u64,
    },

    /// Something was chosen that the format does not have.
    #[error("{option}: {why}")]
    Option {
        /// What was chosen.
        option: &'static str,
        /// Why it cannot be.
        why: String,
    },

    /// An incremental export was asked for of a snapshot that stands alone.
    #[error("the snapshot has no parent, so that an export of it cannot be incremental")]
    NoParent,

    /// A block could not be compressed.
    #[error("could not compress block {}", index.0)]
    Compress {
        /// The block.
        index: BlockIndex,
        /// What the compressor said.
        source: io::Error,
    },

    /// The thread that writes the file ended without an answer.
    #[error("the thread that writes `{}` ended unexpectedly", path.display())]
    Worker {
        /// The file that was to be made.
        path: PathBuf,
    },
}

impl Error {
    /// Returns a command that mends the failure, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Image(error) => error.hint(),
            Self::DiskFull { path, .. } => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                Some(format!("df -h '{}'", folder.unwrap_or(Path::new(".")).display()))
            }
            Self::Write { .. }
            | Self::Option { .. }
            | Self::NoParent
            | Self::Compress { .. }
            | Self::Worker { .. } => None,
        }
    }
}
