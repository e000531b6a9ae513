//! Buffers that begin at a page: the system copies a page of a file into them faster, and direct I/O asks for it.

use std::ops::{Deref, DerefMut};

/// Bytes of a page.
const PAGE: usize = 4096;

/// A zeroed buffer whose first byte lies at a page's start.
#[derive(Debug)]
pub(crate) struct PageBuffer {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl PageBuffer {
    pub(crate) fn new(length: usize) -> Self {
        // One page more than asked for, so that an aligned start is in reach without unsafe allocation.
        let bytes = vec![0; length + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self { bytes, start, length }
    }
}

impl Deref for PageBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }
}

impl DerefMut for PageBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_a_page() {
        let buffer = PageBuffer::new(12_345);
        assert_eq!(buffer.as_ptr().align_offset(PAGE), 0);
        assert_eq!(buffer.len(), 12_345);
    }
}
