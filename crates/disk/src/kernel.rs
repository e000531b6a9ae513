//! A kernel, its initrd and its modules, read out of a disk or an unpacked package.
//!
//! ```text
//! /boot/vmlinuz-<version>                 or on the root of a separate /boot; or <modules>/vmlinuz
//!      /initrd.img-<version>              Debian's name; initramfs-<version>.img and initrd-<version> elsewhere
//! /lib/modules/<version>/modules.dep      "kernel/fs/fat/vfat.ko: kernel/fs/fat/fat.ko": made by depmod
//!                        modules.order    "kernel/fs/fat/fat.ko": comes with the package, before depmod ran
//!                        modules.builtin  what the kernel holds already
//!                        modules.softdep  "softdep ext4 pre: crc32c"
//!                        modules.alias    "alias crc32c crc32c_intel"
//!                        kernel/…/*.ko    ELF, or .ko.xz, .ko.zst, .ko.gz
//! ```
//! A package that was unpacked and not installed has no `modules.dep`; the `depends=` that each module carries in its
//! `.modinfo` section says the same. Where the root cannot be read, the modules are those that the initrd brings to open
//! it. Where a kernel's name is not its version (`vmlinuz-linux`), its header says which it is.

mod fetch;
mod header;
mod index;
mod module_file;

pub use fetch::{cached_kernels, fetch_kernel};
pub use header::kernel_version;

use crate::{
    Disk, Error, FileSystem, Root,
    tree::{Place, Tree},
    version::newest_first,
};
use index::Index;
use kiln_types::Architecture;
use std::path::Path;

/// No kernel image is near this size, and no initrd; a file that claims more is damaged.
const IMAGE_LIMIT: u64 = 512 << 20;

