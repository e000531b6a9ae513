//! A kernel and its modules, read out of a disk or an unpacked package.
//!
//! ```text
//! /boot/vmlinuz-<version>                 or on the root of a separate /boot
//! /lib/modules/<version>/modules.dep      "kernel/fs/fat/vfat.ko: kernel/fs/fat/fat.ko": made by depmod
//!                        modules.order    "kernel/fs/fat/fat.ko": comes with the package, before depmod ran
//!                        modules.builtin  what the kernel holds already
//!                        modules.softdep  "softdep ext4 pre: crc32c"
//!                        modules.alias    "alias crc32c crc32c_intel"
//!                        kernel/…/*.ko    ELF, or .ko.xz, .ko.zst, .ko.gz
//! ```
//! A package that was unpacked and not installed has no `modules.dep`; the `depends=` that each module carries in its
//! `.modinfo` section says the same.

mod fetch;
mod index;
mod module_file;
mod version;

pub use fetch::{cached_kernels, fetch_kernel};

use crate::{
    Disk, Error, FileSystem, Root,
    tree::{Place, Tree},
};
use index::Index;
use std::path::Path;
use version::newest_first;

/// No kernel image is near this size; a file that claims more is damaged.
const VMLINUZ_LIMIT: u64 = 256 << 20;

/// One kernel module, ready for `init_module`.
#[derive(Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name with underscores, like `virtio_pci`.
    pub name: String,
    /// The ELF file, uncompressed.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Module({}, {} bytes)", self.name, self.bytes.len())
    }
}

/// A kernel image and the modules made with it. Plain data: files are opened when they are read.
#[derive(Debug, Clone)]
pub struct KernelTree {
    version: String,
    image: (Place, String),
    modules: (Place, String),
}

impl KernelTree {
    /// Opens a tree unpacked from a Debian kernel package: `boot/vmlinuz-<version>` and `lib/modules/<version>`.
    /// Of several kernels the newest is taken; a kernel without modules does not count.
    ///
    /// # Errors
    /// When the folder cannot be read; a folder without a kernel is `Ok(None)`.
    pub fn from_folder(folder: &Path) -> Result<Option<Self>, Error> {
        let place = Place::Folder(folder.to_owned());
        newest(&place, &place.open()?, &[(&place, "/boot")])
    }

    /// Returns the version, like `6.1.0-37-cloud-amd64`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Reads the kernel image.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_vmlinuz(&self) -> Result<Vec<u8>, Error> {
        let (place, name) = &self.image;
        place.open()?.need(name, VMLINUZ_LIMIT)
    }

    /// Reads these modules and everything they depend on, in load order; those built into the kernel are left out.
    ///
    /// A name that ends in `?` is optional: it is left out when the kernel does not have it.
    ///
    /// # Errors
    /// When a needed module is missing or cannot be unpacked.
    pub fn modules(&self, names: &[&str]) -> Result<Vec<Module>, Error> {
        let (place, folder) = &self.modules;
        let tree = place.open()?;
        Index::read(&tree, folder, &self.version)?.closure(names)
    }
}

/// Finds the newest kernel in a root (or on its separate `/boot`) that has modules beside it.
///
/// # Errors
/// When a file system cannot be read; a root without a kernel is `Ok(None)`.
pub fn find_kernel(disk: impl Into<Disk>, root: &Root) -> Result<Option<KernelTree>, Error> {
    let disk = disk.into();
    let place = |offset, size| Place::Ext4 { disk: disk.clone(), offset, size };
    let root_place = place(root.offset, root.size);
    let tree = root_place.open()?;
    let boot = root.mounts.iter().find(|mount| mount.path == "/boot" && mount.filesystem == FileSystem::Ext4);
    let boot_place = boot.map(|mount| place(mount.offset, mount.size));
    let mut images = vec![(&root_place, "/boot")];
    images.extend(boot_place.iter().map(|place| (place, "/")));
    newest(&root_place, &tree, &images)
}

/// Looks for `vmlinuz-<version>` in `images` and takes the newest that has modules in `tree`.
fn newest(place: &Place, tree: &Tree, images: &[(&Place, &str)]) -> Result<Option<KernelTree>, Error> {
    let mut found: Vec<(String, (Place, String))> = Vec::new();
    for (image_place, folder) in images {
        for name in image_place.open()?.list(folder)? {
            if let Some(version) = name.strip_prefix("vmlinuz-") {
                let path = format!("{}/{name}", folder.trim_end_matches('/'));
                found.push((version.to_owned(), ((*image_place).clone(), path)));
            }
        }
    }
    found.sort_by(|(a, _), (b, _)| newest_first(a, b));
    for (version, image) in found {
        for parent in ["/lib/modules", "/usr/lib/modules"] {
            let folder = format!("{parent}/{version}");
            if tree.has(&format!("{folder}/modules.builtin")) || tree.has(&format!("{folder}/modules.dep")) {
                return Ok(Some(KernelTree { version, image, modules: (place.clone(), folder) }));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
