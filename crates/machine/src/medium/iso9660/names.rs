//! What a volume calls a file.

use super::Volume;
use crate::medium::{
    MediumError,
    contents::{Folder, Node},
};
use std::collections::BTreeSet;

/// Characters that Joliet's names cannot hold.
const FORBIDDEN: &str = "*/:;?\\";

/// UCS-2 characters of a Joliet name.
const LONGEST: usize = 64;

/// An entry of a folder, under the name that a volume gives it.
pub(super) struct Name<'a> {
    /// The name, with a file's version, which is always 1.
    pub(super) bytes: Vec<u8>,
    pub(super) node: &'a Node,
    /// What the name is sorted by: itself without the version.
    key: Vec<u8>,
}

/// Names everything in a folder, and sorts it by the names.
pub(super) fn names(volume: Volume, folder: &Folder) -> Result<Vec<Name<'_>>, MediumError> {
    let mut taken = BTreeSet::new();
    let mut names = Vec::new();
    for (name, node) in folder {
        let is_file = matches!(node, Node::File(_));
        let (key, version): (Vec<u8>, &[u8]) = match volume {
            Volume::Primary => (short(name, is_file, &mut taken).into_bytes(), b";1"),
            Volume::Joliet => (ucs2(name)?, &[0, b';', 0, b'1']),
        };
        let bytes = if is_file { [&key, version].concat() } else { key.clone() };
        names.push(Name { bytes, node, key });
    }
    names.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(names)
}

fn ucs2(name: &str) -> Result<Vec<u8>, MediumError> {
    let bad = |why| MediumError::Name { name: name.to_owned(), why };
    if name.contains(|c: char| c.is_control() || FORBIDDEN.contains(c)) {
        return Err(bad("a CD holds no control characters and none of * / : ; ? \\"));
    }
    let units: Vec<u16> = name.encode_utf16().collect();
    if units.iter().any(|unit| (0xd800..0xe000).contains(unit)) {
        return Err(bad("a CD holds no characters beyond U+FFFF"));
    }
    if units.len() > LONGEST {
        return Err(bad("a CD holds names of at most 64 characters"));
    }
    Ok(units.into_iter().flat_map(u16::to_be_bytes).collect())
}

/// Makes a name of eight and three capitals, digits and underscores that no other one has. A file's always has its dot.
fn short(name: &str, is_file: bool, taken: &mut BTreeSet<String>) -> String {
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if is_file && !stem.is_empty() => (stem, extension),
        _ => (name, ""),
    };
    let capitals = |text: &str, most| -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        text.chars().map(plain).take(most).collect()
    };
    let (stem, extension) = (capitals(stem, 8), capitals(extension, 3));
    let with_number = |number: usize| {
        let number = if number == 0 { String::new() } else { format!("_{number}") };
        let stem: String = stem.chars().take(8_usize.saturating_sub(number.len())).collect();
        if is_file { format!("{stem}{number}.{extension}") } else { format!("{stem}{number}") }
    };
    // Compared without the dot that only files have.
    let free = |short: &String| taken.insert(short.trim_end_matches('.').to_owned());
    (0..).map(with_number).find(free).unwrap_or_default()
}
