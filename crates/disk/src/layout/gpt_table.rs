//! GUID partition tables, through the `gpt` crate, with the bounds that it does not check.
//!
//! ```text
//! LBA 0   protective MBR
//! LBA 1   header: "EFI PART" … 80 number of entries: u32   84 size of an entry: u32
//! LBA 2   entries of 128 bytes
//! last    the header's copy; its entries lie before it
//! ```

use super::{Entry, SECTOR};
use crate::{Error, region::Region};
use gpt::GptConfig;

/// Linux and every partitioning tool use 128; the crate would allocate whatever a header asks for.
const ENTRIES_LIMIT: u32 = 1024;

pub(super) fn read(disk: &Region) -> Result<Vec<Entry>, Error> {
    let damaged = |reason: String| Error::Table { path: disk.path().to_owned(), table: "GPT", reason };
    let backup = (disk.size() / SECTOR).saturating_sub(1).saturating_mul(SECTOR);
    for start in [SECTOR, backup] {
        let header = disk.peek::<92>(start).map_err(|e| damaged(e.to_string()))?;
        let field = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if header.starts_with(b"EFI PART") && (field(80) > ENTRIES_LIMIT || field(84) != 128) {
            return Err(damaged(format!("{} entries of {} bytes", field(80), field(84))));
        }
    }
    let config = GptConfig::new().writable(false);
    let table = config.open_from_device(disk.stream()).map_err(|e| damaged(e.to_string()))?;
    let used = table.partitions().iter().filter(|(_, partition)| partition.is_used());
    used.map(|(number, partition)| {
        let sectors = partition.last_lba.checked_sub(partition.first_lba).and_then(|n| n.checked_add(1));
        let size = sectors.and_then(|sectors| sectors.checked_mul(SECTOR));
        let (Some(offset), Some(size)) = (partition.first_lba.checked_mul(SECTOR), size) else {
            return Err(damaged(format!("partition {number} ends before it starts")));
        };
        Ok(Entry {
            number: *number,
            offset,
            size,
            kind: partition.part_type_guid.guid.to_string(),
            partuuid: partition.part_guid.to_string(),
            partlabel: Some(partition.name.clone()).filter(|name| !name.is_empty()),
        })
    })
    .collect()
}
