//! Labelled media with the files of a person, for guests that read answers from a CD or a floppy disk.
//!
//! A file lies at the medium's root under its own name, a folder with everything below it. The same contents always make
//! the same image: nothing of the host, its clock or its users gets in.

mod contents;
mod fat;
mod iso9660;

pub use contents::Contents;

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why there is no medium.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediumError {
    /// A file cannot be read, or the medium cannot be written; the source names it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something is neither a file nor a folder.
    #[error("{} is neither a file nor a folder", path.display())]
    Kind {
        /// Where it is.
        path: PathBuf,
    },
    /// Two files would lie at the same place.
    #[error("two files would be {name:?} on the medium")]
    Twice {
        /// The place.
        name: String,
    },
    /// A name that the medium's file system cannot hold.
    #[error("{name:?} cannot stand on the medium: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A label that the medium's file system cannot hold.
    #[error("{label:?} is no label: {why}")]
    Label {
        /// The label.
        label: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The contents are larger than the medium.
    #[error("{needed} bytes of files do not fit on a {medium}, which holds {room}")]
    TooLarge {
        /// What kind of medium.
        medium: &'static str,
        /// What the files take, folders and rounding included.
        needed: u64,
        /// What there is.
        room: u64,
    },
    /// There are more of something than the file system numbers.
    #[error("too many {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
    },
    /// A file changed its size while the medium was made.
    #[error("{} changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

impl MediumError {
    /// Returns what to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::TooLarge { .. } => Some(
                "put larger files into `cd_files`, or let the guest fetch them from `http_directory`"
                    .to_owned(),
            ),
            Self::Twice { .. } => Some("give one of them another name, or put it into a folder".to_owned()),
            _ => None,
        }
    }
}

/// Makes a CD: ISO 9660 with Joliet, which Linux, Windows and the BSDs read with the names as they are.
///
/// # Errors
/// When a name or the label cannot stand on it, or a file cannot be read or written.
pub fn write_cd(path: &Path, label: &str, contents: &Contents) -> Result<(), MediumError> {
    iso9660::write(path, label, contents)
}

/// Makes a floppy disk of 1.44 MiB: FAT12.
///
/// # Errors
/// When the contents are too large, a name or the label cannot stand on it, or a file cannot be read or written.
pub fn write_floppy(path: &Path, label: &str, contents: &Contents) -> Result<(), MediumError> {
    fat::write(path, label, contents)
}

#[cfg(test)]
mod tests;
