//! Which partition is the root, and what its fstab mounts beside it.

use crate::{Error, FileSystem};
use std::path::Path;

/// A file system that the root's `fstab` mounts below `/` and that lies on the same disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The partition's number.
    pub partition: u32,
    /// The guest's name for it, like `vda2`.
    pub device: String,
    /// Its first byte on the disk.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Where it goes, like `/boot/efi`.
    pub path: String,
    /// What it holds; `filesystem.as_str()` is the name `mount` takes.
    pub filesystem: FileSystem,
    /// The options of the fstab line, like `umask=0077`, without those that only a running init knows.
    pub options: String,
}

/// What `/etc/os-release` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OsRelease {
    /// `ID`, like `debian`.
    pub id: String,
    /// `VERSION_ID`, like `12`.
    pub version_id: Option<String>,
    /// `VERSION_CODENAME`, like `bookworm`.
    pub codename: Option<String>,
    /// `PRETTY_NAME`.
    pub pretty_name: Option<String>,
}

/// The root file system of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The partition's number; `None` when the file system fills the disk.
    pub partition: Option<u32>,
    /// The guest's name for it: `vda3`, or `vda` for a whole disk.
    pub device: String,
    /// Its first byte on the disk.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Always [`FileSystem::Ext4`] for now.
    pub filesystem: FileSystem,
    /// The file system's UUID.
    pub uuid: Option<String>,
    /// What else to mount, parents before children.
    pub mounts: Vec<Mount>,
    /// Which system this is, where it says so.
    pub os_release: Option<OsRelease>,
}

/// Finds the root file system on a raw disk.
///
/// # Errors
/// When there is none, or only one of a kind that Kiln cannot read.
pub fn find_root(raw: &Path) -> Result<Root, Error> {
    todo!("{raw:?}")
}
