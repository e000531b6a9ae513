//! The index at a pack's end, encoded and decoded; the parent module draws it.

use crate::{Error, FrameRef, PackId, frame::MAX_FRAME};
use kiln_types::Digest;
use std::mem::{offset_of, size_of};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

const MAGIC: [u8; 8] = *b"KILNPACK";

/// A change makes every pack unreadable to older builds.
const VERSION: u32 = 1;

/// RFC 8878, 3.1.2: a decoder passes over a frame with this magic and a length.
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SkippableHeader {
    magic: U32,
    length: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    digest: [u8; 32],
    offset: U64,
    length: U32,
    zero: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTrailer {
    index: U64,
    entries: U32,
    crc: U32,
    version: U32,
    zero: U32,
    magic: [u8; 8],
}

/// Bytes of the trailer.
pub(crate) const TRAILER: u64 = 32;
const _: () = assert!(size_of::<RawTrailer>() as u64 == TRAILER && size_of::<RawEntry>() == 48);

/// Returns what follows the last frame: the skippable frame with index and trailer.
pub(super) fn encode_index(frames: &[FrameRef]) -> Vec<u8> {
    let end_of_frames = frames.last().map_or(0, |last| last.offset + u64::from(last.length));
    let entries = frames.iter().flat_map(|frame| {
        let entry = RawEntry {
            digest: *frame.digest.as_bytes(),
            offset: frame.offset.into(),
            length: frame.length.into(),
            zero: 0.into(),
        };
        entry.as_bytes().to_vec()
    });
    let index = entries.collect::<Vec<u8>>();
    let mut trailer = RawTrailer {
        index: (end_of_frames + size_of::<SkippableHeader>() as u64).into(),
        entries: u32::try_from(frames.len()).expect("a pack of 64 MiB holds few frames").into(),
        crc: 0.into(),
        version: VERSION.into(),
        zero: 0.into(),
        magic: MAGIC,
    };
    trailer.crc = checksum(&index, &trailer).into();
    let length =
        u32::try_from(index.len() + trailer.as_bytes().len()).expect("few frames have a small index");
    let header = SkippableHeader { magic: SKIPPABLE_MAGIC.into(), length: length.into() };
    [header.as_bytes(), &index, trailer.as_bytes()].concat()
}

/// Returns where the index of a pack starts, from the last bytes of it.
pub(crate) fn index_start(pack: PackId, size: u64, tail: &[u8]) -> Result<u64, Error> {
    let trailer = trailer(pack, tail)?;
    let index = trailer.index.get();
    let length = u64::from(trailer.entries.get()) * size_of::<RawEntry>() as u64;
    let header = size_of::<SkippableHeader>() as u64;
    let expected = index.checked_add(length).and_then(|end| end.checked_add(TRAILER));
    if expected != Some(size) || index < header {
        return Err(Error::damaged_pack(pack, format!("its index does not fit its {size} bytes")));
    }
    Ok(index)
}

/// Decodes the index, from bytes that begin at [`index_start`] and end with the pack.
pub(crate) fn decode_index(pack: PackId, tail: &[u8]) -> Result<Vec<FrameRef>, Error> {
    let trailer = trailer(pack, tail)?;
    let index = tail.get(..tail.len() - size_of::<RawTrailer>()).unwrap_or_default();
    if checksum(index, &trailer) != trailer.crc.get() {
        return Err(Error::damaged_pack(pack, "the checksum of its index differs"));
    }
    let entries = <[RawEntry]>::ref_from_bytes(index).ok();
    let entries = entries.filter(|entries| u32::try_from(entries.len()) == Ok(trailer.entries.get()));
    let entries = entries.ok_or_else(|| Error::damaged_pack(pack, "its index has another length"))?;
    let mut end = 0_u64;
    let mut frames = Vec::with_capacity(entries.len());
    for entry in entries {
        let (offset, length) = (entry.offset.get(), entry.length.get());
        if offset != end || length == 0 || length > MAX_FRAME {
            return Err(Error::damaged_pack(pack, format!("its index has no frame at offset {end}")));
        }
        end = end.checked_add(u64::from(length)).ok_or_else(|| Error::damaged_pack(pack, "it has no end"))?;
        frames.push(FrameRef { pack, offset, length, digest: Digest::from_bytes(entry.digest) });
    }
    if trailer.index.get().checked_sub(size_of::<SkippableHeader>() as u64) != Some(end) {
        return Err(Error::damaged_pack(pack, "its frames do not reach its index"));
    }
    Ok(frames)
}

fn trailer(pack: PackId, tail: &[u8]) -> Result<RawTrailer, Error> {
    let trailer = RawTrailer::read_from_suffix(tail).ok().map(|(_, trailer)| trailer);
    let trailer = trailer.filter(|trailer| trailer.magic == MAGIC);
    let trailer = trailer.ok_or_else(|| Error::damaged_pack(pack, "it does not end as a pack does"))?;
    match trailer.version.get() {
        VERSION => Ok(trailer),
        found if found > VERSION => Err(Error::Newer { path: pack.path(), found, supported: VERSION }),
        found => Err(Error::damaged_pack(pack, format!("its version is {found}"))),
    }
}

fn checksum(index: &[u8], trailer: &RawTrailer) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(index);
    hasher.update(trailer.as_bytes().get(..offset_of!(RawTrailer, crc)).unwrap_or_default());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PACK: PackId = PackId([7; 16]);

    fn frames() -> Vec<FrameRef> {
        let frame = |offset, length, byte| FrameRef {
            pack: PACK,
            offset,
            length,
            digest: Digest::from_bytes([byte; 32]),
        };
        vec![frame(0, 100, 1), frame(100, 7, 2), frame(107, MAX_FRAME, 3)]
    }

    fn decode_whole(tail: &[u8]) -> Result<Vec<FrameRef>, Error> {
        let frames_end = 107 + u64::from(MAX_FRAME);
        let size = frames_end + tail.len() as u64;
        let start = index_start(PACK, size, tail)?;
        let at = start.checked_sub(frames_end).and_then(|at| usize::try_from(at).ok());
        let index = at.and_then(|at| tail.get(at..));
        decode_index(PACK, index.ok_or_else(|| Error::damaged_pack(PACK, "elsewhere"))?)
    }

    #[test]
    fn an_index_comes_back() {
        assert_eq!(decode_whole(&encode_index(&frames())).unwrap(), frames());
    }

    #[test]
    fn the_format_is_pinned() {
        let digest = crate::frame::digest(&encode_index(&frames())).to_string();
        assert_eq!(
            digest, "9aedfd0ff05bccf3842e58d34a17e2cb61d513b4b6911548172fc1bf8705310c",
            "a format change: raise the version"
        );
    }

    #[test]
    fn a_newer_pack_is_refused_as_such() {
        let mut tail = encode_index(&frames());
        let at = tail.len() - 16;
        tail[at] = 2;
        assert!(matches!(decode_whole(&tail), Err(Error::Newer { found: 2, .. })));
    }

    proptest! {
        #[test]
        fn flipped_bits_are_errors(at: prop::sample::Index, bit in 0_u32..8) {
            let mut tail = encode_index(&frames());
            let at = at.index(tail.len());
            tail[at] ^= 1 << bit;
            // The header of the skippable frame and the two zero words are nobody's data.
            let unread = at < 8 || (tail.len() - 12..tail.len() - 8).contains(&at);
            prop_assert!(unread || decode_whole(&tail).is_err(), "byte {at}");
        }

        #[test]
        fn short_tails_are_errors(at: prop::sample::Index) {
            let tail = encode_index(&frames());
            prop_assert!(decode_whole(&tail[..at.index(tail.len())]).is_err());
        }

        #[test]
        fn any_bytes_are_taken_without_panic(tail: Vec<u8>, size: u64) {
            prop_assert!(index_start(PACK, size, &tail).is_err());
            prop_assert!(decode_index(PACK, &tail).is_err());
        }
    }
}
