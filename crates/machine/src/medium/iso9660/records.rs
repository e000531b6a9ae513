//! The bytes of descriptors, path tables and folders. Numbers that programs read often are written in both orders.

use super::{
    Extent, SECTOR, Volume,
    tree::{Tree, What},
};

/// Bytes of a folder's record before the name.
pub(super) const FIXED: usize = 33;

/// 1980-01-01, midnight, UTC: every file's time.
const TIME: [u8; 7] = [80, 1, 1, 0, 0, 0, 0];

/// A volume's time that is not told.
const NO_TIME: &[u8; 17] = b"0000000000000000\0";

/// UCS-2, level 3: what makes a supplementary volume Joliet's.
const JOLIET: &[u8; 3] = b"%/E";

/// The flag of a folder.
const FOLDER: u8 = 2;

/// Returns what a record takes; it has an even length.
pub(super) fn record_size(name: &[u8]) -> usize {
    (FIXED + name.len()).next_multiple_of(2)
}

/// ```text
///  0 its size   2 sector   10 bytes   18 time   25 flags   28 volume's number   32 size of the name   33 name
/// ```
fn record(name: &[u8], extent: Extent, flags: u8) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(record_size(name)).unwrap_or(u8::MAX), 0];
    bytes.extend(both(extent.sector));
    bytes.extend(both(extent.bytes));
    bytes.extend(TIME);
    bytes.extend([flags, 0, 0]);
    bytes.extend(both_short(1));
    bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    bytes.extend(name);
    bytes.resize(record_size(name), 0);
    bytes
}

/// Returns a folder: itself, the one that holds it, what it holds. No record reaches over the end of a sector.
pub(super) fn folder(tree: &Tree, number: usize, files: &[Extent]) -> Vec<u8> {
    let here = &tree.folders[number];
    let mut bytes = record(&[0], here.extent, FOLDER);
    bytes.extend(record(&[1], tree.folders[here.parent].extent, FOLDER));
    for (name, what) in &here.entries {
        let record = match what {
            What::File(file) => record(name, files[*file], 0),
            What::Folder(folder) => record(name, tree.folders[*folder].extent, FOLDER),
        };
        let end = bytes.len().next_multiple_of(SECTOR as usize);
        if bytes.len() + record.len() > end {
            bytes.resize(end, 0);
        }
        bytes.extend(record);
    }
    bytes.resize(here.extent.bytes as usize, 0);
    bytes
}

/// Returns a path table: for every folder the size of its name, its sector, the number of the folder that holds it, from
/// 1, and its name.
pub(super) fn path_table(tree: &Tree, big_endian: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for folder in &tree.folders {
        let name = folder.shown_name();
        let parent = u16::try_from(folder.parent + 1).unwrap_or(u16::MAX);
        bytes.extend([u8::try_from(name.len()).unwrap_or(u8::MAX), 0]);
        if big_endian {
            bytes.extend(folder.extent.sector.to_be_bytes());
            bytes.extend(parent.to_be_bytes());
        } else {
            bytes.extend(folder.extent.sector.to_le_bytes());
            bytes.extend(parent.to_le_bytes());
        }
        bytes.extend(name);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
    }
    bytes
}

/// Returns the descriptor of a volume.
///
/// ```text
///   0 type, `CD001`, version   40 label          80 sectors of the medium   88 escape sequence   120 one medium, the first
/// 128 bytes of a block        132 path table's size, 140 little-endian, 148 big-endian          156 the root's record
/// 190 set, publisher, preparer, application; 702 three files' names; 813 four times; 881 version of the structure
/// ```
pub(super) fn descriptor(tree: &Tree, label: &str, sectors: u32) -> Vec<u8> {
    let text = |text: &str, size: usize| padded(tree.volume, text, size);
    let mut bytes = vec![if tree.volume == Volume::Primary { 1 } else { 2 }];
    bytes.extend(b"CD001\x01\0");
    bytes.extend(text("", 32));
    bytes.extend(text(label, 32));
    bytes.extend([0; 8]);
    bytes.extend(both(sectors));
    bytes.extend(if tree.volume == Volume::Joliet { *JOLIET } else { [0; 3] });
    bytes.resize(120, 0);
    bytes.extend(both_short(1));
    bytes.extend(both_short(1));
    bytes.extend(both_short(2048));
    let [little, big] = tree.tables;
    bytes.extend(both(little.bytes));
    bytes.extend(little.sector.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(big.sector.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(record(&[0], tree.folders[0].extent, FOLDER));
    for size in [128, 128, 128, 128, 37, 37, 37] {
        bytes.extend(text("", size));
    }
    bytes.extend(NO_TIME.repeat(4));
    bytes.push(1);
    bytes.resize(SECTOR as usize, 0);
    bytes
}

/// Returns what ends the descriptors.
pub(super) fn terminator() -> Vec<u8> {
    let mut bytes = b"\xffCD001\x01".to_vec();
    bytes.resize(SECTOR as usize, 0);
    bytes
}

/// Fills a text up with the volume's spaces.
fn padded(volume: Volume, text: &str, size: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = match volume {
        Volume::Primary => text.bytes().chain(std::iter::repeat(b' ')).take(size).collect(),
        Volume::Joliet => {
            text.bytes().chain(std::iter::repeat(b' ')).take(size / 2).flat_map(|byte| [0, byte]).collect()
        }
    };
    bytes.resize(size, 0);
    bytes
}

fn both(number: u32) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (number.to_le_bytes(), number.to_be_bytes());
    [a, b, c, d, e, f, g, h]
}

fn both_short(number: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (number.to_le_bytes(), number.to_be_bytes());
    [a, b, c, d]
}
