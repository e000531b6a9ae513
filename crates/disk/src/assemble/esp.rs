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

/// Formats the partition and writes an image under its name in `EFI/BOOT`.
pub(super) fn write(
    file: &fs_err::File,
    place: Extent,
    image: Option<(&str, &[u8])>,
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

fn format(size: u64, image: Option<(&str, &[u8])>, serial: u32) -> std::io::Result<Vec<u8>> {
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
    if let Some((name, image)) = image {
        let system = FileSystem::new(&mut volume, FsOptions::new())?;
        let folder = system.root_dir().create_dir("EFI")?.create_dir("BOOT")?;
        let mut file = folder.create_file(name)?;
        file.truncate()?;
        file.write_all(image)?;
        file.flush()?;
    }
    let mut bytes = volume.into_inner();
    mend_folders(&mut bytes);
    Ok(bytes)
}

/// Puts the first entries of each new folder right. fatfs 0.3.6 writes a long name in front of `.` and of `..` and points
/// `..` at the root's cluster; the specification wants them in the first two places, with cluster 0 for the root.
///
/// ```text
/// entry of 32 bytes:  0 name (11)   11 attributes (10 folder, 0F long name)   20 cluster, high   26 cluster, low
/// before:  long "."   .   long ".."   ..              after:  .   ..   deleted   deleted
/// ```
fn mend_folders(volume: &mut [u8]) {
    const ENTRY: usize = 32;
    const ROOT_CLUSTER: u8 = 2;
    let first_entries = |entries: &[u8]| {
        entries[11] == 0x0f
            && entries[ENTRY..].starts_with(b".          \x10")
            && entries[2 * ENTRY + 11] == 0x0f
            && entries[3 * ENTRY..].starts_with(b"..         \x10")
    };
    for sector in volume.as_chunks_mut::<512>().0 {
        if first_entries(sector) {
            sector.copy_within(ENTRY..2 * ENTRY, 0);
            sector.copy_within(3 * ENTRY..4 * ENTRY, ENTRY);
            sector[2 * ENTRY] = 0xe5;
            sector[3 * ENTRY] = 0xe5;
            let parent = &mut sector[ENTRY..2 * ENTRY];
            if parent[20..22] == [0, 0] && parent[26..28] == [ROOT_CLUSTER, 0] {
                parent[26] = 0;
            }
        }
    }
}
