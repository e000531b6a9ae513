//! The bytes of the header and the tables.

use super::{
    Output,
    layout::{Compression, Geometry, Layout, Place, Version, wide},
};
use crate::{
    Error,
    header::{self, BACKING_FORMAT, COMPRESSION, Header, MAGIC, ZSTD},
};
use std::io;
use zerocopy::{
    IntoBytes,
    big_endian::{U16, U32, U64},
};

/// The only reference to this cluster is this entry: it may be written in place.
const COPIED: u64 = 1 << 63;
/// The entry is of a compressed cluster.
const COMPRESSED: u64 = 1 << 62;
/// The cluster reads as zeros.
const ZERO: u64 = 1;

/// Writes everything before the data; returns the bytes written.
pub(super) fn write(layout: &Layout, out: &mut impl Output) -> Result<u64, Error> {
    let cluster = layout.geometry.cluster_size();
    let metadata = &layout.metadata;
    let at = |place: u64| place << layout.geometry.cluster_bits;

    part(out, &front(layout)?, cluster)?;

    let blocks: Vec<U64> = (0..metadata.refcount_blocks)
        .map(|block| U64::new(at(metadata.refcount_blocks_at() + block)))
        .collect();
    part(out, blocks.as_bytes(), at(metadata.refcount_table))?;

    let counts = refcounts(layout)?;
    part(out, counts.as_bytes(), at(metadata.refcount_blocks))?;

    let mut tables = metadata.l2_at()..;
    let mut l1 = vec![U64::ZERO; usize::try_from(metadata.l1_entries).expect("a table fits in memory")];
    for group in groups(layout) {
        let place = group.first().map_or(0, |(index, _)| index / layout.geometry.per_table());
        let entry = usize::try_from(place).ok().and_then(|place| l1.get_mut(place));
        if let (Some(entry), Some(table)) = (entry, tables.next()) {
            entry.set(at(table) | COPIED);
        }
    }
    part(out, l1.as_bytes(), at(metadata.l1))?;
    write_l2(layout, out)?;
    Ok(layout.data_start())
}

/// Writes bytes and fills up to a length that is known to be no shorter.
fn part(out: &mut impl Output, bytes: &[u8], to: u64) -> Result<(), Error> {
    out.bytes(bytes)?;
    out.zeros(to - wide(bytes.len()))?;
    Ok(())
}

/// The header, its extensions and the backing file's name.
fn front(layout: &Layout) -> Result<Vec<u8>, Error> {
    let Geometry { version, backing, .. } = &layout.geometry;
    let mut header = header(layout)?;
    let used = match version {
        Version::V2 => header::V2_LENGTH,
        Version::V3 => header::LENGTH,
    };
    let used = usize::try_from(used).map_err(io::Error::other)?;
    let mut extensions = Vec::new();
    if let Some(backing) = backing {
        let name = backing.format.qemu_name().as_bytes();
        extensions.extend(BACKING_FORMAT.to_be_bytes());
        extensions.extend(u32::try_from(name.len()).map_err(io::Error::other)?.to_be_bytes());
        extensions.extend(name);
        extensions.resize(extensions.len().next_multiple_of(8), 0);
        // Type 0 and length 0 end the extensions.
        extensions.extend([0; 8]);
        header.backing_offset = U64::new(wide(used + extensions.len()));
        header.backing_length = U32::new(u32::try_from(backing.name.len()).map_err(io::Error::other)?);
        extensions.extend(backing.name.as_bytes());
    }
    let mut front = header.as_bytes()[..used].to_vec();
    front.append(&mut extensions);
    Ok(front)
}

fn header(layout: &Layout) -> Result<Header, Error> {
    let narrow = |what: &str, value: u64| {
        u32::try_from(value).map(U32::new).map_err(|_overflow| Error::Layout(format!("{value} {what}")))
    };
    let (geometry, metadata) = (&layout.geometry, &layout.metadata);
    let zstd = geometry.compression == Compression::Zstd;
    Ok(Header {
        magic: MAGIC,
        version: U32::new(match geometry.version {
            Version::V2 => 2,
            Version::V3 => 3,
        }),
        backing_offset: U64::ZERO,
        backing_length: U32::ZERO,
        cluster_bits: U32::new(geometry.cluster_bits),
        size: U64::new(geometry.size),
        crypt_method: U32::ZERO,
        l1_entries: narrow("L1 entries", metadata.l1_entries)?,
        l1_offset: U64::new(metadata.l1_at() << geometry.cluster_bits),
        refcount_table_offset: U64::new(geometry.cluster_size()),
        refcount_table_clusters: narrow("clusters of refcount table", metadata.refcount_table)?,
        snapshots: U32::ZERO,
        snapshots_offset: U64::ZERO,
        incompatible: U64::new(if zstd { COMPRESSION } else { 0 }),
        compatible: U64::ZERO,
        autoclear: U64::ZERO,
        refcount_order: U32::new(4),
        header_length: U32::new(header::LENGTH),
        compression_type: if zstd { ZSTD } else { 0 },
        padding: [0; 7],
    })
}

