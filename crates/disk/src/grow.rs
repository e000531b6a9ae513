//! Makes a disk larger, and the last partition on it.
//!
//! ```text
//! before   [ table ][ 14 ][ 15 ][ 1: root          ][ GPT's copy ]
//! after    [ table ][ 14 ][ 15 ][ 1: root                                      ][ GPT's copy ]
//! ```
//! Bytes of the tables are changed where they have to be and nowhere else: numbers, UUIDs, names, flags, boot code and
//! hybrid entries stay. (The crate `gpt` writes tables anew and numbers their partitions from 1 on.) The file system
//! inside is grown by whoever mounts it. Everything is checked before the first byte is written.

mod gpt;
mod mbr;

use crate::{Disk, Error, FileSystem, Layout, Partition, Table, find_root, inspect, layout::SECTOR};
use std::path::Path;

/// Partitions end where partitioning tools let them end, so that the next one would start aligned.
const GRAIN: u64 = (1 << 20) / SECTOR;

/// What [`grow`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grown {
    /// The disk's size now.
    pub disk: u64,
    /// The partition that reaches the end now; `None` when a file system fills the disk.
    pub partition: Option<u32>,
    /// What it holds, still as large as before.
    pub filesystem: FileSystem,
    /// Whether it is the root.
    pub is_root: bool,
    /// Its size before, in bytes.
    pub before: u64,
    /// Its size now; equal when it reached the end already.
    pub after: u64,
}

/// Enlarges a raw disk to `size` bytes, sparse, and its last partition with it.
///
/// A partition of an MBR ends below 2 TiB, however large the disk is.
///
/// # Errors
/// When the disk is larger already, the last partition cannot grow ([`Error::CannotGrow`]; nothing was written then), or
/// the file cannot be written.
pub fn grow(raw: &Path, size: u64) -> Result<Grown, Error> {
    let size = size / SECTOR * SECTOR;
    let layout = inspect(raw)?;
    if size < layout.size / SECTOR * SECTOR {
        let what = format!("{}: a disk is never made smaller", raw.display());
        return Err(Error::TooSmall { what, needed: layout.size, available: size });
    }
    let Last { partition, filesystem } = Last::of(raw, &layout)?;
    let is_root = find_root(raw).is_ok_and(|root| root.partition == partition.number);
    let file = fs_err::OpenOptions::new().read(true).write(true).open(raw);
    let file = file.map_err(|e| Error::io("open the disk to grow it", e))?;
    let growth = Growth { disk: &Disk::from(raw), file: &file, partition, size };
    let after = match (layout.table, partition.number) {
        (Table::Gpt, Some(number)) => gpt::grow(&growth, number)?,
        (Table::Mbr, Some(number)) => mbr::grow(&growth, number)?,
        _ => {
            growth.enlarge()?;
            size
        }
    };
    Ok(Grown { disk: size, partition: partition.number, filesystem, is_root, before: partition.size, after })
}

/// The partition that lies last, once it is clear that it can grow.
struct Last<'a> {
    partition: &'a Partition,
    filesystem: FileSystem,
}

impl<'a> Last<'a> {
    fn of(raw: &Path, layout: &'a Layout) -> Result<Self, Error> {
        let last = layout.partitions.iter().max_by_key(|partition| partition.offset);
        let Some(partition) = last else {
            let place = "the disk".to_owned();
            return Err(Error::CannotGrow {
                path: raw.to_owned(),
                place,
                reason: "it has no partition".to_owned(),
            });
        };
        match partition.filesystem {
            Some(filesystem @ (FileSystem::Ext4 | FileSystem::Xfs | FileSystem::Btrfs)) => {
                Ok(Self { partition, filesystem })
            }
            Some(other) => Err(cannot(raw, partition, format!("it is the last one and holds {other}"))),
            None => Err(cannot(raw, partition, "it is the last one and holds nothing known".to_owned())),
        }
    }
}

fn cannot(raw: &Path, partition: &Partition, reason: String) -> Error {
    Error::CannotGrow { path: raw.to_owned(), place: partition.place(), reason }
}

/// What the tables' own parts work with.
struct Growth<'a> {
    disk: &'a Disk,
    file: &'a fs_err::File,
    partition: &'a Partition,
    size: u64,
}

impl Growth<'_> {
    fn enlarge(&self) -> Result<(), Error> {
        self.file.set_len(self.size).map_err(|e| Error::io("enlarge the disk", e))
    }

    fn write(&self, bytes: &[u8], sector: u64) -> Result<(), Error> {
        let written = std::os::unix::fs::FileExt::write_all_at(self.file.file(), bytes, sector * SECTOR);
        written.map_err(|e| Error::io(format!("write {}", self.disk.path().display()), e))
    }

    /// Returns the sector behind the partition's new end, which is at most `limit`.
    fn new_end(&self, limit: u64) -> u64 {
        let old = (self.partition.offset + self.partition.size) / SECTOR;
        old.max(limit / GRAIN * GRAIN)
    }

    fn damaged(&self, table: &'static str, reason: &dyn std::fmt::Display) -> Error {
        Error::Table { path: self.disk.path().to_owned(), table, reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests;
