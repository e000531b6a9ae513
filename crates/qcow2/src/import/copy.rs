//! Copies a raw disk without its holes.

use crate::{BlockSource, Error, RawDisk};
use rustix::io::Errno;
use std::{fs::File, path::Path};

/// Bytes that are copied between two reports of progress.
const STEP: u64 = 8 << 20;

/// Copies the data of a raw disk to the same places of an empty file; the kernel moves the bytes, and shares them
/// where the file system can.
pub(super) fn sparse(
    from: &Path,
    to: &File,
    out: &Path,
    size: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Error> {
    let disk = RawDisk::open(from)?;
    let source = fs_err::File::open(from)?;
    let size = size.min(disk.size());
    let mut at = 0;
    while let Some((start, end)) = disk.next_data(at)? {
        let mut offset = start;
        while offset < end {
            let length = usize::try_from((end - offset).min(STEP)).expect("a step is small");
            let (mut read_at, mut write_at) = (offset, offset);
            let moved = rustix::fs::copy_file_range(
                source.file(),
                Some(&mut read_at),
                to,
                Some(&mut write_at),
                length,
            );
            offset += match moved {
                Ok(0) => return Err(shrank(from)),
                Ok(moved) => u64::try_from(moved).expect("at most a step"),
                Err(Errno::INTR) => 0,
                // File systems that cannot copy between each other.
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    by_hand(&disk, to, offset, length).map_err(|error| error.or_disk_full(out, size))?
                }
                Err(error) => return Err(Error::Io(error.into()).or_disk_full(out, size)),
            };
            progress(offset, size);
        }
        at = end;
    }
    Ok(())
}

fn by_hand(disk: &RawDisk, to: &File, offset: u64, length: usize) -> Result<u64, Error> {
    use std::os::unix::fs::FileExt;
    let mut buffer = crate::PageBuffer::new(length);
    disk.read(offset, &mut buffer)?;
    to.write_all_at(&buffer, offset)?;
    Ok(u64::try_from(length).expect("at most a step"))
}

fn shrank(path: &Path) -> Error {
    Error::Io(std::io::Error::other(format!("`{}` became shorter while it was copied", path.display())))
}
