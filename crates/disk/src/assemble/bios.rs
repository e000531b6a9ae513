//! GRUB under BIOS: the boot sector finds `core.img` by a sector number, and `core.img` its own rest by a list.
//!
//! ```text
//! boot.img   0    code, of which bytes 0..440 are used
//!           5C    u64: the sector of core.img
//!           66    a jump that skips a check of the drive's number; two NOPs (90 90) keep the check,
//!                 as grub-install does for everything but floppies
//! core.img   0    diskboot: loads the rest
//!          1F4    the first entry of its list: u64 sector of the rest, u16 sectors, u16 segment (0820 for the first
//!                 byte after diskboot); entries grow downwards, one of length 0 ends the list
//!          200    the rest, padded to a sector
//! ```
//! Sources: GRUB's `grub-core/boot/i386/pc/{boot,diskboot}.S`, `include/grub/i386/pc/boot.h`, `util/setup.c`.

use super::{BiosImages, Extent, write_error};
use crate::{Error, layout::SECTOR};
use std::os::unix::fs::FileExt;

const BOOT_CODE: usize = 440;
const KERNEL_SECTOR: usize = 0x5c;
const DRIVE_CHECK: usize = 0x66;
const BLOCK_LIST: usize = 0x200 - 12;
const KERNEL_SEGMENT: u16 = 0x820;

/// Writes the boot code into sector 0, whose table stays, and `core.img` to the start of `place`.
pub(super) fn embed(file: &fs_err::File, images: &BiosImages, place: Extent) -> Result<(), Error> {
    let sector = place.offset / SECTOR;
    let code = boot_code(&images.boot, sector)?;
    let core = core(&images.core, sector, place)?;
    file.file().write_all_at(&code, 0).map_err(write_error)?;
    file.file().write_all_at(&core, place.offset).map_err(write_error)
}

fn boot_code(image: &[u8], core_sector: u64) -> Result<Vec<u8>, Error> {
    let mut code = image.get(..BOOT_CODE).ok_or_else(|| short("boot.img", image))?.to_vec();
    code[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&core_sector.to_le_bytes());
    code[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0x90, 0x90]);
    Ok(code)
}

fn core(image: &[u8], sector: u64, place: Extent) -> Result<Vec<u8>, Error> {
    let mut core = image.to_vec();
    core.resize(core.len().next_multiple_of(0x200), 0);
    let sectors = (core.len() / 0x200).checked_sub(1).filter(|rest| *rest > 0);
    let rest = sectors.and_then(|rest| u16::try_from(rest).ok()).ok_or_else(|| short("core.img", image))?;
    let needed = (u64::from(rest) + 1) * SECTOR;
    if needed > place.size {
        let what = "GRUB's core.img in front of the first file system".to_owned();
        return Err(Error::TooSmall { what, needed, available: place.size });
    }
    core[BLOCK_LIST..BLOCK_LIST + 8].copy_from_slice(&(sector + 1).to_le_bytes());
    core[BLOCK_LIST + 8..BLOCK_LIST + 10].copy_from_slice(&rest.to_le_bytes());
    core[BLOCK_LIST + 10..BLOCK_LIST + 12].copy_from_slice(&KERNEL_SEGMENT.to_le_bytes());
    Ok(core)
}

/// Too short, or longer than the 32 MiB that the list can name.
fn short(name: &str, image: &[u8]) -> Error {
    Error::io(
        format!("use GRUB's {name}"),
        std::io::Error::other(format!("its length is {} bytes", image.len())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_patched() -> Result<(), Error> {
        let place = Extent { offset: 1 << 20, size: 4096 };
        let code = boot_code(&[0xaa; 512], 2048)?;
        assert_eq!(code[0x5c..0x68], [0, 8, 0, 0, 0, 0, 0, 0, 0xaa, 0xaa, 0x90, 0x90]);
        let core = core(&[0xbb; 1300], 2048, place)?;
        assert_eq!((core.len(), &core[0x1f4..0x200]), (1536, &[1, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0x20, 8][..]));
        assert!(matches!(super::core(&[0; 8192], 2048, place), Err(Error::TooSmall { .. })));
        assert!(super::core(&[0; 512], 2048, place).is_err());
        Ok(())
    }
}
