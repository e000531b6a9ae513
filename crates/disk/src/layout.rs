//! What lies on a disk: its partition table, and what each partition holds.

use crate::Error;
use std::path::Path;

/// How a disk is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// A GUID partition table.
    Gpt,
    /// A master boot record, with logical partitions if there is an extended one.
    Mbr,
    /// No table: one file system fills the disk.
    WholeDisk,
}

/// What a partition's first bytes say it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileSystem {
    /// ext2, ext3 or ext4.
    Ext4,
    /// FAT12, FAT16 or FAT32.
    Vfat,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// An encrypted LUKS container.
    Luks,
    /// An LVM physical volume.
    Lvm,
    /// Swap space.
    Swap,
}

impl FileSystem {
    /// Returns the name that `mount` and fstab use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Vfat => "vfat",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Luks => "crypto_LUKS",
            Self::Lvm => "LVM2_member",
            Self::Swap => "swap",
        }
    }
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

/// Everything [`inspect`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The disk's size in bytes.
    pub size: u64,
    /// How it is divided.
    pub table: Table,
    /// The partitions in the order of their numbers; one without a number for a whole-disk file system.
    pub partitions: Vec<Partition>,
}

/// Reads the partition table of a raw disk and the first bytes of each partition.
///
/// # Errors
/// When the file cannot be read or its table is damaged.
pub fn inspect(raw: &Path) -> Result<Layout, Error> {
    todo!("{raw:?}")
}
