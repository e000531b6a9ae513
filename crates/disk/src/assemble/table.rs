//! The partition table of a new disk.

use super::{BootImages, Extent, Geometry, write_error};
use crate::{Error, layout::SECTOR};
use gpt::{GptConfig, mbr::ProtectiveMBR, partition_types};
use kiln_types::Architecture;
use std::os::unix::fs::FileExt;

/// Writes the protective MBR and both copies of the GPT.
pub(super) fn write_gpt(
    file: &mut fs_err::File,
    geometry: &Geometry,
    images: &BootImages,
) -> Result<(), Error> {
    let table_error = |source: gpt::GptError| write_error(std::io::Error::other(source));
    let sectors = u32::try_from(geometry.size / SECTOR - 1).unwrap_or(u32::MAX);
    let protective = ProtectiveMBR::with_lb_size(sectors).overwrite_lba0(file);
    protective.map_err(|e| write_error(std::io::Error::other(e)))?;
    let config = GptConfig::new().writable(true).change_partition_count(true);
    let mut table = config.create_from_device(file, None).map_err(table_error)?;
    let bios = images.bios.is_some().then_some(("bios", partition_types::BIOS, geometry.bios));
    let others = [
        ("esp", partition_types::EFI, geometry.esp),
        ("root", root_type(images.architecture), geometry.root),
    ];
    // Numbered from 1 on, without a gap: the crate would close one.
    for (number, (name, kind, extent)) in (1..).zip(bios.into_iter().chain(others)) {
        let (first, length) = (extent.offset / SECTOR, extent.size / SECTOR);
        table.add_partition_at(name, number, first, length, kind, 0).map_err(table_error)?;
    }
    table.write().map_err(table_error)?;
    Ok(())
}

/// GPT's own name for a root of this architecture lets systemd find it without fstab.
const fn root_type(architecture: Architecture) -> partition_types::Type {
    match architecture {
        Architecture::X86_64 => partition_types::LINUX_ROOT_X64,
        Architecture::I386 => partition_types::LINUX_ROOT_X86,
        Architecture::Arm64 => partition_types::LINUX_ROOT_ARM_64,
    }
}

/// Writes an MBR with one active Linux partition. CHS fields hold their largest value, which means: use the sectors.
pub(super) fn write_mbr(file: &fs_err::File, root: Extent) -> Result<(), Error> {
    let too_large = |e: std::num::TryFromIntError| write_error(std::io::Error::other(e));
    let first = u32::try_from(root.offset / SECTOR).map_err(too_large)?;
    let sectors = u32::try_from(root.size / SECTOR).map_err(too_large)?;
    let mut table = [0_u8; 72];
    table[..4].copy_from_slice(b"kiln");
    table[6..14].copy_from_slice(&[0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff]);
    table[14..18].copy_from_slice(&first.to_le_bytes());
    table[18..22].copy_from_slice(&sectors.to_le_bytes());
    table[70..].copy_from_slice(&[0x55, 0xaa]);
    file.file().write_all_at(&table, 440).map_err(write_error)
}
