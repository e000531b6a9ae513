//! A kernel that starts without unpacking itself.
//!
//! ```text
//! bzImage   0x1f1 u8   sectors of the real-mode part, 0 means 4     0x202 "HdrS"   0x206 u16 version, from 0x208 on:
//!           0x248 u32  offset of the payload in what follows the real-mode part    0x24c u32 its length
//! payload   the kernel, an ELF file, compressed: gzip, xz, zstd, LZ4 …
//! ELF       a note of "Xen", type 18: where to start it, without any boot loader (PVH)
//! ```
//! An emulated processor unpacks xz for as long as all the rest of its start takes: the appliance's start with Debian's
//! standard kernel took 7.1 s of processor time, and 3.3 s unpacked. LZ4 is unpacked so fast that handing over four times
//! as many bytes costs as much. Sources: the kernel's Documentation/arch/x86/boot.rst, Xen's docs/misc/pvh.pandoc.

use std::io::Read;

/// No kernel unpacks to more.
const LIMIT: u64 = 512 << 20;

const XEN_PHYS32_ENTRY: u32 = 18;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;

/// Unpacks a kernel that takes long to unpack itself; `None` where it is better left as it is.
pub(crate) fn unpacked(image: &[u8]) -> Option<Vec<u8>> {
    let payload = payload(image)?;
    let mut kernel = Vec::new();
    // Each stops at the end of its stream: the kernel's build puts a length after it.
    match payload {
        [0x1f, 0x8b, ..] => flate2::read::GzDecoder::new(payload).take(LIMIT).read_to_end(&mut kernel),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            liblzma::read::XzDecoder::new(payload).take(LIMIT).read_to_end(&mut kernel)
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = zstd::Decoder::with_buffer(payload).ok()?.single_frame();
            decoder.take(LIMIT).read_to_end(&mut kernel)
        }
        _ => return None,
    }
    .ok()?;
    starts_by_itself(&kernel).then_some(kernel)
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    let version = u16::from_le_bytes(at(image, 0x206)?);
    if image.get(0x202..0x206)? != b"HdrS" || version < 0x208 {
        return None;
    }
    let sectors = match image.get(0x1f1)? {
        0 => 4,
        count => usize::from(*count),
    };
    let offset = usize::try_from(u32::from_le_bytes(at(image, 0x248)?)).ok()?;
    let length = usize::try_from(u32::from_le_bytes(at(image, 0x24c)?)).ok()?;
    image.get((sectors + 1) * 512 + offset..)?.get(..length)
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// Says whether QEMU can start an ELF file: 64 bits, for x86, with the note.
fn starts_by_itself(elf: &[u8]) -> bool {
    has_note(elf) == Some(true)
}

fn has_note(elf: &[u8]) -> Option<bool> {
    let number = |at: [u8; 8]| usize::try_from(u64::from_le_bytes(at)).ok();
    if elf.get(..6)? != b"\x7fELF\x02\x01" || at(elf, 18)? != 62_u16.to_le_bytes() {
        return Some(false);
    }
    let (table, size) = (number(at(elf, 32)?)?, usize::from(u16::from_le_bytes(at(elf, 54)?)));
    for index in 0..usize::from(u16::from_le_bytes(at(elf, 56)?)) {
        let header = elf.get(table.checked_add(index * size)?..)?;
        if u32::from_le_bytes(at(header, 0)?) == PT_NOTE {
            let (offset, length) = (number(at(header, 8)?)?, number(at(header, 32)?)?);
            if notes_hold(elf.get(offset..)?.get(..length)?) {
                return Some(true);
            }
        }
    }
    Some(false)
}

/// ```text
/// note   u32 length of the name, u32 of its contents, u32 type, name and contents, each padded to 4 bytes
/// ```
fn notes_hold(mut notes: &[u8]) -> bool {
    let length = |bytes: [u8; 4]| usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
    while let (Some(name), Some(contents), Some(kind)) = (at(notes, 0), at(notes, 4), at(notes, 8)) {
        if u32::from_le_bytes(kind) == XEN_PHYS32_ENTRY && notes.get(12..16) == Some(b"Xen\0") {
            return true;
        }
        let padded = |bytes| length(bytes).checked_next_multiple_of(4);
        let end = padded(name)
            .zip(padded(contents))
            .and_then(|(name, contents)| name.checked_add(contents)?.checked_add(12));
        let Some(rest) = end.and_then(|end| notes.get(end..)) else { return false };
        notes = rest;
    }
    false
}

/// Returns the smallest kernel that QEMU takes for one that starts by itself. A machine that is restored has its kernel in
/// its memory: what it is given beside that only has to be of the same kind.
pub(crate) fn placeholder() -> Vec<u8> {
    const ENTRY: u64 = 16 << 20;
    const HEADERS: u64 = 64;
    const NOTE: u64 = HEADERS + 2 * 56;
    let note = [
        &4_u32.to_le_bytes()[..],
        &4_u32.to_le_bytes(),
        &XEN_PHYS32_ENTRY.to_le_bytes(),
        b"Xen\0",
        &u32::try_from(ENTRY).unwrap_or_default().to_le_bytes(),
    ]
    .concat();
    let size = u64::try_from(note.len()).unwrap_or_default();
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // executable, x86-64, version 1
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend([ENTRY, HEADERS, 0].into_iter().flat_map(u64::to_le_bytes));
    // flags; sizes of this header and of one program header; two of them; no sections
    elf.extend([0_u16, 0, 64, 56, 2, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    for (kind, address, align) in [(PT_LOAD, ENTRY, 4096), (PT_NOTE, 0, 4)] {
        // read and execute
        elf.extend([kind, 5].into_iter().flat_map(u32::to_le_bytes));
        elf.extend([NOTE, address, address, size, size, align].into_iter().flat_map(u64::to_le_bytes));
    }
    [elf, note].concat()
}

#[cfg(test)]
mod tests;
