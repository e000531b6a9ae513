//! The gate for VHDX, all numbers little-endian (Microsoft, \[MS-VHDX\]):
//!
//! ```text
//!   0       "vhdxfile"                 64 KiB, 128 KiB  headers
//! 192 KiB   region table "regi"       256 KiB           its copy
//!             16 + 32 × entry: GUID 16, offset u64, length u32, required u32
//! region    metadata table "metadata"  8 + u16 reserved, u16 entries, then 32 × entry from byte 32:
//!             GUID 16, offset u32 from the table's start, length u32, flags u32
//!               file parameters        block size u32, flags u32 (2: has a parent)
//!               virtual disk size      u64
//!               logical sector size    u32
//!               parent locator         names the parent
//! ```

use super::LARGEST_VOLUME;
use crate::{Error, Refusal, probe::Probe};
use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TableHeader {
    signature: [u8; 4],
    checksum: U32,
    entries: U32,
    reserved: U32,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Region {
    guid: [u8; 16],
    offset: U64,
    length: U32,
    required: U32,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct MetadataHeader {
    signature: [u8; 8],
    reserved: U16,
    entries: U16,
    rest: [u8; 20],
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Item {
    guid: [u8; 16],
    offset: U32,
    length: U32,
    flags: U32,
    reserved: U32,
}

const KIB: u64 = 1024;
const REGION_TABLES: [u64; 2] = [192 * KIB, 256 * KIB];
const MOST_ENTRIES: u32 = 2_047;
const BAT: u128 = 0x2dc2_7766_f623_4200_9d64_115e_9bfd_4a08;
const METADATA: u128 = 0x8b7c_a206_4790_4b9a_b8fe_575f_050f_886e;
const FILE_PARAMETERS: u128 = 0xcaa1_6737_fa36_4d43_b3b6_33f0_aa44_e76b;
const VIRTUAL_SIZE: u128 = 0x2fa5_4224_cd1b_4876_b211_5dbe_d83b_f4b8;
const SECTOR_SIZE: u128 = 0x8141_bf1d_a96f_4709_ba47_f233_a8fa_ab5f;
const PARENT_LOCATOR: u128 = 0xa8d3_5f2d_b30b_454d_abf7_d3d8_4834_ab0c;
const HAS_PARENT: u32 = 2;

/// Checks region tables and metadata; returns the volume's size.
pub(super) fn examine(probe: &Probe) -> Result<u64, Error> {
    let head = probe.some(0, 8)?;
    probe.require(head == b"vhdxfile", || "the file's signature is missing".to_owned())?;
    // A reader may fall back to the copy: it has to pass too, where it is one at all.
    let size = region_table(probe, REGION_TABLES[0])?;
    if probe.some(REGION_TABLES[1], 4)? == b"regi" {
        let copy = region_table(probe, REGION_TABLES[1])?;
        probe.require(copy == size, || "the two region tables tell different sizes".to_owned())?;
    }
    Ok(size)
}

fn region_table(probe: &Probe, at: u64) -> Result<u64, Error> {
    let header: TableHeader = probe.structure("the region table", at)?;
    probe.require(&header.signature == b"regi", || format!("no region table is at byte {at}"))?;
    let entries = header.entries.get();
    probe.require(entries <= MOST_ENTRIES, || format!("the region table has {entries} entries"))?;
    let (mut bat, mut metadata) = (None, None);
    for index in 0..u64::from(entries) {
        let region: Region = probe.structure("a region", at + 16 + index * 32)?;
        let (offset, length) = (region.offset.get(), region.length.get());
        let slot = match guid(&region.guid) {
            BAT => &mut bat,
            METADATA => &mut metadata,
            _ => continue,
        };
        probe.require(slot.is_none(), || "a region is named twice".to_owned())?;
        probe.require(offset >= KIB * KIB && offset.is_multiple_of(KIB * KIB), || {
            format!("a region lies at byte {offset}")
        })?;
        probe.inside("a region", offset, u64::from(length))?;
        *slot = Some((offset, u64::from(length)));
    }
    let (Some((_, bat)), Some((offset, length))) = (bat, metadata) else {
        return Err(probe.malformed("the block or metadata region is missing"));
    };
    let disk = read_metadata(probe, offset, length)?;
    // One entry for each block, and one for the bitmap after each chunk of blocks (at least 8 are in a chunk).
    let blocks = disk.size.div_ceil(disk.block);
    probe.require(blocks * 8 <= bat, || format!("the block table has {bat} bytes for {blocks} blocks"))?;
    Ok(disk.size)
}

/// The metadata items that count.
struct Disk {
    size: u64,
    block: u64,
}

fn read_metadata(probe: &Probe, at: u64, length: u64) -> Result<Disk, Error> {
    let header: MetadataHeader = probe.structure("the metadata table", at)?;
    probe.require(&header.signature == b"metadata", || "the metadata's signature is missing".to_owned())?;
    let entries = header.entries.get();
    probe.require(u32::from(entries) <= MOST_ENTRIES, || format!("the metadata has {entries} entries"))?;
    let (mut parameters, mut size, mut sector) = (None, None, None);
    for index in 0..u64::from(entries) {
        let item: Item = probe.structure("a metadata entry", at + 32 + index * 32)?;
        let offset = u64::from(item.offset.get());
        let inside = offset >= 64 * KIB && offset + u64::from(item.length.get()) <= length;
        let slot: (&mut Option<u64>, u64) = match guid(&item.guid) {
            FILE_PARAMETERS => (&mut parameters, 8),
            VIRTUAL_SIZE => (&mut size, 8),
            SECTOR_SIZE => (&mut sector, 4),
            PARENT_LOCATOR => return Err(probe.refused(Refusal::Parent("parent locator"))),
            _ => continue,
        };
        let sane = inside && slot.0.is_none() && u64::from(item.length.get()) >= slot.1;
        probe.require(sane, || format!("metadata entry {index} is out of place"))?;
        let mut bytes = probe.bytes("a metadata item", at + offset, slot.1)?;
        bytes.resize(8, 0);
        *slot.0 = Some(U64::read_from_bytes(&bytes).expect("eight bytes").get());
    }
    let (Some(parameters), Some(size), Some(sector)) = (parameters, size, sector) else {
        return Err(probe.malformed("a metadata item is missing"));
    };
    let low = |value: u64| u32::try_from(value & 0xffff_ffff).expect("masked to 32 bits");
    if low(parameters >> 32) & HAS_PARENT != 0 {
        return Err(probe.refused(Refusal::Parent("the has-parent flag")));
    }
    let block = u64::from(low(parameters));
    let sane = block.is_power_of_two() && (KIB * KIB..=256 * KIB * KIB).contains(&block);
    probe.require(sane, || format!("the block size is {block} bytes"))?;
    probe.require([512, 4096].contains(&sector), || format!("the sector size is {sector} bytes"))?;
    let whole = size.is_multiple_of(sector) && size <= LARGEST_VOLUME;
    probe.require(whole, || format!("the volume's size is {size} bytes"))?;
    Ok(Disk { size, block })
}

/// Turns a GUID's bytes (its first three fields are little-endian) into the number that its text shows.
fn guid(bytes: &[u8; 16]) -> u128 {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *bytes;
    let mut shown = [d, c, b, a, f, e, h, g, 0, 0, 0, 0, 0, 0, 0, 0];
    shown[8..].copy_from_slice(&rest);
    u128::from_be_bytes(shown)
}
