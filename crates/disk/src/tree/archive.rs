//! The files of an initrd: archives of cpio's "new" format, one behind the other, the last of them mostly packed.
//!
//! ```text
//! cpio (microcode)  zeros  cpio (modules)  zeros  zstd | xz | gzip ( cpio … )
//!
//! entry:  "070701"  13 numbers of 8 hexadecimal digits:  [1] mode  [6] size  [11] length of the name with its zero
//!         name, 0   zeros to a multiple of 4   content   zeros to a multiple of 4
//! last:   "TRAILER!!!"
//! ```
//! Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.

use super::{Failure, Files};
use std::{
    collections::HashMap,
    io::{self, Read},
    ops::Range,
};

/// What an initrd may unpack to; real ones are below 500 MiB.
const UNPACKED_LIMIT: u64 = 2 << 30;

const HEADER: usize = 110;
const TYPE_MASK: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

/// Regular files by their absolute names, each a range of one of the stretches.
pub(super) struct Archive {
    stretches: Vec<Vec<u8>>,
    files: HashMap<String, (usize, Range<usize>)>,
}

impl Archive {
    pub(super) fn unpack(packed: Vec<u8>) -> io::Result<Self> {
        let mut archive = Self { stretches: Vec::new(), files: HashMap::new() };
        let mut next = Some(packed);
        while let Some(bytes) = next {
            let at = archive.entries(&bytes)?;
            // A packed archive inside a packed one is nothing that a kernel would read.
            let rest = bytes.get(at..).unwrap_or_default();
            next = match rest {
                [] => None,
                _ if archive.stretches.is_empty() => Some(unpacked(rest)?),
                _ => return Err(io::Error::other("something that is no cpio archive follows one")),
            };
            archive.stretches.push(bytes);
        }
        Ok(archive)
    }

    /// Takes in one stretch of archives; returns where they end.
    fn entries(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(zeros) = rest.iter().position(|byte| *byte != 0) else { return Ok(bytes.len()) };
            at += zeros;
            if !bytes.get(at..).is_some_and(|rest| rest.starts_with(b"07070")) {
                return Ok(at);
            }
            at = self
                .entry(bytes, at)
                .ok_or_else(|| io::Error::other(format!("the cpio archive is damaged at byte {at}")))?;
        }
    }

    /// Takes in one entry; returns where the next one starts.
    fn entry(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let header = std::str::from_utf8(bytes.get(at..at.checked_add(HEADER)?)?).ok()?;
        let field = |n: usize| u32::from_str_radix(header.get(6 + 8 * n..14 + 8 * n)?, 16).ok();
        let (mode, size, name_length) = (field(1)?, field(6)?, field(11)?);
        let name = at.checked_add(HEADER)?;
        let name_end = name.checked_add(usize::try_from(name_length).ok()?)?;
        let start = name_end.checked_next_multiple_of(4)?;
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        let name = std::str::from_utf8(bytes.get(name..name_end)?).ok()?.trim_end_matches('\0');
        bytes.get(start..end)?;
        if mode & TYPE_MASK == REGULAR {
            let name = name.trim_start_matches("./").trim_start_matches('/');
            self.files.insert(format!("/{name}"), (self.stretches.len(), start..end));
        }
        Some(end.checked_next_multiple_of(4)?.min(bytes.len()))
    }
}

fn unpacked(packed: &[u8]) -> io::Result<Vec<u8>> {
    let reader: Box<dyn Read + '_> = match packed {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(liblzma::read::XzDecoder::new(packed)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::new(packed)?),
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        _ => return Err(io::Error::other("neither a cpio archive nor xz, zstd or gzip")),
    };
    let mut bytes = Vec::new();
    reader.take(UNPACKED_LIMIT + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > UNPACKED_LIMIT) {
        return Err(io::Error::other("larger than any initrd"));
    }
    Ok(bytes)
}

impl Files for Archive {
    fn size(&self, name: &str) -> Result<Option<u64>, Failure> {
        let file = self.files.get(name);
        Ok(file.map(|(_, range)| u64::try_from(range.len())).transpose()?)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let file = self.files.get(name);
        let bytes = file.and_then(|(stretch, range)| self.stretches.get(*stretch)?.get(range.clone()));
        Ok(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?.to_vec())
    }

    fn list(&self, name: &str) -> Result<Vec<String>, Failure> {
        let folder = format!("{}/", name.trim_end_matches('/'));
        let mut names: Vec<_> = self.files.keys().filter_map(|path| path.strip_prefix(&folder)).collect();
        names = names.iter().filter_map(|rest| rest.split('/').next()).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn has(&self, name: &str) -> bool {
        let folder = format!("{name}/");
        self.files.contains_key(name) || self.files.keys().any(|path| path.starts_with(&folder))
    }
}