/// Where modules are, below the root.
const MODULES: [&str; 2] = ["/lib/modules", "/usr/lib/modules"];

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
    /// In the same tree.
    initrd: Option<String>,
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
        newest(&[(&place, "/boot")], Some(&place))
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
        place.open()?.need(name, IMAGE_LIMIT)
    }

    /// Reads the initrd that lies beside the kernel image: what the image itself boots with.
    ///
    /// # Errors
    /// When it cannot be read; a kernel without one is `Ok(None)`.
    pub fn read_initrd(&self) -> Result<Option<Vec<u8>>, Error> {
        let Some(name) = &self.initrd else { return Ok(None) };
        self.image.0.open()?.need(name, IMAGE_LIMIT).map(Some)
    }

    /// Says what the kernel is for; `None` where its image does not tell.
    ///
    /// # Errors
    /// When the image cannot be read.
    pub fn architecture(&self) -> Result<Option<Architecture>, Error> {
        Ok(header::architecture(&self.read_vmlinuz()?))
    }

    /// Says whether the kernel holds a module already, like `ext4` or `nvme`.
    ///
    /// # Errors
    /// When the list of what is built in cannot be read.
    pub fn built_in(&self, name: &str) -> Result<bool, Error> {
        let (place, folder) = &self.modules;
        let tree = place.open()?;
        Ok(Index::read(&tree, folder, &self.version)?.is_built_in(name))
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

/// Finds the newest kernel in a root (or on its separate `/boot`) whose modules can be read: in the root, or in the
/// kernel's own initrd where the root is of a kind that cannot be read here.
///
/// # Errors
/// When a file system cannot be read; a root without a kernel is `Ok(None)`.
pub fn find_kernel(disk: impl Into<Disk>, root: &Root) -> Result<Option<KernelTree>, Error> {
    let disk = disk.into();
    let place = |filesystem, offset, size| match filesystem {
        FileSystem::Ext4 => Some(Place::Ext4 { disk: disk.clone(), offset, size }),
        FileSystem::Vfat => Some(Place::Fat { disk: disk.clone(), offset, size }),
        _ => None,
    };
    let root_place = place(root.filesystem, root.offset, root.size);
    let boot = root.mounts.iter().find(|mount| mount.path == "/boot");
    let boot_place = boot.and_then(|mount| place(mount.filesystem, mount.offset, mount.size));
    let images = root_place.iter().map(|place| (place, "/boot"));
    let images: Vec<_> = images.chain(boot_place.iter().map(|place| (place, "/"))).collect();
    newest(&images, root_place.as_ref())
}

/// A kernel image that was found, before anybody knows its modules.
struct Image {
    /// What follows `vmlinuz-`: mostly the version.
    name: String,
    file: (Place, String),
    initrd: Option<String>,
}

/// Takes the newest kernel of these folders that has modules, in `root` or else in its initrd.
fn newest(folders: &[(&Place, &str)], root: Option<&Place>) -> Result<Option<KernelTree>, Error> {
    let mut images = Vec::new();
    for (place, folder) in folders {
        images.extend(images_in(place, folder)?);
    }
    let tree = root.map(Place::open).transpose()?;
    for (place, tree) in root.iter().zip(&tree) {
        images.extend(images_beside_modules(place, tree)?);
    }
    // Stable: of two that are the same, the one in /boot with its initrd comes first.
    images.sort_by(|a, b| newest_first(&a.name, &b.name));
    for image in images {
        let modules = match (root, &tree, &image.initrd) {
            (Some(place), Some(tree), _) => image.modules_in(place, tree)?,
            (None, _, Some(initrd)) => {
                let place = Place::Initrd { tree: Box::new(image.file.0.clone()), name: initrd.clone() };
                image.modules_in(&place, &place.open()?)?
            }
            _ => None,
        };
        if let Some(Modules { version, place, folder }) = modules {
            let modules = (place, folder);
            return Ok(Some(KernelTree { version, image: image.file, initrd: image.initrd, modules }));
        }
    }
    Ok(None)
}

/// Lists `vmlinuz-…` in a folder, each with its initrd.
fn images_in(place: &Place, folder: &str) -> Result<Vec<Image>, Error> {
    let names = place.open()?.list(folder)?;
    let path = |name: &str| format!("{}/{name}", folder.trim_end_matches('/'));
    let images = names.iter().filter_map(|file| {
        let name = file.strip_prefix("vmlinuz-")?;
        let initrds = [
            format!("initrd.img-{name}"),
            format!("initramfs-{name}.img"),
            format!("initrd-{name}"),
            format!("initramfs-{name}"),
        ];
        let initrd = initrds.iter().find(|initrd| names.contains(initrd)).map(|initrd| path(initrd));
        Some(Image { name: name.to_owned(), file: (place.clone(), path(file)), initrd })
    });
    Ok(images.collect())
}

/// Lists `/lib/modules/<version>/vmlinuz`, where some distributions keep the image.
fn images_beside_modules(place: &Place, tree: &Tree) -> Result<Vec<Image>, Error> {
    let mut images = Vec::new();
    for parent in MODULES {
        for name in tree.list(parent)? {
            let file = format!("{parent}/{name}/vmlinuz");
            if tree.file_size(&file)?.is_some() {
                images.push(Image { name, file: (place.clone(), file), initrd: None });
            }
        }
    }
    Ok(images)
}

/// A kernel's modules, and what their folder says that its version is.
struct Modules {
    version: String,
    place: Place,
    folder: String,
}

impl Image {
    /// Finds the kernel's version and the folder of its modules in a tree.
    fn modules_in(&self, place: &Place, tree: &Tree) -> Result<Option<Modules>, Error> {
        let folder_of = |version: &str| {
            let folders = MODULES.map(|parent| format!("{parent}/{version}"));
            folders.into_iter().find(|folder| {
                tree.has(&format!("{folder}/modules.builtin")) || tree.has(&format!("{folder}/modules.dep"))
            })
        };
        if let Some(folder) = folder_of(&self.name) {
            return Ok(Some(Modules { version: self.name.clone(), place: place.clone(), folder }));
        }
        let (image_place, file) = &self.file;
        let version = kernel_version(&image_place.open()?.need(file, IMAGE_LIMIT)?);
        Ok(version.and_then(|version| {
            folder_of(&version).map(|folder| Modules { version, place: place.clone(), folder })
        }))
    }
}

#[cfg(test)]
mod tests;
