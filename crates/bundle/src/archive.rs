//! The archive around a disk: one member in GNU tar's format, sparse in its old form where the disk has holes.
//!
//! ```text
//! [././@LongLink, the name]   a name of more than 100 bytes
//! header   name | 0644 | 0 | 0 | stored size | mtime 0 | sum | '0' or 'S' | "ustar  " |
//!          of 'S': 4 stretches at 386, "more" at 482, the disk's size at 483
//! records  of 'S': 21 stretches each, "more" at 504
//! data     the stretches, each up to a whole record
//! end      two records of zeros, zeros up to 10240 bytes
//! ```

use std::ops::Range;

pub(crate) const RECORD: u64 = 512;
/// Tar writes whole blocks of twenty records.
pub(crate) const BLOCK: u64 = 20 * RECORD;
const RECORD_LEN: usize = 512;
const IN_HEADER: usize = 4;
const IN_RECORD: usize = 21;

/// What stands before the data, and which data follows.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) head: Vec<u8>,
    pub(crate) stretches: Vec<Range<u64>>,
}

/// Lays out the archive of a disk.
pub(crate) fn layout(name: &str, size: u64, data: &[Range<u64>], dense: bool) -> Layout {
    let mut stretches = whole_records(data, size);
    let full = stretches.first() == Some(&(0..size)) || size == 0;
    let mut head = Vec::new();
    if name.len() > 100 {
        let mut text = name.as_bytes().to_vec();
        text.push(0);
        head.extend(header("././@LongLink", b'L', length(&text), &[], size));
        text.resize(text.len().next_multiple_of(RECORD_LEN), 0);
        head.append(&mut text);
    }
    if dense || full {
        stretches = if size == 0 { Vec::new() } else { std::iter::once(0..size).collect() };
        head.extend(header(name, b'0', size, &[], size));
        return Layout { head, stretches };
    }
    if stretches.last().is_none_or(|last| last.end < size) {
        // Readers take the disk's end from the last stretch.
        stretches.push(size..size);
    }
    let stored = stretches.iter().map(|stretch| stretch.end - stretch.start).sum();
    head.extend(header(name, b'S', stored, &stretches, size));
    let mut rest = stretches.get(IN_HEADER..).unwrap_or_default().chunks(IN_RECORD).peekable();
    while let Some(chunk) = rest.next() {
        let mut record: Vec<u8> = chunk.iter().flat_map(entry).collect();
        record.resize(RECORD_LEN, 0);
        record[504] = u8::from(rest.peek().is_some());
        head.append(&mut record);
    }
    Layout { head, stretches }
}

/// Widens stretches to whole records and joins those that meet.
fn whole_records(data: &[Range<u64>], size: u64) -> Vec<Range<u64>> {
    let mut stretches: Vec<Range<u64>> = Vec::new();
    for stretch in data {
        let start = stretch.start - stretch.start % RECORD;
        let end = stretch.end.next_multiple_of(RECORD).min(size);
        match stretches.last_mut().filter(|last| last.end >= start) {
            Some(last) => last.end = end,
            None => stretches.push(start..end),
        }
    }
    stretches
}

fn header(name: &str, kind: u8, stored: u64, stretches: &[Range<u64>], size: u64) -> Vec<u8> {
    let mut head = vec![0; RECORD_LEN];
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes().get(..100).unwrap_or(name.as_bytes()));
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, &number(stored));
    put(136, &number(0));
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar  \0");
    if kind == b'S' {
        for (place, stretch) in stretches.iter().take(IN_HEADER).enumerate() {
            put(386 + 24 * place, &entry(stretch));
        }
        put(482, &[u8::from(stretches.len() > IN_HEADER)]);
        put(483, &number(size));
    }
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head
}

fn entry(stretch: &Range<u64>) -> [u8; 24] {
    let mut entry = [0; 24];
    entry[..12].copy_from_slice(&number(stretch.start));
    entry[12..].copy_from_slice(&number(stretch.end - stretch.start));
    entry
}

/// Eleven octal digits, or a number in base 256 where they do not suffice.
fn number(value: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if value < 1 << 33 {
        field[..11].copy_from_slice(format!("{value:011o}").as_bytes());
    } else {
        field[0] = 0x80;
        field[4..].copy_from_slice(&value.to_be_bytes());
    }
    field
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