/// Counts for each host cluster what refers to it: one table or plain cluster, or the frames that touch it.
fn refcounts(layout: &Layout) -> Result<Vec<U16>, Error> {
    let clusters = layout.file_size().max(layout.data_start()).div_ceil(layout.geometry.cluster_size());
    let mut counts = vec![0_u16; usize::try_from(clusters).expect("a table fits in memory")];
    let host =
        |offset: u64| usize::try_from(offset >> layout.geometry.cluster_bits).expect("within the file");
    counts[..host(layout.data_start())].fill(1);
    for (index, place) in &layout.places {
        let (first, last) = match place {
            Place::Zero => continue,
            Place::Plain { offset } => (*offset, *offset),
            Place::Frame { offset, length } => (*offset, *offset + u64::from(*length) - 1),
        };
        for count in &mut counts[host(first)..=host(last)] {
            *count = count.checked_add(1).ok_or_else(|| {
                Error::Layout(format!("too many frames share a host cluster at cluster {index}"))
            })?;
        }
    }
    Ok(counts.into_iter().map(U16::new).collect())
}

/// The stored clusters, cut where an L2 table ends.
fn groups(layout: &Layout) -> impl Iterator<Item = &[(u64, Place)]> {
    let per_table = layout.geometry.per_table();
    layout.places.chunk_by(move |a, b| a.0 / per_table == b.0 / per_table)
}

fn write_l2(layout: &Layout, out: &mut impl Output) -> Result<(), Error> {
    let geometry = &layout.geometry;
    let entries = usize::try_from(geometry.per_table()).expect("a table fits in memory");
    let mut room = layout.metadata.l2;
    for group in groups(layout) {
        let mut table = vec![U64::ZERO; entries];
        let mut used = 0;
        for (index, place) in group {
            let slot = usize::try_from(index % geometry.per_table()).expect("within a table");
            let entry = match place {
                Place::Zero => ZERO,
                Place::Plain { offset } => offset | COPIED,
                Place::Frame { offset, length } => compressed(geometry.cluster_bits, *offset, *length)?,
            };
            table[slot].set(entry);
            used = slot + 1;
        }
        part(out, table[..used].as_bytes(), geometry.cluster_size())?;
        room = room.saturating_sub(1);
    }
    // Room that was kept for tables of which every cluster turned out to be zeros.
    out.zeros(room << geometry.cluster_bits)?;
    Ok(())
}

/// Makes the L2 entry of a frame; see the drawing in [`super`].
fn compressed(cluster_bits: u32, offset: u64, length: u32) -> Result<u64, Error> {
    let shift = 62 - (cluster_bits - 8);
    let sectors = (offset + u64::from(length) - 1) / 512 - offset / 512;
    if offset >> shift != 0 || sectors >> (cluster_bits - 8) != 0 {
        return Err(Error::Layout(format!("a frame of {length} bytes at byte {offset} cannot be addressed")));
    }
    Ok(COMPRESSED | sectors << shift | offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_of_a_frame_in_a_cluster_of_512_kib() {
        // Byte 0x2c0001, 512 bytes: the frame touches one sector beyond its first.
        assert_eq!(compressed(19, 0x2c_0001, 512).unwrap(), 1 << 62 | 1 << 51 | 0x2c_0001);
        assert_eq!(compressed(19, 0x2c_0000, 512).unwrap(), 1 << 62 | 0x2c_0000);
        assert_eq!(compressed(19, 511, 524_287).unwrap(), 1 << 62 | 1024 << 51 | 511);
        // 64 KiB clusters: 8 bits of sectors.
        assert_eq!(compressed(16, 511, 65_535).unwrap(), 1 << 62 | 128 << 54 | 511);
        assert!(compressed(19, 1 << 51, 10).is_err());
    }
}
