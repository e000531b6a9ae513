//! The end of a GPT's last partition, and the table's copy behind it.
//!
//! ```text
//! header   16 its CRC: u32   24 its own LBA: u64   32 the other's   48 the last usable LBA   72 LBA of the entries
//!          80 number of entries: u32   84 size of one   88 CRC of all of them
//! entry    32 first LBA: u64   40 last LBA
//! ```
//! Source: UEFI specification, section 5.3.

use super::{Growth, cannot};
use crate::{Error, layout::SECTOR, region::Region};

const HEADER_CRC: usize = 16;
const OWN: usize = 24;
const OTHER: usize = 32;
const LAST_USABLE: usize = 48;
const ENTRIES: usize = 72;
const COUNT: usize = 80;
const ENTRY_SIZE: usize = 84;
const ENTRIES_CRC: usize = 88;
const ENTRY: u64 = 128;
const ENTRY_LAST: u64 = 40;

/// Grows partition `number`; returns its new size.
pub(super) fn grow(growth: &Growth<'_>, number: u32) -> Result<u64, Error> {
    let table = Table::read(growth)?;
    let sectors = growth.size / SECTOR;
    let entry_sectors = u64::try_from(table.entries.len()).unwrap_or(u64::MAX).div_ceil(SECTOR);
    // Behind the partitions come the entries and, in the last sector, the header.
    let copy = sectors.saturating_sub(1 + entry_sectors);
    let first = growth.partition.offset / SECTOR;
    let end = growth.new_end(copy);
    if end > copy {
        let reason = "there is no room behind it for the table's copy".to_owned();
        return Err(cannot(growth.disk.path(), growth.partition, reason));
    }
    let after = (end - first) * SECTOR;
    if after == growth.partition.size && table.number(OTHER) == sectors - 1 {
        return Ok(after);
    }

    let mut entries = table.entries.clone();
    let at = u64::from(number - 1) * ENTRY + ENTRY_LAST;
    let at = usize::try_from(at).map_err(|e| growth.damaged("GPT", &e))?;
    let last = entries.get_mut(at..at + 8).ok_or_else(|| growth.damaged("GPT", &"an entry is missing"))?;
    last.copy_from_slice(&(end - 1).to_le_bytes());
    let header = |own: u64, other: u64, place: u64| {
        let mut header = table.header;
        for (at, value) in [(OWN, own), (OTHER, other), (LAST_USABLE, copy - 1), (ENTRIES, place)] {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        header[ENTRIES_CRC..ENTRIES_CRC + 4].copy_from_slice(&crc32fast::hash(&entries).to_le_bytes());
        header[HEADER_CRC..HEADER_CRC + 4].fill(0);
        let crc = crc32fast::hash(&header[..table.header_size]);
        header[HEADER_CRC..HEADER_CRC + 4].copy_from_slice(&crc.to_le_bytes());
        header
    };

    growth.enlarge()?;
    // At each moment one of the two is whole.
    growth.write(&entries, copy)?;
    growth.write(&header(sectors - 1, 1, copy), sectors - 1)?;
    growth.write(&entries, table.number(ENTRIES))?;
    growth.write(&header(1, sectors - 1, table.number(ENTRIES)), 1)?;
    protect(growth, sectors)?;
    forget_old_copy(growth, &table, entry_sectors, copy)?;
    Ok(after)
}

/// The header in sector 1, and its entries.
struct Table {
    header: [u8; 512],
    header_size: usize,
    entries: Vec<u8>,
}

impl Table {
    fn read(growth: &Growth<'_>) -> Result<Self, Error> {
        let damaged = |reason: &str| growth.damaged("GPT", &reason);
        let disk = Region::open(growth.disk)?;
        let header = disk.peek::<512>(SECTOR).map_err(|e| growth.damaged("GPT", &e))?;
        let size = field(&header, 12);
        let header_size = usize::try_from(size).ok().filter(|size| (92..=512).contains(size));
        let header_size = header_size.ok_or_else(|| damaged("its header has an impossible length"))?;
        let mut table = Self { header, header_size, entries: Vec::new() };
        let mut unsigned = header;
        unsigned[HEADER_CRC..HEADER_CRC + 4].fill(0);
        if !header.starts_with(b"EFI PART")
            || crc32fast::hash(&unsigned[..header_size]) != field(&header, HEADER_CRC)
        {
            return Err(damaged("its first header is not whole; `sgdisk --verify` says more"));
        }
        // What `inspect` accepted: up to 1,024 entries of 128 bytes.
        let length = u64::from(field(&header, COUNT)) * u64::from(field(&header, ENTRY_SIZE));
        let place = table.number(ENTRIES).checked_mul(SECTOR).filter(|_| length <= 1024 * ENTRY);
        let place = place.ok_or_else(|| damaged("its entries lie nowhere"))?;
        table.entries = vec![0; usize::try_from(length).map_err(|e| growth.damaged("GPT", &e))?];
        disk.read_at(place, &mut table.entries).map_err(|e| growth.damaged("GPT", &e))?;
        if crc32fast::hash(&table.entries) != field(&header, ENTRIES_CRC) {
            return Err(damaged("its entries are not whole; `sgdisk --verify` says more"));
        }
        Ok(table)
    }

    fn number(&self, at: usize) -> u64 {
        self.header[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

fn field(header: &[u8; 512], at: usize) -> u32 {
    header[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Lets the protective entry cover the disk. Beside other entries (a hybrid MBR) it says something else: it stays.
fn protect(growth: &Growth<'_>, sectors: u64) -> Result<(), Error> {
    let disk = Region::open(growth.disk)?;
    let mut sector = disk.peek::<512>(0).map_err(|e| growth.damaged("GPT", &e))?;
    let used: Vec<usize> = [446, 462, 478, 494].into_iter().filter(|at| sector[at + 4] != 0).collect();
    if let [at] = used[..]
        && sector[at + 4] == 0xee
    {
        let covered = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
        sector[at + 12..at + 16].copy_from_slice(&covered.to_le_bytes());
        growth.write(&sector, 0)?;
    }
    Ok(())
}

/// Clears the copy at the old end, so that nobody finds two.
fn forget_old_copy(
    growth: &Growth<'_>,
    table: &Table,
    entry_sectors: u64,
    new_copy: u64,
) -> Result<(), Error> {
    let header = table.number(OTHER);
    let Some(start) = header.checked_sub(entry_sectors) else { return Ok(()) };
    let behind_partition = start * SECTOR >= growth.partition.offset + growth.partition.size;
    if !behind_partition || header >= new_copy {
        return Ok(());
    }
    let disk = Region::open(growth.disk)?;
    let bytes = disk.peek::<512>(header * SECTOR).map_err(|e| growth.damaged("GPT", &e))?;
    if bytes.starts_with(b"EFI PART") {
        let length = usize::try_from((entry_sectors + 1) * SECTOR).map_err(|e| growth.damaged("GPT", &e))?;
        growth.write(&vec![0; length], start)?;
    }
    Ok(())
}
