//! Parts of objects that are files of this host, read into page-aligned memory: from the page cache that takes a third
//! of the time that it takes into any other.

use bytes::Bytes;
use kiln_qcow2::PageBuffer;
use object_store::Error;
use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, path::Path};

/// Reads ranges of a file, answered in the order asked for; those that touch are read at once.
pub(crate) fn read_ranges(path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
    let failed = |source: io::Error| {
        let (path, missing) = (path.display().to_string(), source.kind() == io::ErrorKind::NotFound);
        match missing {
            true => Error::NotFound { path, source: source.into() },
            false => Error::Generic { store: "folder", source: source.into() },
        }
    };
    read(fs_err::File::open(path).map_err(failed)?.file(), ranges).map_err(failed)
}

fn read(file: &File, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_unstable_by_key(|at| ranges.get(*at).map(|range| range.start));
    let mut answers = vec![Bytes::new(); ranges.len()];
    for stretch in order.chunk_by(|a, b| ranges.get(*a).map(|a| a.end) == ranges.get(*b).map(|b| b.start)) {
        let wanted = || stretch.iter().filter_map(|at| ranges.get(*at));
        let start = wanted().map(|range| range.start).min().unwrap_or(0);
        let all = wanted().map(length).sum::<io::Result<usize>>()?;
        let mut buffer = PageBuffer::to_fill(all);
        file.read_exact_at(&mut buffer, start)?;
        let mut bytes = Bytes::from_owner(buffer);
        for at in stretch {
            if let (Some(range), Some(answer)) = (ranges.get(*at), answers.get_mut(*at)) {
                *answer = bytes.split_to(length(range)?);
            }
        }
    }
    Ok(answers)
}

fn length(range: &Range<u64>) -> io::Result<usize> {
    let length = range.end.checked_sub(range.start).and_then(|length| usize::try_from(length).ok());
    length.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_come_in_the_order_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pack");
        let bytes: Vec<u8> = (0..=255).collect();
        fs_err::write(&path, &bytes).unwrap();
        let ranges = [40..50, 20..30, 30..40, 200..256, 20..30, 7..7];
        let read = read_ranges(&path, &ranges).unwrap();
        for (range, read) in ranges.iter().zip(read) {
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            assert_eq!(read, bytes[range]);
        }
        let one = |path: &Path, range: Range<u64>| read_ranges(path, std::slice::from_ref(&range));
        assert!(matches!(one(&path, 250..257), Err(Error::Generic { .. })));
        let (from, to) = (9, 8);
        assert!(one(&path, from..to).is_err());
        assert!(matches!(one(&folder.path().join("x"), 0..1), Err(Error::NotFound { .. })));
    }
}
