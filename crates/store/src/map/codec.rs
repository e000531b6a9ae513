//! The block map's bytes; the parent module draws them.

use super::{BlockContent, BlockMap, BlockRef, MAX_VOLUME_GIB, volume_gib};
use crate::{Error, FrameRef, PackId, frame::MAX_FRAME};
use kiln_types::{BLOCK_SIZE, BlockIndex, Digest, SnapshotId};
use std::{
    collections::{HashMap, HashSet},
    mem::size_of,
};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

const MAGIC: [u8; 8] = *b"KILNBMAP";

/// A change makes every snapshot unreadable to older builds.
const VERSION: u32 = 1;

/// The pack number of zeros.
const NO_PACK: u32 = u32::MAX;

/// Bytes of a snapshot's id as text.
const ID: usize = 22;

/// Bytes of the digest at the end.
const DIGEST: usize = 32;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 8],
    version: U32,
    block_size: U32,
    size: U64,
    volume_gib: U32,
    snapshots: U32,
    packs: U32,
    entries: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    index: U32,
    writer: U32,
    pack: U32,
    length: U32,
    offset: U64,
    digest: [u8; 32],
}

const _: () = assert!(size_of::<RawHeader>() == 40 && size_of::<RawEntry>() == 56);

impl BlockMap {
    /// Returns the bytes of the map.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let count = |length: usize| u32::try_from(length).expect("a volume of 64 TiB has fewer blocks");
        let writers = numbers(self.lineage.iter().copied());
        let packs = numbers(self.data().map(|(_, frame)| frame.pack));
        let mut pack_ids = packs.iter().map(|(id, number)| (*number, *id)).collect::<Vec<_>>();
        pack_ids.sort_unstable();
        let header = RawHeader {
            magic: MAGIC,
            version: VERSION.into(),
            block_size: u32::try_from(BLOCK_SIZE).expect("512 KiB are few").into(),
            size: self.size.into(),
            volume_gib: self.volume_gib.into(),
            snapshots: count(self.lineage.len()).into(),
            packs: count(pack_ids.len()).into(),
            entries: count(self.entries.len()).into(),
        };
        let tables = self.lineage.len() * ID + pack_ids.len() * size_of::<PackId>();
        let mut bytes = Vec::with_capacity(
            size_of::<RawHeader>() + tables + self.entries.len() * size_of::<RawEntry>() + DIGEST,
        );
        bytes.extend_from_slice(header.as_bytes());
        self.lineage.iter().for_each(|id| bytes.extend_from_slice(id.to_string().as_bytes()));
        pack_ids.iter().for_each(|(_, id)| bytes.extend_from_slice(&id.0));
        for entry in &self.entries {
            let writer = writers.get(&entry.writer).copied().expect("who wrote a block is of the lineage");
            bytes.extend_from_slice(raw_entry(entry, writer, &packs).as_bytes());
        }
        let digest = crate::frame::digest(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    /// Reads the bytes of a map; `path` is for errors.
    pub(crate) fn decode(path: &str, bytes: &[u8]) -> Result<Self, Error> {
        let parts = Parts::of(path, bytes)?;
        let entries = parts.entries().collect::<Result<_, _>>();
        let entries = entries.map_err(|what| Error::Damaged { path: path.to_owned(), what })?;
        let Parts { size, volume_gib, lineage, .. } = parts;
        Ok(Self { size, volume_gib, lineage, entries })
    }

    /// Reads from the bytes of a map which packs it needs, and holds nothing else of it.
    pub(crate) fn packs(path: &str, bytes: &[u8]) -> Result<HashSet<PackId>, Error> {
        let parts = Parts::of(path, bytes)?;
        let packs = parts.entries().filter_map(|entry| match entry {
            Ok(BlockRef { content: BlockContent::Data(frame), .. }) => Some(Ok(frame.pack)),
            Ok(_) => None,
            Err(what) => Some(Err(Error::Damaged { path: path.to_owned(), what })),
        });
        packs.collect()
    }
}

/// Numbers distinct values in the order in which they first appear.
fn numbers<T: Copy + Eq + std::hash::Hash>(values: impl Iterator<Item = T>) -> HashMap<T, u32> {
    let mut numbers = HashMap::new();
    for value in values {
        let next = u32::try_from(numbers.len()).expect("a volume of 64 TiB has fewer blocks");
        numbers.entry(value).or_insert(next);
    }
    numbers
}

fn raw_entry(entry: &BlockRef, writer: u32, packs: &HashMap<PackId, u32>) -> RawEntry {
    let (pack, length, offset, digest) = match &entry.content {
        BlockContent::Zero => (NO_PACK, 0, 0, [0; 32]),
        BlockContent::Data(frame) => {
            let pack = packs.get(&frame.pack).copied().expect("every pack of an entry is numbered");
            (pack, frame.length, frame.offset, *frame.digest.as_bytes())
        }
    };
    RawEntry {
        index: entry.index.0.into(),
        writer: writer.into(),
        pack: pack.into(),
        length: length.into(),
        offset: offset.into(),
        digest,
    }
}

/// Returns all but the digest at the end, which must be that of the rest. Magic and version come before the digest: a
/// newer map is newer, not damaged.
fn checked_body<'b>(path: &str, bytes: &'b [u8]) -> Result<&'b [u8], Error> {
    let damaged = |what: &str| Error::Damaged { path: path.to_owned(), what: what.to_owned() };
    let split = bytes.len().checked_sub(DIGEST).and_then(|at| bytes.split_at_checked(at));
    let (body, digest) = split.ok_or_else(|| damaged("it is too short"))?;
    if !body.starts_with(&MAGIC) {
        return Err(damaged("it does not begin as a block map does"));
    }
    let version = body.get(MAGIC.len()..).and_then(|rest| U32::read_from_prefix(rest).ok());
    match version.map(|(version, _)| version.get()) {
        Some(VERSION) => {}
        Some(found) if found > VERSION => {
            return Err(Error::Newer { path: path.to_owned(), found, supported: VERSION });
        }
        _ => return Err(damaged("it has no version")),
    }
    if crate::frame::digest(body).as_bytes() != digest {
        return Err(damaged("its SHA-256 differs"));
    }
    Ok(body)
}

