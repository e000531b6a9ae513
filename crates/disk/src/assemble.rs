//! Around a root file system that is there already: partition table, boot loader, EFI system partition.
//!
//! ```text
//! 0         boot.img (440 bytes), protective MBR    LBA 1, 2…33: GPT
//! 1 MiB     partition 1, BIOS boot: core.img (not on arm64, which has no BIOS)      1 MiB
//! 2 MiB     partition 2, EFI system: FAT32 with EFI/BOOT/BOOTX64.EFI               62 MiB
//! 64 MiB    partition 3, ext4 root: last, so that it can grow                       the rest
//! -1 MiB    nothing, and the GPT's copy in the last 33 sectors
//! ```

mod bios;
mod esp;
mod table;

use crate::{Error, firmware::Firmware, layout::SECTOR, tree::Place};
use kiln_types::Architecture;
use std::path::Path;

const MIB: u64 = 1 << 20;

/// A part of a disk in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first byte.
    pub offset: u64,
    /// The length.
    pub size: u64,
}

/// Where the parts of a bootable GPT disk lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// The whole disk's size.
    pub size: u64,
    /// Partition 1, for GRUB's `core.img`.
    pub bios: Extent,
    /// Partition 2, the EFI system partition.
    pub esp: Extent,
    /// Partition 3, the root.
    pub root: Extent,
}

impl Geometry {
    /// Divides a disk of `size` bytes, which is rounded down to whole MiB.
    ///
    /// # Errors
    /// When less than `least_root` bytes are left for the root.
    pub fn new(size: u64, least_root: u64) -> Result<Self, Error> {
        let size = size / MIB * MIB;
        let before = 64 * MIB;
        let root = size.saturating_sub(before + MIB);
        if root < least_root.max(MIB) {
            let needed = least_root.max(MIB) + before + MIB;
            return Err(Error::TooSmall { what: "the disk".to_owned(), needed, available: size });
        }
        Ok(Self {
            size,
            bios: Extent { offset: MIB, size: MIB },
            esp: Extent { offset: 2 * MIB, size: 62 * MIB },
            root: Extent { offset: before, size: root },
        })
    }
}

/// What GRUB needs outside file systems, as `grub-mkimage` made it.
#[derive(Debug, Clone)]
pub struct BootImages {
    /// What machines it is for.
    pub architecture: Architecture,
    /// None for a disk that boots under UEFI only.
    pub bios: Option<BiosImages>,
    /// The image of GRUB's UEFI platform; none for a disk that boots under BIOS only.
    pub efi: Option<Vec<u8>>,
}

/// GRUB for `i386-pc`.
#[derive(Debug, Clone)]
pub struct BiosImages {
    /// `boot.img`: 512 bytes, of which 440 go into the boot sector.
    pub boot: Vec<u8>,
    /// `core.img`.
    pub core: Vec<u8>,
}

impl BootImages {
    /// Reads them out of the root on a raw disk: the bootstrap leaves them where `grub-install` does.
    pub(crate) fn read(raw: &Path, root: Extent, architecture: Architecture) -> Result<Self, Error> {
        let tree = Place::Ext4 { disk: raw.into(), offset: root.offset, size: root.size }.open()?;
        let firmware = Firmware::of(architecture);
        let file = |platform: &str, name: &str| tree.need(&format!("/boot/grub/{platform}/{name}"), 16 * MIB);
        let bios = firmware.bios.map(|platform| {
            Ok::<_, Error>(BiosImages {
                boot: file(platform, "boot.img")?,
                core: file(platform, "core.img")?,
            })
        });
        Ok(Self { architecture, bios: bios.transpose()?, efi: Some(file(firmware.efi, "core.efi")?) })
    }
}

/// Makes a raw disk bootable whose root lies at `geometry.root`: GPT, boot sector, `core.img`, EFI system partition
/// with the volume number `esp_serial`.
///
/// # Errors
/// When the disk cannot be written or a boot image does not fit.
pub fn make_bootable(
    raw: &Path,
    geometry: &Geometry,
    images: &BootImages,
    esp_serial: u32,
) -> Result<(), Error> {
    let mut file = open(raw)?;
    table::write_gpt(&mut file, geometry, images)?;
    if let Some(images) = &images.bios {
        bios::embed(&file, images, geometry.bios)?;
    }
    let name = Firmware::of(images.architecture).efi_file;
    esp::write(&file, geometry.esp, images.efi.as_deref().map(|image| (name, image)), esp_serial)
}

/// Makes a raw disk bootable under BIOS with one MBR partition at `root`; `core.img` goes into the gap before it.
///
/// # Errors
/// When the disk cannot be written or `core.img` does not fit into the gap.
pub fn make_bootable_mbr(raw: &Path, root: Extent, images: &BiosImages) -> Result<(), Error> {
    let file = open(raw)?;
    table::write_mbr(&file, root)?;
    bios::embed(&file, images, Extent { offset: SECTOR, size: root.offset.saturating_sub(SECTOR) })
}

fn open(raw: &Path) -> Result<fs_err::File, Error> {
    let file = fs_err::OpenOptions::new().read(true).write(true).open(raw);
    file.map_err(|e| Error::io("open the new disk", e))
}

fn write_error(source: std::io::Error) -> Error {
    Error::io("write the new disk", source)
}

#[cfg(test)]
mod tests;
