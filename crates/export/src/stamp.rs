//! Puts the snapshot's id where `qemu-img` puts random numbers and the time, so that the same snapshot gives the same
//! bytes.
//!
//! ```text
//! vmdk   the descriptor's lines CID=xxxxxxxx and RW 8192 SPARSE "name" (the staged file's)
//! vhd    footer, at the end and of a dynamic disk at the start, too:
//!         24 time stamp   64 checksum   68 UUID
//! vhdx   headers at 64 KiB and 128 KiB:         4 checksum      8 sequence number   16 file write GUID
//!                                              32 data write GUID    68 log length   72 log offset
//!        log                                    what has been replayed
//!        metadata                               the item "page 83 data", a GUID
//! ```

use kiln_qcow2::Format;
use kiln_types::SnapshotId;
use std::{fs::File, io, os::unix::fs::FileExt};

/// What a VMDK's extent is called inside it; readers go by the file's own name.
const EXTENT_NAME: &str = "disk.vmdk";

/// Replaces what differs from one conversion to the next.
pub(crate) fn stamp(file: &File, format: Format, snapshot: SnapshotId) -> io::Result<()> {
    let id = Identity::of(snapshot);
    match format {
        Format::Vmdk => vmdk(file, &id),
        Format::Vhd => vhd(file, &id),
        Format::Vhdx => vhdx(file, &id),
        Format::Qcow2 | Format::Raw => Ok(()),
    }
}

/// Numbers that follow from a snapshot's id.
struct Identity {
    /// Eight hexadecimal digits.
    cid: String,
    guid: [u8; 16],
}

impl Identity {
    fn of(snapshot: SnapshotId) -> Self {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(snapshot.to_string().as_bytes());
        let mut guid = [0; 16];
        guid.copy_from_slice(&digest[..16]);
        let word = u32::from_be_bytes([digest[16], digest[17], digest[18], digest[19]]);
        // All ones means "no parent", all zeros nothing at all.
        Self { cid: format!("{:08x}", word.clamp(1, u32::MAX - 1)), guid }
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn missing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("qemu-img wrote no {what}"))
}

fn offset(at: usize) -> u64 {
    u64::try_from(at).expect("an index fits in 64 bits")
}

fn vmdk(file: &File, id: &Identity) -> io::Result<()> {
    let mut descriptor = vec![0; 20 * 512];
    file.read_exact_at(&mut descriptor, 512)?;
    let used = descriptor.iter().position(|byte| *byte == 0).unwrap_or(descriptor.len());
    let text = std::str::from_utf8(&descriptor[..used]).map_err(io::Error::other)?;
    let mut stamped = String::new();
    for line in text.lines() {
        match (line.strip_prefix("CID="), line.split_once(" SPARSE \"")) {
            (Some(_), _) => stamped.extend(["CID=", &id.cid]),
            (None, Some((extent, _))) => stamped.extend([extent, " SPARSE \"", EXTENT_NAME, "\""]),
            (None, None) => stamped.push_str(line),
        }
        stamped.push('\n');
    }
    let mut stamped = stamped.into_bytes();
    if stamped.len() > descriptor.len() {
        return Err(missing("room for the descriptor"));
    }
    stamped.resize(descriptor.len(), 0);
    file.write_all_at(&stamped, 512)
}

fn vhd(file: &File, id: &Identity) -> io::Result<()> {
    let end = file.metadata()?.len().checked_sub(512).ok_or_else(|| missing("footer"))?;
    for at in [0, end] {
        let mut footer = [0; 512];
        file.read_exact_at(&mut footer, at)?;
        if !footer.starts_with(b"conectix") {
            // A fixed disk begins with its own first sector.
            if at == 0 {
                continue;
            }
            return Err(missing("footer"));
        }
        footer[24..28].fill(0);
        footer[64..68].fill(0);
        footer[68..84].copy_from_slice(&id.guid);
        let sum = !footer.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        footer[64..68].copy_from_slice(&sum.to_be_bytes());
        file.write_all_at(&footer, at)?;
    }
    Ok(())
}

/// The GUID of the item "page 83 data" as it lies in the file.
const PAGE_83: [u8; 16] =
    [0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46];
const HEADERS: [u64; 2] = [64 * 1024, 128 * 1024];

fn vhdx(file: &File, id: &Identity) -> io::Result<()> {
    for (at, sequence) in HEADERS.into_iter().zip(1_u64..) {
        let mut header = vec![0; 4096];
        file.read_exact_at(&mut header, at)?;
        // A log that is to be replayed would not be left by a conversion that ended well.
        if !header.starts_with(b"head") || header[48..64] != [0; 16] {
            return Err(missing("header without a log"));
        }
        void_log(file, &header)?;
        header[4..8].fill(0);
        header[8..16].copy_from_slice(&sequence.to_le_bytes());
        header[16..32].copy_from_slice(&id.guid);
        header[32..48].copy_from_slice(&id.guid);
        let sum = crc32c(&header);
        header[4..8].copy_from_slice(&sum.to_le_bytes());
        file.write_all_at(&header, at)?;
    }
    // QEMU puts the metadata into the first MiBs of the file.
    let mut front = vec![0; 8 << 20];
    let read = file.read_at(&mut front, 0)?;
    let table = find(&front[..read], b"metadata").ok_or_else(|| missing("metadata"))?;
    let entry = table + find(&front[table..read], &PAGE_83).ok_or_else(|| missing("page 83 data"))?;
    let place = front.get(entry + 16..entry + 20).ok_or_else(|| missing("page 83 data"))?;
    let place = place.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    file.write_all_at(&id.guid, offset(table) + place)
}

/// Clears the log that a header names: what is left in it has been replayed, and differs each time.
fn void_log(file: &File, header: &[u8]) -> io::Result<()> {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let (length, at) = (number(&header[68..72]), number(&header[72..80]));
    if length > 1 << 20 || at < 1 << 20 {
        return Err(missing("log of its usual size"));
    }
    file.write_all_at(&vec![0; usize::try_from(length).map_err(io::Error::other)?], at)
}

/// CRC-32C (Castagnoli), bit by bit: it runs over two headers of 4 KiB.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn castagnolis_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
