//! The one member of a bundle's archive, read as the stream goes by.
//!
//! Takes ustar, GNU and PAX headers, long names, numbers in base 256 and GNU's old sparse form. The member's name counts for
//! nothing. Links, devices, a second member, stretches out of order and a size that the manifest does not say are refused.

use crate::{
    Error, Watch,
    archive::{BLOCK, RECORD},
    deflate::is_zero,
};
use sha1::{Digest, Sha1};
use std::{
    io::{BufRead, ErrorKind},
    ops::Range,
};

/// Names and PAX headers are passed over up to this size.
const MAX_EXTENSION: u64 = 1 << 20;
/// Stretches of a sparse member: each is held in memory, and compressed a map of any length is small.
const MAX_STRETCHES: usize = 2 << 20;
/// Zeros behind the end of the archive: tar's largest blocks are smaller.
const MAX_TAIL: u64 = 16 << 20;
const RECORD_LEN: usize = 512;
/// What is written at a time; one of zeros becomes a hole.
const PIECE: u64 = 64 << 10;

/// Where the disk goes: bytes at a place.
pub(crate) type Put<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), Error>;

/// An archive that is read to its end.
pub(crate) struct Archive<R> {
    input: R,
    sha1: Sha1,
    most_stretches: usize,
}

struct Member {
    stretches: Vec<Range<u64>>,
}

impl<R: BufRead> Archive<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, sha1: Sha1::new(), most_stretches: MAX_STRETCHES }
    }

    /// Hands the disk of `size` bytes to `put`, zeros left out, and returns the archive's SHA-1.
    pub(crate) fn read(mut self, size: u64, put: Put<'_>, watch: &Watch) -> Result<Vec<u8>, Error> {
        let member = self.member(size)?;
        let mut piece = Vec::new();
        for stretch in member.stretches {
            let mut at = stretch.start;
            while at < stretch.end {
                let now = (stretch.end - at).min(PIECE);
                self.take(now, &mut piece)?;
                if !is_zero(&piece) {
                    put(at, &piece)?;
                }
                at += now;
                watch.at(at, size)?;
            }
            let length = stretch.end - stretch.start;
            self.take(length.next_multiple_of(RECORD) - length, &mut piece)?;
        }
        self.end()?;
        Ok(self.sha1.finalize().to_vec())
    }

    /// Finds the member and where its data belongs.
    fn member(&mut self, size: u64) -> Result<Member, Error> {
        let mut said = None;
        loop {
            let head = self.record()?;
            check_sum(&head)?;
            let stored = number(&head[124..136])?;
            match head[156] {
                b'L' | b'x' | b'g' => {
                    let pax = self.extension(stored)?;
                    if head[156] != b'L' {
                        said = pax_size(&pax)?.or(said);
                    }
                }
                b'0' | 0 => {
                    check_size(said.unwrap_or(stored), size)?;
                    return Ok(Member { stretches: std::iter::once(0..size).collect() });
                }
                b'S' => {
                    check_size(number(&head[483..495])?, size)?;
                    let stretches = self.stretches(&head, size)?;
                    let sum: u64 = stretches.iter().map(|stretch| stretch.end - stretch.start).sum();
                    if sum != said.unwrap_or(stored) {
                        return Err(bad("the stretches are not as long as the member"));
                    }
                    return Ok(Member { stretches });
                }
                other => return Err(bad(format!("holds a member of type {:?}", char::from(other)))),
            }
        }
    }

    /// Reads the map of a sparse member.
    fn stretches(&mut self, head: &[u8], size: u64) -> Result<Vec<Range<u64>>, Error> {
        let mut stretches = Vec::new();
        let mut end = 0;
        let most = self.most_stretches;
        let mut add = |entries: &[u8]| {
            for entry in entries.chunks_exact(24).filter(|entry| entry[0] != 0) {
                let (start, length) = (number(&entry[..12])?, number(&entry[12..])?);
                let stop = start.checked_add(length).filter(|stop| start >= end && *stop <= size);
                end = stop.ok_or_else(|| bad("its stretches overlap or leave the disk"))?;
                if length > 0 {
                    stretches.push(start..end);
                }
                if stretches.len() > most {
                    return Err(bad(format!("has more than {most} stretches")));
                }
                // Only the last one may end inside a record; readers differ in what they do with others.
            }
            Ok::<_, Error>(())
        };
        add(&head[386..482])?;
        let mut more = head[482] != 0;
        // Each record moves the end on or says nothing: a map cannot be longer than the disk has records.
        let mut records = size / RECORD / 21 + 2;
        while more {
            records = records.checked_sub(1).ok_or_else(|| bad("its map does not end"))?;
            let record = self.record()?;
            add(&record[..504])?;
            more = record[504] != 0;
        }
        Ok(stretches)
    }

    /// After the member there is nothing but zeros.
    fn end(&mut self) -> Result<(), Error> {
        let mut tail = 0;
        loop {
            let ready = self.input.fill_buf()?;
            if ready.is_empty() {
                break;
            }
            if !is_zero(ready) {
                return Err(bad("holds more than one member"));
            }
            let count = ready.len();
            self.sha1.update(ready);
            self.input.consume(count);
            tail += u64::try_from(count).unwrap_or(u64::MAX);
            if tail > MAX_TAIL {
                return Err(bad("goes on behind its end"));
            }
        }
        if tail < 2 * RECORD || !tail.is_multiple_of(RECORD) {
            return Err(bad(format!("ends early; writers pad it to {BLOCK} bytes")));
        }
        Ok(())
    }

    fn record(&mut self) -> Result<[u8; RECORD_LEN], Error> {
        let mut record = [0; RECORD_LEN];
        self.input.read_exact(&mut record).map_err(ended)?;
        self.sha1.update(record);
        Ok(record)
    }

    fn extension(&mut self, length: u64) -> Result<Vec<u8>, Error> {
        if length > MAX_EXTENSION {
            return Err(bad("a header is larger than 1 MiB"));
        }
        let mut text = Vec::new();
        self.take(length.next_multiple_of(RECORD), &mut text)?;
        text.truncate(usize::try_from(length).unwrap_or(0));
        Ok(text)
    }

    fn take(&mut self, count: u64, into: &mut Vec<u8>) -> Result<(), Error> {
        into.resize(usize::try_from(count).unwrap_or(0), 0);
        self.input.read_exact(into).map_err(ended)?;
        self.sha1.update(&*into);
        Ok(())
    }
}

