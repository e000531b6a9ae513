//! Any bytes as an image. The invariants:
//!
//! - `detect` and `gate` answer, whatever the bytes: no panic, no endless loop, memory within libFuzzer's limit;
//! - what passes has a size of 1 byte to 64 TiB;
//! - what passes as a layer is read block by block, and every block is answered.
#![no_main]

use kiln_qcow2::{BlockSource, Chain, Format, PageBuffer, detect, gate};
use kiln_types::BlockIndex;
use libfuzzer_sys::fuzz_target;
use std::io::Write;

fuzz_target!(|bytes: &[u8]| {
    let mut image = tempfile::NamedTempFile::new().expect("a temporary file");
    image.write_all(bytes).expect("room for it");
    drop(detect(image.path()));
    for format in Format::ALL {
        if let Ok(info) = gate(image.path(), format) {
            assert!((1..=64 << 40).contains(&info.virtual_size), "{info:?}");
        }
    }
    let base = tempfile::NamedTempFile::new().expect("a temporary file");
    base.as_file().set_len(1 << 20).expect("room for it");
    if let Ok(mut chain) = Chain::open(base.path(), &[image.path().to_owned()]) {
        let mut block = PageBuffer::block();
        for index in 0..4 {
            drop(chain.read_block(BlockIndex(index), &mut block));
        }
    }
});
