//! Finds an image's format by its magic, once; from then on the format is always named to whatever reads the image.
//!
//! ```text
//! offset 0            51 46 49 fb             "QFI\xfb"                qcow2
//!                     4b 44 4d 56             "KDMV"                   vmdk, sparse extent
//!                     "# Disk DescriptorFile"                          vmdk, text (the gate refuses it)
//!                     "vhdxfile"                                       vhdx
//!                     "conectix"                                       vhd, dynamic: a copy of the footer
//! last 512 (or 511)   "conectix"                                       vhd
//! otherwise                                                            raw
//! ```

use crate::{Error, Format, probe::Probe};
use std::path::Path;

/// The cookie of a VHD footer.
pub(crate) const VHD_COOKIE: &[u8] = b"conectix";

/// What people download in place of a disk image: (offset, magic, what it is, how it is unpacked).
const PACKED: [(usize, &[u8], &str, &str); 7] = [
    (0, &[0x1f, 0x8b, 0x08], "gzip-compressed", "gzip -dk"),
    (0, &[0xfd, b'7', b'z', b'X', b'Z', 0], "xz-compressed", "xz -dk"),
    (0, &[0x28, 0xb5, 0x2f, 0xfd], "zstd-compressed", "zstd -dk"),
    (0, b"BZh", "bzip2-compressed", "bzip2 -dk"),
    (0, b"PK\x03\x04", "a zip archive", "unzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z x"),
    (257, b"ustar", "a tar archive (an OVA is one, too)", "tar -xf"),
];

/// Detects the format of a disk image.
///
/// # Errors
/// When the path names no regular file, the file cannot be read, or it is a compressed file or an archive (a raw disk
/// never starts like one; name the format to have it taken as raw all the same).
pub fn detect(path: &Path) -> Result<Format, Error> {
    let probe = Probe::open(path, Format::Raw)?;
    let head = probe.some(0, 512)?;
    let at_start = [
        (&b"QFI\xfb"[..], Format::Qcow2),
        (b"KDMV", Format::Vmdk),
        (b"# Disk DescriptorFile", Format::Vmdk),
        (b"vhdxfile", Format::Vhdx),
        (VHD_COOKIE, Format::Vhd),
    ];
    if let Some((_, format)) = at_start.into_iter().find(|(magic, _)| head.starts_with(magic)) {
        return Ok(format);
    }
    // Virtual PC before 2004 wrote a footer of 511 bytes.
    for size in [512, 511] {
        if let Some(offset) = probe.len().checked_sub(size)
            && probe.some(offset, size)?.starts_with(VHD_COOKIE)
        {
            return Ok(Format::Vhd);
        }
    }
    let packed = |(at, magic, _, _): &(usize, &[u8], _, _)| {
        head.get(*at..).is_some_and(|rest| rest.starts_with(magic))
    };
    match PACKED.into_iter().find(packed) {
        Some((_, _, kind, tool)) => Err(Error::Packed { path: path.to_owned(), kind, tool }),
        None => Ok(Format::Raw),
    }
}
