//! The length of an MBR's last partition. Its place in the boot sector: `layout/mbr_table.rs`.

use super::{Growth, cannot};
use crate::{Error, layout::SECTOR, region::Region};

/// Entries count sectors in 32 bits: no partition reaches further than 2 TiB.
const SECTORS_LIMIT: u64 = 1 << 32;

/// The last cylinder, head and sector that the old fields can say: use the sectors' numbers.
const CHS_BEYOND: [u8; 3] = [0xfe, 0xff, 0xff];

/// Grows partition `number`; returns its new size.
pub(super) fn grow(growth: &Growth<'_>, number: u32) -> Result<u64, Error> {
    let refuse = |reason: &str| cannot(growth.disk.path(), growth.partition, reason.to_owned());
    let at = match number {
        1..=4 => 446 + 16 * usize::try_from(number - 1).map_err(|e| growth.damaged("MBR", &e))?,
        _ => return Err(refuse("it lies in an extended partition")),
    };
    let disk = Region::open(growth.disk)?;
    let mut sector = disk.peek::<512>(0).map_err(|e| growth.damaged("MBR", &e))?;
    let first = growth.partition.offset / SECTOR;
    let others = [446, 462, 478, 494].into_iter().filter(|other| *other != at && sector[other + 4] != 0);
    // An extended partition without anything in it counts, too.
    if others.map(|other| start(&sector, other)).any(|other| other > first) {
        return Err(refuse("another one lies behind it"));
    }
    let end = growth.new_end((growth.size / SECTOR).min(SECTORS_LIMIT));
    let sectors = u32::try_from(end - first).map_err(|e| growth.damaged("MBR", &e))?;
    let after = u64::from(sectors) * SECTOR;
    growth.enlarge()?;
    if after != growth.partition.size {
        sector[at + 5..at + 8].copy_from_slice(&CHS_BEYOND);
        sector[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
        growth.write(&sector, 0)?;
    }
    Ok(after)
}

fn start(sector: &[u8; 512], entry: usize) -> u64 {
    sector[entry + 8..].first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)))
}
