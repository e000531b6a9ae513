//! The map's bytes: they come back, they are pinned, and no damage goes unseen.

use super::*;
use proptest::prelude::*;

fn id(number: u64) -> SnapshotId {
    SnapshotId::from_bits(number)
}

fn data(index: u32, writer: u64, pack: u8) -> BlockRef {
    let frame = FrameRef {
        pack: PackId([pack; 16]),
        offset: u64::from(index) * 1000,
        length: 1000,
        digest: Digest::from_bytes([pack; 32]),
    };
    BlockRef { index: BlockIndex(index), writer: id(writer), content: BlockContent::Data(frame) }
}

fn zero(index: u32, writer: u64) -> BlockRef {
    BlockRef { index: BlockIndex(index), writer: id(writer), content: BlockContent::Zero }
}

fn map() -> BlockMap {
    let parent = BlockMap::child(None, id(1), 3 << 20, vec![data(0, 1, 9), data(2, 1, 8), data(5, 1, 9)]);
    BlockMap::child(Some(&parent), id(2), (3 << 20) + 17, vec![zero(2, 2), data(3, 2, 7), data(6, 2, 9)])
}

#[test]
fn a_child_is_flat() {
    let map = map();
    let expected = [data(0, 1, 9), zero(2, 2), data(3, 2, 7), data(5, 1, 9), data(6, 2, 9)];
    assert_eq!(map.entries(), expected);
    assert_eq!(map.lineage(), [id(1), id(2)]);
    assert_eq!((map.size().bytes(), map.volume_gib()), ((3 << 20) + 17, 1));
    assert_eq!(map.get(BlockIndex(2)), Some(&zero(2, 2)));
    assert_eq!(map.get(BlockIndex(1)), None);
    assert_eq!(map.data().count(), 4);
}

#[test]
fn a_map_comes_back() {
    assert_eq!(BlockMap::decode("map", &map().encode()).unwrap(), map());
    let empty = BlockMap::child(None, id(1), 1, Vec::new());
    assert_eq!(BlockMap::decode("map", &empty.encode()).unwrap(), empty);
}

#[test]
fn the_packs_of_a_map_are_those_of_its_data() {
    let packs = BlockMap::packs("map", &map().encode()).unwrap();
    assert_eq!(packs, map().data().map(|(_, frame)| frame.pack).collect());
    // What is wrong with the map is found here, too: a collection must not count on half of it.
    let mut bytes = map().encode();
    let last = bytes.len() - DIGEST - size_of::<RawEntry>();
    bytes[last..last + 4].copy_from_slice(&[0; 4]);
    assert!(BlockMap::packs("map", &resealed(bytes)).is_err());
}

#[test]
fn the_format_is_pinned() {
    let digest = crate::frame::digest(&map().encode()).to_string();
    assert_eq!(
        digest, "ae19ba4b88bf0a391d14e2b41dcf4410aea131b109bddd5d476c273809699521",
        "a format change: raise the version"
    );
}

#[test]
fn a_newer_map_is_refused_as_such() {
    let mut bytes = map().encode();
    bytes[8] = 2;
    assert!(matches!(BlockMap::decode("map", &bytes), Err(Error::Newer { found: 2, .. })));
}

/// Puts the right digest under damaged bytes, so that what lies behind the digest is tried too.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len().saturating_sub(DIGEST));
    let digest = crate::frame::digest(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes
}

#[test]
fn a_hostile_map_with_a_right_digest_is_refused() {
    let entries = map().encode().len() - DIGEST - 5 * size_of::<RawEntry>();
    let cases: [(&str, usize, &[u8]); 9] = [
        ("size 0", 16, &[0; 8]),
        ("size past the volume", 16, &[0xff; 8]),
        ("volume of 0 GiB", 24, &[0; 4]),
        ("no snapshots", 28, &[0; 4]),
        ("more entries than bytes", 36, &[0xff; 4]),
        ("an id that is none", 40, b"snip"),
        ("an entry out of order", entries, &[9, 0, 0, 0]),
        ("a writer that is not of the lineage", entries + 4, &[2]),
        ("a frame that is too long", entries + 12, &[0xff; 4]),
    ];
    for (what, at, with) in cases {
        let mut bytes = map().encode();
        bytes[at..at + with.len()].copy_from_slice(with);
        assert!(BlockMap::decode("map", &resealed(bytes)).is_err(), "{what}");
    }
}

proptest! {
    #[test]
    fn flipped_bits_are_errors(at: prop::sample::Index, bit in 0_u32..8) {
        let mut bytes = map().encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(BlockMap::decode("map", &bytes).is_err());
    }

    #[test]
    fn damage_behind_a_right_digest_never_panics(at: prop::sample::Index, byte: u8, cut in 0_usize..200) {
        let mut bytes = map().encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        let decoded = BlockMap::decode("map", &resealed(bytes));
        // What is taken is in order and within the volume.
        if let Ok(map) = decoded {
            let blocks = map.size.div_ceil(BLOCK_SIZE);
            prop_assert!(map.entries.windows(2).all(|pair| pair[0].index < pair[1].index));
            prop_assert!(map.entries.iter().all(|entry| u64::from(entry.index.0) < blocks));
        }
    }

    #[test]
    fn any_bytes_are_taken_without_panic(bytes: Vec<u8>) {
        prop_assert!(BlockMap::decode("map", &bytes).is_err());
    }
}
