//! Master boot records, and the chain of logical partitions in an extended one.
//!
//! ```text
//! 440  disk signature: u32        PARTUUID is its eight digits, "-", and the number in two
//! 446  four entries of 16 bytes:  0 active   1 CHS   4 type   5 CHS   8 first sector: u32   12 sectors: u32
//! 510  55 AA
//! ```
//! An extended partition (type 05, 0F or 85) starts with another such sector: entry 0 is a logical partition, counted
//! from that sector; entry 1 is the next such sector, counted from the start of the extended partition.

use super::{Entry, SECTOR};
use crate::{Error, region::Region};

/// Linux stops at 60 logical partitions or so; a chain that is longer goes in a circle.
const LOGICAL_LIMIT: u32 = 128;

/// One entry of the table.
struct Record {
    kind: u8,
    first: u64,
    sectors: u64,
}

/// Says whether the sector's table has a protective entry, as on every GPT disk.
pub(super) fn is_protective(sector: &[u8]) -> bool {
    records(sector).is_some_and(|records| records.iter().any(|record| record.kind == 0xee))
}

/// Reads the table; empty when the disk has none.
pub(super) fn read(disk: &Region) -> Result<Vec<Entry>, Error> {
    let damaged = |reason: String| Error::Table { path: disk.path().to_owned(), table: "MBR", reason };
    let sector = disk.peek::<512>(0).map_err(|e| damaged(e.to_string()))?;
    let Some(records) = records(&sector) else { return Ok(Vec::new()) };
    let signature = sector[440..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let entry = |number: u32, kind: u8, first: u64, sectors: u64| Entry {
        number,
        offset: first * SECTOR,
        size: sectors * SECTOR,
        kind: format!("{kind:02x}"),
        partuuid: format!("{signature:08x}-{number:02x}"),
        partlabel: None,
    };
    let mut entries = Vec::new();
    let mut extended = None;
    for (number, record) in (1..).zip(&records) {
        match record.kind {
            0 => {}
            0x05 | 0x0f | 0x85 => extended = extended.or(Some(record.first)),
            kind => entries.push(entry(number, kind, record.first, record.sectors)),
        }
    }
    let Some(base) = extended else { return Ok(entries) };
    let mut at = base;
    for number in 5..5 + LOGICAL_LIMIT {
        let sector = disk.peek::<512>(at * SECTOR).map_err(|e| damaged(e.to_string()))?;
        let Some([logical, next, ..]) = self::records(&sector) else { return Ok(entries) };
        if logical.kind != 0 {
            entries.push(entry(number, logical.kind, at + logical.first, logical.sectors));
        }
        if next.kind == 0 || next.first == 0 {
            return Ok(entries);
        }
        at = base + next.first;
    }
    Err(damaged("the logical partitions go in a circle".to_owned()))
}

/// Reads the four entries of a sector that ends in 55 AA. Numbers are 32 bits wide on the disk, so that their sums and
/// products with the sector's size cannot overflow.
fn records(sector: &[u8]) -> Option<[Record; 4]> {
    if sector.get(510..512)? != [0x55, 0xaa] {
        return None;
    }
    let number =
        |at: usize| sector[at..].first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
    Some([446, 462, 478, 494].map(|at| Record {
        kind: sector[at + 4],
        first: number(at + 8),
        sectors: number(at + 12),
    }))
}
