//! Roots on file systems that the kernel reads and this crate does not: what lies around them says which one it is.
//!
//! ```text
//! 1. what the boot loader's `root=` names, on an ext4 or FAT that holds one
//! 2. a partition whose type says that it is a root
//! 3. a file system with the label `root`
//! 4. the only one; not beside LVM or LUKS, where it is the /boot
//! ```

use super::{Mount, Root, boot::BootArguments, fstab, unsupported_or_none};
use crate::{Error, FileSystem, Layout, Partition, region::Region, tree::Tree};

/// Types of partitions, in lower case (Discoverable Partitions Specification).
const ROOT_TYPES: [&str; 3] = [
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", // x86-64
    "44479540-f297-41b2-9af7-d131d5f0458a", // x86
    "b921b045-1df0-41c3-af44-4c6f280d3fae", // arm64
];
const EXTENDED_BOOT: &str = "bc13c2ff-59e6-4262-a352-b275fd6f7172";
const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

/// Finds the root among them.
pub(super) fn find(disk: &Region, layout: &Layout) -> Result<Root, Error> {
    let boot = Boot::find(disk, layout)?;
    let arguments = boot.as_ref().and_then(|boot| boot.arguments.clone()).unwrap_or_default();
    let partition = choose(disk, layout, &arguments)?;
    let mounts = boot.map(|boot| boot.mounts(layout)).unwrap_or_default();
    let mut root = Root::new(partition, mounts, &arguments);
    root.options = arguments.root_flags().unwrap_or_default().to_owned();
    Ok(root)
}

fn choose<'a>(disk: &Region, layout: &'a Layout, arguments: &BootArguments) -> Result<&'a Partition, Error> {
    let partitions = || layout.partitions.iter();
    let could_be = |partition: &&Partition| {
        matches!(partition.filesystem, Some(FileSystem::Xfs | FileSystem::Btrfs))
            && partition.kind != EXTENDED_BOOT
            && partition.label.as_deref() != Some("boot")
    };
    let candidates: Vec<_> = partitions().filter(could_be).collect();
    let named = arguments.root.as_ref().and_then(|root| fstab::find(root, layout));
    let named = named.filter(could_be);
    let of_type = || candidates.iter().find(|partition| ROOT_TYPES.contains(&partition.kind.as_str()));
    let labelled = || candidates.iter().find(|partition| partition.label.as_deref() == Some("root"));
    if let Some(root) = named.or_else(|| of_type().or_else(labelled).copied()) {
        return Ok(root);
    }
    let hides_root =
        |partition: &Partition| matches!(partition.filesystem, Some(FileSystem::Luks | FileSystem::Lvm));
    match candidates[..] {
        [] => Err(unsupported_or_none(disk.path(), layout)),
        _ if partitions().any(hides_root) => Err(unsupported_or_none(disk.path(), layout)),
        [only] => Ok(only),
        _ => {
            let places = candidates.iter().map(|partition| partition.place()).collect::<Vec<_>>().join(", ");
            Err(Error::SeveralRoots { path: disk.path().to_owned(), places })
        }
    }
}

/// A partition with a boot loader's settings or kernels.
struct Boot<'a> {
    partition: &'a Partition,
    has_kernel: bool,
    has_efi: bool,
    arguments: Option<BootArguments>,
}

impl<'a> Boot<'a> {
    fn find(disk: &Region, layout: &'a Layout) -> Result<Option<Self>, Error> {
        for partition in &layout.partitions {
            let Some(region) = disk.part(partition.offset, partition.size) else { continue };
            let tree = match partition.filesystem {
                Some(FileSystem::Ext4) => Tree::ext4(region),
                Some(FileSystem::Vfat) => Tree::fat(&region),
                _ => continue,
            };
            // One that is damaged is none.
            let Ok(tree) = tree else { continue };
            let has_kernel = tree.list("/")?.iter().any(|name| name.starts_with("vmlinuz-"));
            let arguments = BootArguments::read(&tree, "")?;
            if has_kernel || arguments.is_some() {
                return Ok(Some(Self { partition, has_kernel, has_efi: tree.has("/efi"), arguments }));
            }
        }
        Ok(None)
    }

    /// Mounts it where its kernels show that it is `/boot`, and the EFI system partition where there is a folder for it.
    fn mounts(&self, layout: &Layout) -> Vec<Mount> {
        let mut mounts = Vec::new();
        if self.has_kernel {
            mounts.extend(Mount::of(self.partition, "/boot", ""));
            let is_esp = |partition: &&Partition| {
                partition.filesystem == Some(FileSystem::Vfat)
                    && matches!(partition.kind.as_str(), ESP | "ef")
            };
            let esp = layout.partitions.iter().find(is_esp);
            let esp = esp.filter(|esp| self.has_efi && esp.number != self.partition.number);
            mounts.extend(esp.and_then(|esp| Mount::of(esp, "/boot/efi", "")));
        }
        mounts
    }
}

#[cfg(test)]
mod tests;
