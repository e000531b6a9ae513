//! The changed stretches of a disk, byte by byte.

use super::{
    disk::Disk,
    needles::{Match, Needles},
    stream::Stream,
};
use crate::Error;
use kiln_disk::ReadAt;
use kiln_types::BLOCK_SIZE;
use std::collections::BTreeSet;

/// Places of one scan that are kept: more would not tell more.
const MOST: usize = 1000;

/// Finds the values that the base does not hold at the same place. One that begins or ends in an unchanged neighbour counts.
pub(super) fn search(disk: &Disk, needles: &Needles) -> Result<BTreeSet<Match>, Error> {
    let mut found = BTreeSet::new();
    let reach = needles.reach() as u64;
    let mut buffer = Vec::new();
    for stretch in &disk.changed {
        let mut offset = stretch.start.saturating_sub(reach);
        let end = (stretch.end + reach).min(disk.now.size());
        let mut stream = Stream::new(needles, offset);
        while offset < end && found.len() < MOST {
            let next = (offset / BLOCK_SIZE + 1) * BLOCK_SIZE;
            buffer.resize(usize::try_from(next.min(end) - offset).unwrap_or_default(), 0);
            disk.now.read(offset, &mut buffer)?;
            keep(disk, stream.push(&buffer), &mut found)?;
            offset += buffer.len() as u64;
        }
        keep(disk, stream.finish(), &mut found)?;
    }
    Ok(found)
}

fn keep(disk: &Disk, matches: BTreeSet<Match>, found: &mut BTreeSet<Match>) -> Result<(), Error> {
    for one in matches {
        if disk.now.stretch(&one.span())? != disk.base.stretch(&one.span())? {
            found.insert(one);
        }
    }
    Ok(())
}
