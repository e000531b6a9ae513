//! Packs: frames one after the other, then an index.
//!
//! ```text
//! 0        frames, without gaps                    one zstd frame a block (frame.rs)
//! i - 8    50 2a 4d 18, length u32                 the header of a zstd skippable frame that holds the rest
//! i        entries, 48 bytes each                  in the frames' order
//!            digest 32 bytes | offset u64 | length u32 | 0 u32
//! end-32   trailer, 32 bytes
//!            i u64 | entries u32 | crc32 u32 | version u32 | 0 u32 | "KILNPACK"
//! ```
//! All integers are little-endian; the CRC covers the entries and the trailer's first 12 bytes. The index stands last
//! so that a pack is written as one stream, and is found from the end with one read. It hides in a skippable frame so
//! that `zstd -dc` of a whole pack gives the blocks: a region can be read with tools that are not Kiln's.
//!
//! A pack never changes. Its id is random, so that two writers never write the same object.

mod index;
mod writer;

pub(crate) use index::{TRAILER, decode_index, index_start};
pub(crate) use writer::PackWriter;

use std::fmt;

/// The folder of packs.
pub(crate) const FOLDER: &str = "packs";

/// The id of a pack: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId(pub(crate) [u8; 16]);

impl PackId {
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the system has a random generator");
        Self(bytes)
    }

    pub(crate) fn path(self) -> String {
        format!("{FOLDER}/{self}.pack")
    }

    /// Takes the id out of a pack's path.
    pub(crate) fn from_path(path: &str) -> Option<Self> {
        let digits = path.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".pack")?;
        let number = u128::from_str_radix(digits, 16).ok()?;
        let id = Self(number.to_be_bytes());
        (id.path() == path).then_some(id)
    }
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_back() {
        let id = PackId::random();
        assert_eq!(PackId::from_path(&id.path()), Some(id));
        for path in ["packs/00.pack", "packs/+0000000000000000000000000000000.pack", "packs/x", "region.json"]
        {
            assert_eq!(PackId::from_path(path), None, "{path}");
        }
    }
}