fn check_header(header: &RawHeader) -> Result<(), String> {
    let size = header.size.get();
    let gib = header.volume_gib.get();
    if u64::from(header.block_size.get()) != BLOCK_SIZE {
        return Err(format!("its blocks have {} bytes", header.block_size));
    }
    if size == 0 || gib > MAX_VOLUME_GIB || volume_gib(size) > gib {
        return Err(format!("a volume of {size} bytes in {gib} GiB cannot be"));
    }
    Ok(())
}

/// Cuts a table of `count` rows of `size` bytes off the front.
fn cut(bytes: &[u8], count: U32, size: usize) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(count.get()).ok()?.checked_mul(size)?;
    bytes.split_at_checked(length)
}

fn parse_id(text: &[u8]) -> Option<SnapshotId> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A map's bytes, cut up; the entries are read one by one.
struct Parts<'b> {
    size: u64,
    volume_gib: u32,
    lineage: Vec<SnapshotId>,
    packs: Vec<PackId>,
    entries: &'b [RawEntry],
}

impl<'b> Parts<'b> {
    fn of(path: &str, bytes: &'b [u8]) -> Result<Self, Error> {
        let damaged = |what: String| Error::Damaged { path: path.to_owned(), what };
        let body = checked_body(path, bytes)?;
        let (header, rest) =
            RawHeader::ref_from_prefix(body).map_err(|_short| damaged("it has no header".to_owned()))?;
        check_header(header).map_err(damaged)?;
        let cut = |rest, count: U32, size| {
            cut(rest, count, size).ok_or_else(|| damaged("it is too short".to_owned()))
        };
        let (snapshots, rest) = cut(rest, header.snapshots, ID)?;
        let (packs, rest) = cut(rest, header.packs, size_of::<PackId>())?;
        let (entries, rest) = cut(rest, header.entries, size_of::<RawEntry>())?;
        if !rest.is_empty() {
            return Err(damaged(format!("{} bytes follow the last entry", rest.len())));
        }
        let lineage = snapshots.chunks_exact(ID).map(parse_id).collect::<Option<Vec<_>>>();
        let lineage = lineage.ok_or_else(|| damaged("a snapshot's id is malformed".to_owned()))?;
        if lineage.is_empty() {
            return Err(damaged("it names no snapshot".to_owned()));
        }
        let packs = packs.chunks_exact(size_of::<PackId>()).filter_map(|id| id.try_into().ok().map(PackId));
        Ok(Self {
            size: header.size.get(),
            volume_gib: header.volume_gib.get(),
            lineage,
            packs: packs.collect(),
            entries: <[RawEntry]>::ref_from_bytes(entries).unwrap_or_default(),
        })
    }

    /// Reads the entries, each after it has been checked.
    fn entries(&self) -> impl Iterator<Item = Result<BlockRef, String>> {
        let (blocks, mut last) = (self.size.div_ceil(BLOCK_SIZE), None);
        self.entries.iter().map(move |entry| {
            let index = entry.index.get();
            if last.is_some_and(|last| index <= last) || u64::from(index) >= blocks {
                return Err(format!("block {index} is out of order or past the end"));
            }
            last = Some(index);
            self.entry(entry).ok_or_else(|| format!("the entry of block {index} is not valid"))
        })
    }

    fn entry(&self, raw: &RawEntry) -> Option<BlockRef> {
        let writer = *self.lineage.get(usize::try_from(raw.writer.get()).ok()?)?;
        let (length, offset) = (raw.length.get(), raw.offset.get());
        let content = if raw.pack.get() == NO_PACK {
            (length == 0 && offset == 0 && raw.digest == [0; 32]).then_some(BlockContent::Zero)?
        } else {
            let pack = *self.packs.get(usize::try_from(raw.pack.get()).ok()?)?;
            let valid = length > 0 && length <= MAX_FRAME && offset.checked_add(u64::from(length)).is_some();
            let digest = Digest::from_bytes(raw.digest);
            valid.then_some(BlockContent::Data(FrameRef { pack, offset, length, digest }))?
        };
        Some(BlockRef { index: BlockIndex(raw.index.get()), writer, content })
    }
}

#[cfg(test)]
mod tests;
