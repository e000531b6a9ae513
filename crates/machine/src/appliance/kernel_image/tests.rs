//! Kernels that are packed, and what only looks like one.

use super::*;
use proptest::prelude::*;
use std::io::Write;

/// A kernel image around this payload, as the kernel's build makes it.
fn bz_image(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 3 * 512 + 0x40];
    image[0x1f1] = 2;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    image[0x248..0x24c].copy_from_slice(&0x40_u32.to_le_bytes());
    let length = u32::try_from(payload.len() + 4).unwrap();
    image[0x24c..0x250].copy_from_slice(&length.to_le_bytes());
    [image, payload.to_vec(), b"size".to_vec(), vec![7; 100]].concat()
}

fn packed(kernel: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(kernel).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(kernel).unwrap();
    let zstd = zstd::encode_all(kernel, 1).unwrap();
    [("gzip", gzip.finish().unwrap()), ("xz", xz.finish().unwrap()), ("zstd", zstd)]
}

#[test]
fn what_is_packed_comes_out_as_it_was() {
    let kernel = [placeholder(), vec![1; 100_000]].concat();
    for (how, packed) in packed(&kernel) {
        assert!(unpacked(&bz_image(&packed)).as_ref() == Some(&kernel), "{how}");
    }
}

#[test]
fn what_qemu_could_not_start_is_left_as_it_is() {
    let without_note = placeholder().into_iter().map(|byte| if byte == b'X' { b'Y' } else { byte });
    for (how, packed) in packed(&without_note.collect::<Vec<_>>()) {
        assert_eq!(unpacked(&bz_image(&packed)), None, "{how}");
    }
    for (how, mut packed) in packed(&placeholder()) {
        packed.truncate(packed.len() / 2);
        assert_eq!(unpacked(&bz_image(&packed)), None, "{how} cut");
    }
    assert_eq!(unpacked(&bz_image(b"\x02\x21\x4c\x18 LZ4")), None);
    assert_eq!(unpacked(&placeholder()), None);
    assert_eq!(unpacked(b""), None);
}

proptest! {
    #[test]
    fn anything_is_read(mut bytes in proptest::collection::vec(any::<u8>(), 0..2048), elf: bool) {
        if elf && bytes.len() > 20 {
            bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
            bytes[18..20].copy_from_slice(&[62, 0]);
        }
        starts_by_itself(&bytes);
        unpacked(&bz_image(&bytes));
        unpacked(&bytes);
    }
}
