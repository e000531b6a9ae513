//! The tiny base: busybox, the cloud kernel and GRUB on a disk that boots by itself.

use anyhow::Result;
use std::path::{Path, PathBuf};

/// The line that the tiny base's init prints on its console when it is up.
pub const MARKER: &str = "KILN-TINY-UP";

/// How the tiny base is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// GPT with a BIOS boot partition, an EFI system partition and an ext4 root, as `kiln_disk::build` makes it.
    Gpt,
    /// An MBR with one ext4 partition; boots under SeaBIOS.
    Mbr,
    /// One ext4 file system over the whole disk, with kernel files in it; does not boot by itself.
    WholeDisk,
    /// As `WholeDisk`, without a kernel.
    WholeDiskNoKernel,
}

/// A tiny base in the cache.
#[derive(Debug, Clone)]
pub struct TinyBase {
    /// The raw disk; never write to it.
    pub disk: PathBuf,
    /// The SHA-256 of the disk in hexadecimal.
    pub sha256: String,
}

/// Makes the GPT tiny base below `cache`, or finds it there.
///
/// # Errors
/// When packages cannot be fetched or a tool fails.
pub fn tiny_base(cache: &Path) -> Result<TinyBase> {
    tiny_base_variant(cache, Variant::Gpt)
}

/// Makes one variant of the tiny base below `cache`, or finds it there.
///
/// # Errors
/// When packages cannot be fetched or a tool fails.
pub fn tiny_base_variant(cache: &Path, variant: Variant) -> Result<TinyBase> {
    todo!("{cache:?} {variant:?}")
}
