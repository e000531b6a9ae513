//! ISO 9660 with Joliet (ECMA-119; Joliet Specification, 1995), written from front to back.
//!
//! ```text
//! sector  0–15  nothing
//!        16     primary volume: names of eight and three capitals, for those who read no Joliet
//!        17     supplementary volume: the same files under their own names, in UCS-2
//!        18     terminator
//!        19…    for each volume: its path table, little-endian then big-endian; its folders, from the root down
//!               what the files hold, once for both, each on sectors of its own
//! ```
//! Two trees over one body is what Joliet is made of: a reader takes the volume that it knows. Times are left out, so that
//! equal contents make equal images.

mod names;
mod records;
mod tree;

use super::{Contents, MediumError};
use records::{descriptor, folder, path_table, terminator};
use std::{
    io::{self, BufWriter, Read, Write},
    path::Path,
};
use tree::Tree;

/// Bytes of a sector, the only size that drives know.
const SECTOR: u32 = 2048;

/// Sectors that belong to no file system.
const SYSTEM_AREA: u32 = 16;

/// The first sector behind the descriptors.
const FIRST_FREE: u32 = SYSTEM_AREA + 3;

/// The most bytes of a file of one extent, and so of any.
const LARGEST_FILE: u64 = u32::MAX as u64;

/// The most bytes of a CD: sectors are counted with 32 bits.
const LARGEST_CD: u64 = u32::MAX as u64 * SECTOR as u64;

/// What a Joliet volume holds of a label.
const LONGEST_LABEL: usize = 16;

/// Which of the two volumes something is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Volume {
    Primary,
    Joliet,
}

/// Sectors that hold something.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    sector: u32,
    bytes: u32,
}

/// Gives out sectors, one after the other.
struct Sectors(u32);

impl Sectors {
    fn take(&mut self, bytes: u64) -> Result<Extent, MediumError> {
        let size = u64::from(SECTOR);
        let too_large = |needed, room| MediumError::TooLarge { medium: "CD", needed, room };
        let sector = self.0;
        let Ok(bytes) = u32::try_from(bytes) else { return Err(too_large(bytes, LARGEST_FILE)) };
        let end = u64::from(sector) + u64::from(bytes.div_ceil(SECTOR));
        let Ok(next) = u32::try_from(end) else { return Err(too_large(end * size, LARGEST_CD)) };
        self.0 = next;
        Ok(Extent { sector, bytes })
    }
}

/// Writes the CD.
pub(super) fn write(path: &Path, label: &str, contents: &Contents) -> Result<(), MediumError> {
    check_label(label)?;
    let mut sectors = Sectors(FIRST_FREE);
    let mut trees = Vec::new();
    for volume in [Volume::Primary, Volume::Joliet] {
        let mut tree = Tree::new(volume, contents)?;
        tree.place(&mut sectors)?;
        trees.push(tree);
    }
    let files =
        contents.files().iter().map(|file| sectors.take(file.size())).collect::<Result<Vec<_>, _>>()?;
    let mut output = BufWriter::new(fs_err::File::create(path)?);
    zeroes(&mut output, u64::from(SYSTEM_AREA) * u64::from(SECTOR))?;
    for tree in &trees {
        output.write_all(&descriptor(tree, label, sectors.0))?;
    }
    output.write_all(&terminator())?;
    for tree in &trees {
        for big_endian in [false, true] {
            let table = path_table(tree, big_endian);
            output.write_all(&table)?;
            fill(&mut output, table.len() as u64)?;
        }
        for number in 0..tree.folders.len() {
            output.write_all(&folder(tree, number, &files))?;
        }
    }
    for file in contents.files() {
        file.write_to(&mut output)?;
        fill(&mut output, file.size())?;
    }
    Ok(output.flush()?)
}

fn check_label(label: &str) -> Result<(), MediumError> {
    let printable = label.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if printable && (1..=LONGEST_LABEL).contains(&label.len()) {
        return Ok(());
    }
    let why = "a CD's label has 1 to 16 printable ASCII characters";
    Err(MediumError::Label { label: label.to_owned(), why })
}

/// Fills the last sector of so many bytes.
fn fill(output: &mut impl Write, bytes: u64) -> io::Result<()> {
    zeroes(output, bytes.next_multiple_of(u64::from(SECTOR)) - bytes)
}

fn zeroes(output: &mut impl Write, bytes: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(bytes), output).map(drop)
}
