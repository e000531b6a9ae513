//! Which partition is the root, and what its fstab mounts beside it.

mod boot;
mod facts;
mod fstab;
mod machine_id;
mod os_release;
mod unreadable;

pub use facts::{RootFacts, Selinux, facts};
pub use fstab::Mount;
pub use machine_id::has_machine_id;
pub use os_release::OsRelease;

use crate::{Disk, Error, FileSystem, Layout, Partition, inspect, region::Region, tree::Tree};
use boot::BootArguments;
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
    /// What it is: ext4, or XFS or Btrfs, of which this crate reads no more than the beginning.
    pub filesystem: FileSystem,
    /// What mount(2) takes as data, like `subvol=root`.
    pub options: String,
    /// The file system's UUID.
    pub uuid: Option<String>,
    /// The partition's own UUID; none when the file system fills the disk.
    pub partuuid: Option<String>,
    /// What else to mount, parents before children: all that the same disk has, where the root's fstab can be read.
    pub mounts: Vec<Mount>,
    /// What the image's boot loader gives its kernel beside `root=`, like `ro` and `console=ttyS0`.
    pub boot_arguments: Vec<String>,
    /// Which system this is, where it says so.
    pub os_release: Option<OsRelease>,
}

impl Root {
    fn new(partition: &Partition, mounts: Vec<Mount>, arguments: &BootArguments) -> Self {
        Self {
            partition: partition.number,
            device: partition.device(),
            offset: partition.offset,
            size: partition.size,
            filesystem: partition.filesystem.unwrap_or(FileSystem::Ext4),
            options: String::new(),
            uuid: partition.uuid.clone(),
            partuuid: partition.partuuid.clone(),
            mounts,
            boot_arguments: arguments.others.clone(),
            os_release: None,
        }
    }

    /// Returns the kernel's modules that mount it and what its fstab mounts, as [`crate::KernelTree::modules`] takes them.
    #[must_use]
    pub fn modules(&self) -> Vec<&'static str> {
        let all = std::iter::once(self.filesystem).chain(self.mounts.iter().map(|mount| mount.filesystem));
        let mut modules: Vec<_> = all.flat_map(FileSystem::modules).copied().collect();
        modules.sort_unstable();
        modules.dedup();
        modules
    }

    /// Returns the kernel's argument that finds this root without the help of an initrd. `disk` is the kernel's name for
    /// the disk, like `nvme0n1`: where the file system fills it there is nothing else to find it by.
    #[must_use]
    pub fn root_argument(&self, disk: &str) -> String {
        match &self.partuuid {
            Some(partuuid) => format!("root=PARTUUID={partuuid}"),
            None => format!("root=/dev/{disk}"),
        }
    }
}

/// Finds the root file system on a disk: the ext4 that has `/etc/os-release`, `/sbin/init` or `/bin/sh`, else the XFS or
/// Btrfs that what lies around it says is the root.
///
/// # Errors
/// When there is none, only one that nobody can mount without being asked for a key or a volume, or several.
pub fn find_root(disk: impl Into<Disk>) -> Result<Root, Error> {
    let disk = disk.into();
    let layout = inspect(&disk)?;
    let disk = Region::open(&disk)?;
    let mut unreadable = None;
    let mut roots: Vec<(usize, &Partition, Tree)> = Vec::new();
    for partition in &layout.partitions {
        let region = disk.part(partition.offset, partition.size);
        let (Some(FileSystem::Ext4), Some(region)) = (partition.filesystem, region) else { continue };
        match Tree::ext4(region) {
            Ok(tree) => {
                // fstab alone is no root: it only decides between two.
                let signs = SIGNS.iter().filter(|sign| tree.has(sign)).count();
                if SIGNS[..4].iter().any(|sign| tree.has(sign)) {
                    roots.push((signs, partition, tree));
                }
            }
            Err(error) => unreadable = unreadable.or(Some(error)),
        }
    }
    let most = roots.iter().map(|(signs, ..)| *signs).max().unwrap_or_default();
    roots.retain(|(signs, ..)| *signs == most);
    match &roots[..] {
        [] => unreadable.map_or_else(|| unreadable::find(&disk, &layout), Err),
        [(_, partition, tree)] => readable(&disk, &layout, partition, tree),
        several => {
            let places = several.iter().map(|(_, partition, _)| partition.place());
            let places = places.collect::<Vec<_>>().join(", ");
            Err(Error::SeveralRoots { path: disk.path().to_owned(), places })
        }
    }
}

fn readable(disk: &Region, layout: &Layout, partition: &Partition, tree: &Tree) -> Result<Root, Error> {
    let fstab = tree.read_text("/etc/fstab", TEXT_LIMIT)?.unwrap_or_default();
    let mounts = fstab::mounts(&fstab, layout, partition);
    let boot = mounts.iter().find(|mount| mount.path == "/boot").and_then(|mount| mount.tree(disk));
    let arguments = match boot {
        Some(boot) => BootArguments::read(&boot?, "")?,
        None => BootArguments::read(tree, "/boot")?,
    };
    let mut root = Root::new(partition, mounts, &arguments.unwrap_or_default());
    root.os_release = OsRelease::read(tree)?;
    Ok(root)
}

/// Says what there was instead of a root.
fn unsupported_or_none(path: &Path, layout: &Layout) -> Error {
    for partition in &layout.partitions {
        if let Some(found @ (FileSystem::Luks | FileSystem::Lvm)) = partition.filesystem {
            return Error::UnsupportedRoot { path: path.to_owned(), place: partition.place(), found };
        }
    }
    let looked_at = layout.partitions.iter().map(|partition| match partition.filesystem {
        Some(filesystem) => format!("{}: {filesystem}", partition.place()),
        None => format!("{}: nothing known", partition.place()),
    });
    let looked_at = looked_at.collect::<Vec<_>>().join(", ");
    let looked_at = if looked_at.is_empty() { "no partition".to_owned() } else { looked_at };
    Error::NoRoot { path: path.to_owned(), looked_at }
}

#[cfg(test)]
mod tests;
