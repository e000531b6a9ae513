//! One module's file: unpacking it, and what its `.modinfo` section says it depends on.
//!
//! ```text
//! 0   7F 'E' 'L' 'F'  2 (64 bit)  1 (little endian) …
//! 40  e_shoff: u64            where the section headers are
//! 58  e_shentsize, e_shnum, e_shstrndx: u16
//!     section header, 64 bytes:  0 name: u32 (in the section named by e_shstrndx)   24 offset: u64   32 size: u64
//! .modinfo: "license=GPL\0depends=fat,nls_base\0softdep=pre: crc32c\0…"
//! ```

use std::io::{self, Read};

/// The largest module of a distribution is below 20 MiB unpacked.
pub(super) const MODULE_LIMIT: u64 = 128 << 20;

/// Unpacks a module by what its first bytes say it is.
pub(super) fn unpack(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    if bytes.starts_with(b"\x7fELF") {
        return Ok(bytes);
    }
    let input = bytes.as_slice();
    let reader: Box<dyn Read + '_> = match input {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(liblzma::read::XzDecoder::new(input)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::new(input)?),
        [0x1f, 0x8b, ..] => Box::new(flate2::read::GzDecoder::new(input)),
        _ => return Err(io::Error::other("neither an ELF file nor xz, zstd or gzip")),
    };
    let mut unpacked = Vec::new();
    reader.take(MODULE_LIMIT + 1).read_to_end(&mut unpacked)?;
    if u64::try_from(unpacked.len()).is_ok_and(|length| length > MODULE_LIMIT) {
        return Err(io::Error::other("larger than any module"));
    }
    if !unpacked.starts_with(b"\x7fELF") {
        return Err(io::Error::other("what is packed in it is not an ELF file"));
    }
    Ok(unpacked)
}

/// Returns the values of one key of the `.modinfo` section; none when the file has no such section.
pub(super) fn modinfo<'a>(elf: &'a [u8], key: &str) -> Vec<&'a str> {
    let entries = section(elf, b".modinfo").unwrap_or_default().split(|byte| *byte == 0);
    let texts = entries.filter_map(|entry| std::str::from_utf8(entry).ok());
    texts.filter_map(|text| text.strip_prefix(key)?.strip_prefix('=')).collect()
}

fn section<'a>(elf: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let headers = u64_at(elf, 40)?;
    let size = usize::from(u16_at(elf, 58)?);
    let count = usize::from(u16_at(elf, 60)?);
    let names_index = usize::from(u16_at(elf, 62)?);
    let header = |index: usize| {
        let start = headers.checked_add(size.checked_mul(index)?)?;
        elf.get(start..start.checked_add(64)?)
    };
    let content = |header: &[u8]| {
        let start = u64_at(header, 24)?;
        elf.get(start..start.checked_add(u64_at(header, 32)?)?)
    };
    let names = content(header(names_index)?)?;
    (0..count).find_map(|index| {
        let header = header(index)?;
        let name = names.get(usize::try_from(u32::from_le_bytes(*header.first_chunk()?)).ok()?..)?;
        let matches = name.strip_prefix(wanted).is_some_and(|rest| rest.first() == Some(&0));
        matches.then(|| content(header)).flatten()
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    #[test]
    fn unpacks_each_form() -> io::Result<()> {
        let elf = b"\x7fELF and so on".to_vec();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&elf)?;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&elf)?;
        for packed in [xz.finish()?, gzip.finish()?, zstd::encode_all(elf.as_slice(), 1)?, elf.clone()] {
            assert_eq!(unpack(packed)?, elf);
        }
        assert!(unpack(b"#!/bin/sh".to_vec()).is_err());
        assert!(unpack(zstd::encode_all(b"text".as_slice(), 1)?).is_err());
        Ok(())
    }

    proptest! {
        #[test]
        fn no_elf_makes_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 64..512), size in 0u16..80) {
            bytes[..4].copy_from_slice(b"\x7fELF");
            bytes[58..60].copy_from_slice(&size.to_le_bytes());
            modinfo(&bytes, "depends");
        }
    }
}