fn ended(error: std::io::Error) -> Error {
    if error.kind() == ErrorKind::UnexpectedEof { bad("ends early") } else { Error::Io(error) }
}

fn check_size(found: u64, size: u64) -> Result<(), Error> {
    if found == size {
        return Ok(());
    }
    Err(Error::damaged("image/size", format!("is {size}, and the archive's member has {found} bytes")))
}

fn check_sum(head: &[u8; RECORD_LEN]) -> Result<(), Error> {
    let counts = head.iter().enumerate().map(|(at, byte)| {
        // The sum's own field counts as blanks.
        u64::from(if (148..156).contains(&at) { b' ' } else { *byte })
    });
    if number(&head[148..156])? == counts.sum::<u64>() { Ok(()) } else { Err(bad("a header's sum is wrong")) }
}

/// Octal digits between blanks, or a number in base 256.
fn number(field: &[u8]) -> Result<u64, Error> {
    let wrong = || bad("a header holds no number where one belongs");
    let (first, rest) = field.split_first().ok_or_else(wrong)?;
    if *first == 0x80 {
        let (high, low) = rest.split_at(rest.len().saturating_sub(8));
        let low = low.first_chunk::<8>().filter(|_| is_zero(high)).ok_or_else(wrong)?;
        return Ok(u64::from_be_bytes(*low));
    }
    let text = std::str::from_utf8(field).map_err(|_binary| wrong())?;
    let text = text.trim_matches(['\0', ' ']);
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    u64::from_str_radix(text, 8).ok().filter(|_| digits).ok_or_else(wrong)
}

/// Reads `size` out of a PAX header; other forms of sparse members than the old one are refused.
fn pax_size(header: &[u8]) -> Result<Option<u64>, Error> {
    let mut size = None;
    for line in header.split(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        let Some((key, value)) = text.split_once(' ').and_then(|(_, pair)| pair.split_once('=')) else {
            continue;
        };
        if key.starts_with("GNU.sparse.") {
            return Err(bad("is sparse in PAX's form, which stock tools do not read"));
        }
        if key == "size" {
            size = Some(value.parse().map_err(|_number| bad("a PAX header's size is no number"))?);
        }
    }
    Ok(size)
}

fn bad(reason: impl Into<String>) -> Error {
    Error::damaged("the archive", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map of as many bytes each in its own stretch: compressed it is next to nothing.
    #[test]
    fn a_map_has_an_end() {
        let size = 1_u64 << 40;
        let octal = |number: u64| format!("{number:011o}\0").into_bytes();
        let mut head = [0; RECORD_LEN];
        head[124..136].copy_from_slice(&octal(0));
        head[156] = b'S';
        head[482] = 1;
        head[483] = 0x80;
        head[487..495].copy_from_slice(&size.to_be_bytes());
        let sum: u64 = head.iter().map(|byte| u64::from(*byte)).sum::<u64>() + 8 * u64::from(b' ');
        head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut archive = head.to_vec();
        for start in 0..=1000 {
            archive.extend([octal(2 * start), octal(1)].concat());
            if start % 21 == 20 {
                archive.extend([1, 0, 0, 0, 0, 0, 0, 0]);
            }
        }
        archive.resize(archive.len().next_multiple_of(RECORD_LEN), 0);
        let reader = Archive { most_stretches: 1000, ..Archive::new(&archive[..]) };
        let read = reader.read(size, &mut |_, _| Ok(()), &Watch::default());
        assert_eq!(read.unwrap_err().to_string(), "the archive: has more than 1000 stretches");
    }
}
