//! Looks for the values of sensitive variables in what a build changed on a disk.
//!
//! ```text
//! base + overlays ─▶ changed blocks ─▶ raw: every byte that differs from the base ──┐
//!                └─▶ ext4 partitions ─▶ every file that differs from the base's,    ├─▶ where each value stands
//!                                       unpacked where it is gzip, xz or zstd ──────┘
//! ```
//! Raw finds what no file holds: what a deleted file left behind, names, links, other file systems. Files find what is
//! spread over the disk or packed, and say a path instead of a number. A raw find that a file explains is told once.
//!
//! What the base held already, at the same place, is not this build's doing and is not told: building on an image trusts
//! it. Which forms of a value are recognised: `leaks/needles.rs`. Archives of other kinds, and packed files inside
//! packed files, are not opened. A value itself is never shown.

mod disk;
mod files;
mod needles;
mod packed;
mod raw;
mod stream;

use crate::Error;
use disk::Disk;
use needles::Needles;
use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

/// A sensitive variable.
#[derive(Clone)]
pub(crate) struct Secret {
    /// The variable's name.
    pub(crate) name: String,
    /// What nobody may find.
    pub(crate) value: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A value that stands on the disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Leak {
    /// The variable's name.
    pub(crate) variable: String,
    /// Where its value stands.
    pub(crate) place: Place,
    /// The partition's number; `None` on a disk without any, and between two.
    pub(crate) partition: Option<u32>,
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// In a file of the partition's file system.
    File {
        /// The path there.
        path: PathBuf,
        /// How the file is packed, where the value stands in what it unpacks to.
        packed: Option<&'static str>,
    },
    /// In bytes that belong to no file that could be read.
    Raw {
        /// From the disk's first byte.
        offset: u64,
    },
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the value of `{}` is in ", self.variable)?;
        let partition = self.partition.map(|number| format!(" of partition {number}")).unwrap_or_default();
        match &self.place {
            Place::File { path, packed: None } => write!(f, "{}{partition}", path.display()),
            Place::File { path, packed: Some(kind) } => {
                write!(f, "{}{partition}, packed by {kind}", path.display())
            }
            Place::Raw { offset } => write!(f, "no file, at byte {offset} of the disk")
                .and_then(|()| self.partition.map_or(Ok(()), |number| write!(f, " in partition {number}"))),
        }
    }
}

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Where values stand, files first.
    pub(crate) leaks: Vec<Leak>,
    /// The variables whose values are too short to be told from what stands on any disk.
    pub(crate) too_short: Vec<String>,
    /// What could not be looked at as files, for people.
    pub(crate) notes: Vec<String>,
}

/// Looks for values in what the overlays changed over a raw base. The machine must be off.
///
/// # Errors
/// When the disk cannot be read.
pub(crate) fn scan(base: &Path, overlays: &[PathBuf], secrets: &[Secret]) -> Result<Scan, Error> {
    let (short, long): (Vec<_>, Vec<_>) = secrets
        .iter()
        .filter(|secret| !secret.value.trim().is_empty())
        .partition(|secret| needles::too_short(&secret.value));
    let mut scan =
        Scan { too_short: short.iter().map(|secret| secret.name.clone()).collect(), ..Scan::default() };
    if long.is_empty() {
        return Ok(scan);
    }
    let needles =
        Needles::new(long.iter().map(|secret| secret.value.as_str())).map_err(std::io::Error::other)?;
    let disk = Disk::open(base, overlays)?;
    let partitions = match kiln_disk::inspect(kiln_disk::Disk::new(base, disk.now.clone())) {
        Ok(layout) => layout.partitions,
        Err(error) => {
            scan.notes.push(format!("searched for secrets by bytes, not by files: {error}"));
            Vec::new()
        }
    };
    let found_raw = raw::search(&disk, &needles)?;
    let found_in_files = files::search(&disk, &partitions, &needles, &mut scan.notes);
    let name = |value: usize| long.get(value).map(|secret| secret.name.clone()).unwrap_or_default();
    let mut leaks = BTreeSet::new();
    for found in &found_in_files {
        let place = Place::File { path: found.path.clone(), packed: found.packed };
        leaks.insert(Leak { variable: name(found.value), place, partition: found.partition.number });
    }
    for found in found_raw {
        let offset = found.start;
        let partition = partitions.iter().find(|partition| {
            offset.checked_sub(partition.offset).is_some_and(|inside| inside < partition.size)
        });
        let mut explained = false;
        for file in found_in_files.iter().filter(|file| file.value == found.value) {
            explained = explained || file.explains(&disk, offset)?;
        }
        if !explained {
            let partition = partition.and_then(|partition| partition.number);
            leaks.insert(Leak { variable: name(found.value), place: Place::Raw { offset }, partition });
        }
    }
    scan.leaks = leaks.into_iter().collect();
    Ok(scan)
}

#[cfg(test)]
mod tests;
