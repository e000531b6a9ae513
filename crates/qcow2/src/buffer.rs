//! Page-aligned buffers: reading from the page cache into them is about three times as fast as into a `Vec`'s bytes,
//! which begin 16 bytes past a page where they are large.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

const PAGE: usize = 4096;

/// Zeroed bytes that begin at a page boundary.
pub struct PageBuffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl PageBuffer {
    /// Makes a buffer of `len` zeros.
    #[must_use]
    pub fn new(len: usize) -> Self {
        let bytes = vec![0; len + PAGE];
        // `align_offset` may decline in theory; the buffer then merely is not aligned.
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self { bytes, start, len }
    }

    /// Makes a buffer of one block.
    #[must_use]
    pub fn block() -> Self {
        Self::new(BLOCK)
    }
}

/// [`kiln_types::BLOCK_SIZE`] as the length of a buffer.
#[expect(clippy::cast_possible_truncation, reason = "512 KiB fits wherever Kiln runs")]
pub(crate) const BLOCK: usize = kiln_types::BLOCK_SIZE as usize;

impl Deref for PageBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl DerefMut for PageBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

impl AsRef<[u8]> for PageBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for PageBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageBuffer").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_a_page() {
        let buffer = PageBuffer::block();
        assert_eq!(buffer.len(), BLOCK);
        assert_eq!(buffer.as_ptr().addr() % PAGE, 0);
    }
}
