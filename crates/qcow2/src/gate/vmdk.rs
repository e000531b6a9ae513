//! The gate for VMDK: one file that holds everything (VMware, Virtual Disk Format 5.0), numbers little-endian.
//!
//! ```text
//! sector 0   sparse extent header      0 "KDMV"   4 version   8 flags   12 capacity   20 grain size   28 descriptor
//!                                     36 its length  44 GTEs a GT  48 redundant GD  56 GD  64 overhead  77 compression
//! sector 1.. descriptor, a text        createType="monolithicSparse"   parentCID=ffffffff   RW 8192 SPARSE "x.vmdk"
//! ...        grain directory, grain tables, grains
//! last 3     footer marker, footer, end of stream      only where the GD's offset is -1 (streamOptimized)
//! ```
//! The footer is a second header and takes precedence. A capacity of 0 makes readers follow the descriptor's extent
//! lines to other files; QEMU looks for a parent at byte 512 whatever the header says of the descriptor.

use super::LARGEST_VOLUME;
use crate::{Error, Refusal, probe::Probe};
use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Extent {
    magic: [u8; 4],
    version: U32,
    flags: U32,
    capacity: U64,
    grain_sectors: U64,
    descriptor_sector: U64,
    descriptor_sectors: U64,
    entries_per_table: U32,
    redundant_directory: U64,
    directory: U64,
    overhead: U64,
    unclean: u8,
    line_ends: [u8; 4],
    compression: U16,
    rest: [u8; 433],
}

const MAGIC: &[u8; 4] = b"KDMV";
const DIRECTORY_AT_END: u64 = u64::MAX;
/// Where QEMU looks for a parent, and how far.
const PARENT_SEARCH: (u64, u64) = (512, 20 * 512);
const LONGEST_DESCRIPTOR: u64 = 64 * 1024;

/// Checks header, footer and descriptor; returns the volume's size.
pub(super) fn examine(probe: &Probe) -> Result<u64, Error> {
    let head = probe.some(0, 512)?;
    if !head.starts_with(MAGIC) {
        let text = head.starts_with(b"# Disk DescriptorFile");
        return Err(if text {
            probe.refused(Refusal::Descriptor)
        } else {
            probe.malformed("it does not begin with the magic of a sparse extent (KDMV)")
        });
    }
    let first: Extent = probe.structure("the header", 0)?;
    if first.capacity.get() == 0 {
        return Err(probe.refused(Refusal::Descriptor));
    }
    check_descriptor(probe, &first)?;
    if first.directory.get() != DIRECTORY_AT_END {
        return check_extent(probe, &first);
    }
    let at = probe.len().saturating_sub(1024);
    let footer: Extent = probe.structure("the footer", at)?;
    probe.require(&footer.magic == MAGIC, || "the footer's magic is missing".to_owned())?;
    probe.require(footer.directory.get() != DIRECTORY_AT_END, || {
        "the footer does not say where the grain directory lies".to_owned()
    })?;
    if footer.capacity.get() == 0 {
        return Err(probe.refused(Refusal::Descriptor));
    }
    check_extent(probe, &footer)
}

fn check_extent(probe: &Probe, extent: &Extent) -> Result<u64, Error> {
    let version = extent.version.get();
    probe.require((1..=3).contains(&version), || format!("version {version} is not 1 to 3"))?;
    let size = extent.capacity.get().checked_mul(512).filter(|size| *size <= LARGEST_VOLUME);
    let size = size.ok_or_else(|| {
        probe.malformed(format!("the capacity of {} sectors is more than 64 TiB", extent.capacity))
    })?;
    let grain = extent.grain_sectors.get();
    probe.require(grain.is_power_of_two() && (8..=4096).contains(&grain), || {
        format!("the grain size is {grain} sectors")
    })?;
    let entries = u64::from(extent.entries_per_table.get());
    probe.require((1..=512).contains(&entries), || format!("a grain table has {entries} entries"))?;
    let compression = extent.compression.get();
    probe.require(compression <= 1, || format!("compression {compression} is not known"))?;
    let tables = extent.capacity.get().div_ceil(grain * entries);
    let offset = extent.directory.get().checked_mul(512);
    let offset = offset.ok_or_else(|| probe.malformed("the grain directory's offset is too large"))?;
    probe.inside("the grain directory", offset, tables * 4)?;
    Ok(size)
}

fn check_descriptor(probe: &Probe, header: &Extent) -> Result<(), Error> {
    let part = |why: &str| Err(probe.refused(Refusal::Part(why.to_owned())));
    let searched = probe.some(PARENT_SEARCH.0, PARENT_SEARCH.1)?;
    if contains(&searched, b"parentFileNameHint") {
        return Err(probe.refused(Refusal::Parent("parentFileNameHint")));
    }
    let (sector, sectors) = (header.descriptor_sector.get(), header.descriptor_sectors.get());
    if sector == 0 || sectors == 0 {
        return part("it has no descriptor");
    }
    let range = sector.checked_mul(512).zip(sectors.checked_mul(512));
    let (offset, length) = range
        .filter(|(_, length)| *length <= LONGEST_DESCRIPTOR)
        .ok_or_else(|| probe.malformed("the descriptor is too large"))?;
    let bytes = probe.bytes("the descriptor", offset, length)?;
    let text =
        String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
    let kind = value(&text, "createType").unwrap_or_default();
    if !["monolithicSparse", "streamOptimized"].iter().any(|known| kind.eq_ignore_ascii_case(known)) {
        return part(&format!("createType {kind:?}"));
    }
    if contains(&bytes, b"parentFileNameHint") {
        return Err(probe.refused(Refusal::Parent("parentFileNameHint")));
    }
    let orphan = value(&text, "parentCID").is_none_or(|cid| cid.eq_ignore_ascii_case("ffffffff"));
    if !orphan {
        return Err(probe.refused(Refusal::Parent("parentCID")));
    }
    let access = ["RW ", "RDONLY ", "NOACCESS "];
    let extents: Vec<&str> =
        text.lines().map(str::trim).filter(|line| access.iter().any(|word| line.starts_with(word))).collect();
    match extents[..] {
        [one] if one.split_whitespace().nth(2) == Some("SPARSE") => Ok(()),
        [other] => part(&format!("its extent is {other:?}")),
        _ => part(&format!("it names {} extents", extents.len())),
    }
}

/// Finds the value of `key=value` or `key="value"`.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim().trim_matches('"'))
    })
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}
