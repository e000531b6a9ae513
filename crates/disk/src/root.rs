//! Which partition is the root, and what its fstab mounts beside it.

mod fstab;
mod os_release;

pub use fstab::Mount;
pub use os_release::OsRelease;

use crate::{Disk, Error, FileSystem, Layout, Partition, inspect, region::Region, tree::Tree};
use std::path::Path;

/// Configuration files of a root are a few lines; more is damage.
const TEXT_LIMIT: u64 = 1 << 20;

/// A root has some of these; the file system that has the most is it.
const SIGNS: [&str; 6] = [
    "/etc/os-release",
    "/usr/lib/os-release",
    "/sbin/init",
    "/bin/sh",
    "/etc/fstab",
    "/usr/lib/systemd/systemd",
];

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

/// Finds the root file system on a disk: the ext4 that has `/etc/os-release`, `/sbin/init` or `/bin/sh`.
///
/// # Errors
/// When there is none, or only one of a kind that Kiln cannot read.
pub fn find_root(disk: impl Into<Disk>) -> Result<Root, Error> {
    let disk = disk.into();
    let layout = inspect(&disk)?;
    let disk = Region::open(&disk)?;
    let mut unreadable = None;
    let mut best: Option<(usize, &Partition, Tree)> = None;
    for partition in &layout.partitions {
        let region = disk.part(partition.offset, partition.size);
        let (Some(FileSystem::Ext4), Some(region)) = (partition.filesystem, region) else { continue };
        match Tree::ext4(region) {
            Ok(tree) => {
                // fstab alone is no root: it only decides between two.
                let signs = SIGNS.iter().filter(|sign| tree.has(sign)).count();
                let is_root = SIGNS[..4].iter().any(|sign| tree.has(sign));
                if is_root && best.as_ref().is_none_or(|(most, ..)| signs > *most) {
                    best = Some((signs, partition, tree));
                }
            }
            Err(error) => unreadable = unreadable.or(Some(error)),
        }
    }
    let Some((_, partition, tree)) = best else {
        return Err(unreadable.unwrap_or_else(|| no_root(disk.path(), &layout)));
    };
    let fstab = tree.read_text("/etc/fstab", TEXT_LIMIT)?.unwrap_or_default();
    Ok(Root {
        partition: partition.number,
        device: partition.device(),
        offset: partition.offset,
        size: partition.size,
        filesystem: FileSystem::Ext4,
        uuid: partition.uuid.clone(),
        mounts: fstab::mounts(&fstab, &layout, partition),
        os_release: OsRelease::read(&tree)?,
    })
}

/// Says what there was instead of a root.
fn no_root(raw: &Path, layout: &Layout) -> Error {
    let unsupported = |filesystem| {
        matches!(filesystem, FileSystem::Xfs | FileSystem::Btrfs | FileSystem::Luks | FileSystem::Lvm)
    };
    for partition in &layout.partitions {
        if let Some(found) = partition.filesystem.filter(|filesystem| unsupported(*filesystem)) {
            return Error::UnsupportedRoot { path: raw.to_owned(), place: partition.place(), found };
        }
    }
    let looked_at = layout.partitions.iter().map(|partition| match partition.filesystem {
        Some(filesystem) => format!("{}: {filesystem}", partition.place()),
        None => format!("{}: nothing known", partition.place()),
    });
    let looked_at = looked_at.collect::<Vec<_>>().join(", ");
    let looked_at = if looked_at.is_empty() { "no partition".to_owned() } else { looked_at };
    Error::NoRoot { path: raw.to_owned(), looked_at }
}

#[cfg(test)]
mod tests;
