//! What lies on a disk: its partition table, and what each partition holds.
//!
//! A protective entry (type EE) or a GPT signature means GPT. Else a file system that starts at byte 0 means that there
//! is no table, else the boot sector's own table counts: a FAT boot sector ends in 55 AA just as an MBR does.

mod filesystem;
mod gpt_table;
mod mbr_table;

pub use filesystem::FileSystem;

use crate::{Disk, Error, region::Region};
use filesystem::Probe;

/// Sectors of 512 bytes: what QEMU's virtual disks and every image for them use.
pub(crate) const SECTOR: u64 = 512;

/// How a disk is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// A GUID partition table.
    Gpt,
    /// A master boot record, with logical partitions if there is an extended one.
    Mbr,
    /// No table: one file system fills the disk, or nothing that is known.
    WholeDisk,
}

/// One partition, or the whole disk where there is no table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The number that Linux gives it; `None` for the whole disk.
    pub number: Option<u32>,
    /// Its first byte on the disk.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// GPT: the type's GUID in lower case; MBR: two hexadecimal digits; whole disk: empty.
    pub kind: String,
    /// What it holds, where that is known.
    pub filesystem: Option<FileSystem>,
    /// The file system's UUID as `blkid` writes it.
    pub uuid: Option<String>,
    /// The file system's label.
    pub label: Option<String>,
    /// The partition's own UUID as `blkid` writes it.
    pub partuuid: Option<String>,
    /// The partition's name in the table (GPT only).
    pub partlabel: Option<String>,
}

impl Partition {
    /// Returns the guest's name for it on the first virtio disk: `vda3`, or `vda` for the whole disk.
    #[must_use]
    pub fn device(&self) -> String {
        self.number.map_or_else(|| "vda".to_owned(), |number| format!("vda{number}"))
    }

    /// Returns how messages name it: `partition 3` or `the whole disk`.
    #[must_use]
    pub fn place(&self) -> String {
        self.number.map_or_else(|| "the whole disk".to_owned(), |number| format!("partition {number}"))
    }
}

/// Everything [`inspect`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The disk's size in bytes.
    pub size: u64,
    /// How it is divided.
    pub table: Table,
    /// The partitions in the order of their numbers; one without a number where there is no table.
    pub partitions: Vec<Partition>,
}

/// A partition as its table has it, before anybody looked inside.
struct Entry {
    number: u32,
    offset: u64,
    size: u64,
    kind: String,
    partuuid: String,
    partlabel: Option<String>,
}

/// Reads the partition table of a disk and the first bytes of each partition.
///
/// # Errors
/// When the disk cannot be read or its table is damaged.
pub fn inspect(disk: impl Into<Disk>) -> Result<Layout, Error> {
    let disk = Region::open(&disk.into())?;
    let first = disk.peek::<1024>(0).map_err(|e| read_error(&disk, e))?;
    let (table, entries) = if mbr_table::is_protective(&first) || first[512..].starts_with(b"EFI PART") {
        (Table::Gpt, gpt_table::read(&disk)?)
    } else {
        let whole = Probe::of(&disk).map_err(|e| read_error(&disk, e))?;
        let entries = if whole.is_some() { Vec::new() } else { mbr_table::read(&disk)? };
        if entries.is_empty() {
            let partition = partition(&disk, None, whole.unwrap_or_default());
            return Ok(Layout { size: disk.size(), table: Table::WholeDisk, partitions: vec![partition] });
        }
        (Table::Mbr, entries)
    };
    let partitions = entries.into_iter().map(|entry| {
        let part = disk.part(entry.offset, entry.size).ok_or_else(|| Error::Table {
            path: disk.path().to_owned(),
            table: if table == Table::Gpt { "GPT" } else { "MBR" },
            reason: format!("partition {} ends past the end of the disk", entry.number),
        })?;
        let probe = Probe::of(&part).map_err(|e| read_error(&disk, e))?;
        Ok(partition(&part, Some(entry), probe.unwrap_or_default()))
    });
    Ok(Layout { size: disk.size(), table, partitions: partitions.collect::<Result<_, Error>>()? })
}

fn partition(region: &Region, entry: Option<Entry>, probe: Probe) -> Partition {
    Partition {
        number: entry.as_ref().map(|entry| entry.number),
        offset: entry.as_ref().map_or(0, |entry| entry.offset),
        size: region.size(),
        filesystem: probe.filesystem,
        uuid: probe.uuid,
        label: probe.label,
        partlabel: entry.as_ref().and_then(|entry| entry.partlabel.clone()),
        partuuid: entry.as_ref().map(|entry| entry.partuuid.clone()),
        kind: entry.map(|entry| entry.kind).unwrap_or_default(),
    }
}

fn read_error(disk: &Region, source: std::io::Error) -> Error {
    Error::io(format!("read {}", disk.path().display()), source)
}

#[cfg(test)]
mod tests;
