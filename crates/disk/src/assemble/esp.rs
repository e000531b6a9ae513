//! The EFI system partition: a FAT32 that holds the one file that firmware looks for on a disk it does not know.

use super::{Extent, write_error};
use crate::{Error, layout::SECTOR};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use std::{
    io::{Cursor, Write},
    os::unix::fs::FileExt,
};

/// Only pieces that hold something are written, so that the disk stays sparse.
const PIECE: usize = 4096;

/// Formats the partition and writes `EFI/BOOT/BOOTX64.EFI`.
pub(super) fn write(
    file: &fs_err::File,
    place: Extent,
    image: Option<&[u8]>,
    serial: u32,
) -> Result<(), Error> {
    let bytes =
        format(place.size, image, serial).map_err(|e| Error::io("make the EFI system partition", e))?;
    let mut position = place.offset;
    for piece in bytes.chunks(PIECE) {
        if piece.iter().any(|byte| *byte != 0) {
            file.file().write_all_at(piece, position).map_err(write_error)?;
        }
        position += u64::try_from(piece.len()).map_err(|e| write_error(std::io::Error::other(e)))?;
    }
    Ok(())
}

fn format(size: u64, image: Option<&[u8]>, serial: u32) -> std::io::Result<Vec<u8>> {
    let length = usize::try_from(size).map_err(std::io::Error::other)?;
    let sectors = u32::try_from(size / SECTOR).map_err(std::io::Error::other)?;
    let mut volume = Cursor::new(vec![0; length]);
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(512)
        .total_sectors(sectors)
        .volume_id(serial)
        .volume_label(*b"ESP        ");
    fatfs::format_volume(&mut volume, options)?;
    if let Some(image) = image {
        let system = FileSystem::new(&mut volume, FsOptions::new())?;
        let folder = system.root_dir().create_dir("EFI")?.create_dir("BOOT")?;
        let mut file = folder.create_file("BOOTX64.EFI")?;
        file.truncate()?;
        file.write_all(image)?;
        file.flush()?;
    }
    Ok(volume.into_inner())
}
