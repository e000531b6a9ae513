//! The gate for VHD, all numbers big-endian (Microsoft, Virtual Hard Disk Image Format Specification):
//!
//! ```text
//! fixed      data ── footer 512
//! dynamic    footer 512 ── dynamic header 1024 ── block table ── blocks ── footer 512
//!
//! footer            0 "conectix"   16 data offset   40 original size   48 current size   60 type 2|3|4   64 checksum
//! dynamic header    0 "cxsparse"   16 table offset  28 table entries   32 block size    576 parent locators 8 × 24
//! ```
//! Type 4 is a difference to a parent, which the locators name.

use super::LARGEST_VOLUME;
use crate::{Error, Refusal, detect::VHD_COOKIE, probe::Probe};
use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    big_endian::{U32, U64},
};

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Footer {
    cookie: [u8; 8],
    features_and_version: [u8; 8],
    data_offset: U64,
    times_and_creator: [u8; 16],
    original_size: U64,
    current_size: U64,
    geometry: U32,
    kind: U32,
    checksum: U32,
    rest: [u8; 444],
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct DynamicHeader {
    cookie: [u8; 8],
    data_offset: U64,
    table_offset: U64,
    version: U32,
    entries: U32,
    block_size: U32,
    checksum_and_parent: [u8; 540],
    locators: [[u8; 24]; 8],
    rest: [u8; 256],
}

const FIXED: u32 = 2;
const DYNAMIC: u32 = 3;
const DIFFERENCE: u32 = 4;
const CHECKSUM_AT: usize = 64;

/// Checks footer and header; returns the volume's size.
pub(super) fn examine(probe: &Probe) -> Result<u64, Error> {
    let (footer, at) = read_footer(probe)?;
    let size = footer.current_size.get();
    probe.require(size <= LARGEST_VOLUME && size.is_multiple_of(512), || {
        format!("the current size of {size} bytes is too large or not whole sectors")
    })?;
    match footer.kind.get() {
        FIXED => probe.require(size <= probe.len().saturating_sub(512), || {
            format!("the volume has {size} bytes and the file {}", probe.len())
        })?,
        DYNAMIC => {
            probe.require(at == 0, || "a dynamic disk begins with a copy of its footer".to_owned())?;
            check_dynamic(probe, footer.data_offset.get(), size)?;
        }
        DIFFERENCE => return Err(probe.refused(Refusal::Parent("disk type 4, differencing"))),
        other => return Err(probe.malformed(format!("disk type {other} is not known"))),
    }
    Ok(size)
}

/// Reads the footer that QEMU would use: the copy at the start, else the one at the end.
fn read_footer(probe: &Probe) -> Result<(Footer, u64), Error> {
    let mut at = 0;
    let mut bytes = probe.some(0, 512)?;
    if !bytes.starts_with(VHD_COOKIE) {
        at = probe.len().saturating_sub(512);
        bytes = probe.some(at, 512)?;
    }
    probe.require(bytes.len() == 512 && bytes.starts_with(VHD_COOKIE), || {
        "no footer of 512 bytes is at its start or end".to_owned()
    })?;
    let footer = Footer::read_from_bytes(&bytes).expect("a footer has 512 bytes");
    let others = bytes.iter().enumerate().filter(|(i, _)| !(CHECKSUM_AT..CHECKSUM_AT + 4).contains(i));
    let sum = !others.map(|(_, byte)| u32::from(*byte)).sum::<u32>();
    probe.require(sum == footer.checksum.get(), || "the footer's checksum is wrong".to_owned())?;
    Ok((footer, at))
}

fn check_dynamic(probe: &Probe, at: u64, size: u64) -> Result<(), Error> {
    let header: DynamicHeader = probe.structure("the dynamic header", at)?;
    probe.require(&header.cookie == b"cxsparse", || "the dynamic header's cookie is missing".to_owned())?;
    // A locator's first four bytes are its platform code; 0 is an unused one.
    if header.locators.iter().any(|locator| locator[..4] != [0; 4]) {
        return Err(probe.refused(Refusal::Parent("parent locator")));
    }
    let (entries, block) = (u64::from(header.entries.get()), u64::from(header.block_size.get()));
    let sane = block.is_power_of_two() && (512..=256 << 20).contains(&block);
    probe.require(sane, || format!("the block size is {block} bytes"))?;
    probe.require(entries >= size.div_ceil(block), || {
        format!("the block table has {entries} entries of {block} bytes for a volume of {size}")
    })?;
    probe.inside("the block table", header.table_offset.get(), entries * 4)
}
