//! What can go wrong with a disk image.

use crate::Format;
use std::{
    io,
    path::{Path, PathBuf},
};

/// An operation on a disk image that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(
    clippy::error_impl_error,
    reason = "a crate has one error, and its path names it: `kiln_qcow2::Error`"
)]
pub enum Error {
    /// A file could not be read or written; the source names it.
    #[error(transparent)]
    Io(#[from] io::Error),

    /// The path names something that is not a file with bytes in it.
    #[error("`{}` is {kind}; a disk image must be a regular file", path.display())]
    NotAFile {
        /// The path given.
        path: PathBuf,
        /// What stands there, with its article: "a folder".
        kind: &'static str,
    },

    /// The file is packed by a compressor or archiver: its bytes are not a disk's.
    #[error("`{}` is {kind}; unpack the disk image first", path.display())]
    Packed {
        /// The path given.
        path: PathBuf,
        /// What it is, with its article: "xz-compressed".
        kind: &'static str,
        /// The command that unpacks such a file, without the file's name.
        tool: &'static str,
    },

    /// The bytes are not a valid image of the format.
    #[error("`{}` is not a valid {format} image: {why}", path.display())]
    Malformed {
        /// The image.
        path: PathBuf,
        /// The format it was read as.
        format: Format,
        /// Which rule of the format it breaks, with the values.
        why: String,
    },

    /// The image is valid, and has a property that Kiln does not accept.
    #[error("`{}` is refused: {reason}", path.display())]
    Refused {
        /// The image.
        path: PathBuf,
        /// The property.
        reason: Refusal,
    },

    /// `qemu-img` is not installed.
    #[error("qemu-img was not found on this host")]
    QemuImgMissing,

    /// `qemu-img` ended with a failure.
    #[error("qemu-img {verb} of `{}` failed ({status}): {message}", path.display())]
    QemuImg {
        /// The subcommand: `convert`.
        verb: &'static str,
        /// The image that it worked on.
        path: PathBuf,
        /// How it ended: an exit status or a signal.
        status: String,
        /// The last lines that it wrote on its standard error.
        message: String,
    },

    /// The caller gave up waiting.
    #[error("the conversion of `{}` was cancelled", path.display())]
    Cancelled {
        /// The image that was being converted.
        path: PathBuf,
    },

    /// The file system is full.
    #[error("no space left to write `{}`, which needs up to {needed} bytes", path.display())]
    DiskFull {
        /// The file that was to be made; nothing is left of it.
        path: PathBuf,
        /// The most bytes that it can take.
        needed: u64,
    },

    /// A layer of a chain cannot be read at one place.
    #[error("cannot read the cluster at byte {offset} of the layer `{}`: {why}", path.display())]
    Layer {
        /// The layer's file.
        path: PathBuf,
        /// Offset in the volume.
        offset: u64,
        /// What the reader says.
        why: String,
    },

    /// A chain has too many layers, or names one file twice.
    #[error("a chain of disks over `{}` cannot be opened: {why}", base.display())]
    Chain {
        /// The lowest disk.
        base: PathBuf,
        /// Which rule is broken.
        why: String,
    },

    /// The thread that owns a chain's readers has died.
    #[error("the reader of the disk over `{}` stopped", base.display())]
    ReaderStopped {
        /// The lowest disk.
        base: PathBuf,
    },

    /// A read of a raw disk went past the volume's end.
    #[error("block {index} lies beyond the end of a volume of {size} bytes")]
    BeyondEnd {
        /// The block asked for.
        index: u32,
        /// The volume's exact size.
        size: u64,
    },

    /// The writer of a qcow2 file was given what its layout does not say.
    #[error("the qcow2 file cannot be laid out: {0}")]
    Layout(String),
}

/// Why a valid image is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The image is an overlay of another file.
    #[error("it is an overlay of another image ({0})")]
    Backing(String),
    /// The image's data lies in another file.
    #[error("its data lies in another file")]
    DataFile,
    /// The image is encrypted.
    #[error("it is encrypted ({0})")]
    Encrypted(&'static str),
    /// The image is marked as corrupt by the program that wrote it.
    #[error("it is marked as corrupt")]
    Corrupt,
    /// The image needs features that are not known here.
    #[error("it needs features that are not known (incompatible bits {0:#x})")]
    Features(u64),
    /// The image is a text that names the files holding the data.
    #[error("it is a descriptor that names other files; only a single-file image is accepted")]
    Descriptor,
    /// The image is one part of a disk that is spread over several files.
    #[error("it is one part of a disk of several files ({0})")]
    Part(String),
    /// The image depends on a parent image.
    #[error("it is a difference to a parent image ({0})")]
    Parent(&'static str),
}

impl Error {
    /// Returns a command or an advice that mends the failure, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Packed { path, tool, .. } => Some(format!("{tool} '{}'", path.display())),
            Self::Refused { path, reason } => reason.hint(path),
            Self::QemuImgMissing => Some("apt-get install qemu-utils".to_owned()),
            Self::DiskFull { path, .. } => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                Some(format!("df -h '{}'", folder.unwrap_or(Path::new(".")).display()))
            }
            _ => None,
        }
    }

    /// Names the file that was to be made and what it needs, where the failure is a full file system.
    #[must_use]
    pub fn or_disk_full(self, path: &Path, needed: u64) -> Self {
        let full = match &self {
            Self::Io(error) => error.kind() == io::ErrorKind::StorageFull,
            Self::QemuImg { message, .. } => message.contains("No space left on device"),
            _ => false,
        };
        if full { Self::DiskFull { path: path.to_owned(), needed } } else { self }
    }
}

impl Refusal {
    fn hint(&self, path: &Path) -> Option<String> {
        let path = path.display();
        match self {
            Self::Backing(_) | Self::DataFile | Self::Descriptor | Self::Part(_) | Self::Parent(_) => {
                Some(format!("qemu-img convert -O qcow2 '{path}' flat.qcow2   # only if you trust the image"))
            }
            Self::Corrupt => Some(format!("qemu-img check -r all '{path}'")),
            Self::Encrypted(_) | Self::Features(_) => None,
        }
    }
}
