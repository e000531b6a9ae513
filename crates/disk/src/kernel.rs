//! A kernel and its modules, read out of a disk or an unpacked package.

use crate::{Error, Root};
use std::path::Path;

/// One kernel module, ready for `init_module`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name with underscores, like `virtio_pci`.
    pub name: String,
    /// The ELF file, uncompressed.
    pub bytes: Vec<u8>,
}

/// A kernel image and the modules made with it. Plain data: files are opened when they are read.
#[derive(Debug, Clone)]
pub struct KernelTree {
    version: String,
}

impl KernelTree {
    /// Opens a tree unpacked from a Debian kernel package: `boot/vmlinuz-<version>` and `lib/modules/<version>`.
    ///
    /// # Errors
    /// When the folder holds no such kernel.
    pub fn from_folder(folder: &Path) -> Result<Self, Error> {
        todo!("{folder:?}")
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
        todo!()
    }

    /// Reads these modules and everything they depend on, in load order; those built into the kernel are left out.
    ///
    /// A name that ends in `?` is optional: it is left out when the kernel does not have it.
    ///
    /// # Errors
    /// When a needed module is missing or cannot be unpacked.
    pub fn modules(&self, names: &[&str]) -> Result<Vec<Module>, Error> {
        todo!("{names:?}")
    }
}

/// Finds the newest kernel in a root (or on its separate `/boot`) that has modules beside it.
///
/// # Errors
/// When a file system cannot be read; a root without a kernel is `Ok(None)`.
pub fn find_kernel(raw: &Path, root: &Root) -> Result<Option<KernelTree>, Error> {
    todo!("{raw:?} {root:?}")
}

/// Downloads Debian's cloud kernel through the host's apt configuration and unpacks it below `cache/kernels`. No root needed.
///
/// # Errors
/// When apt or dpkg-deb is missing or fails.
pub fn fetch_kernel(cache: &Path, on_line: &mut dyn FnMut(&str)) -> Result<KernelTree, Error> {
    on_line("");
    todo!("{cache:?}")
}

/// Lists the kernels that [`fetch_kernel`] unpacked, newest first.
///
/// # Errors
/// When the folder cannot be listed.
pub fn cached_kernels(cache: &Path) -> Result<Vec<KernelTree>, Error> {
    todo!("{cache:?}")
}
