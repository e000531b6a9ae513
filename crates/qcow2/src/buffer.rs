//! Page-aligned buffers: reading from the page cache into them is about three times as fast as into a `Vec`'s bytes,
//! which begin 16 bytes past a page where they are large.

use std::{
    fmt, mem,
    ops::{Deref, DerefMut},
    sync::{Mutex, PoisonError},
};

const PAGE: usize = 4096;

/// Bytes of buffers that were dropped, for those that come: new memory is mapped and zeroed a page at a time, which takes as long as
/// filling it.
static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
/// As many are kept; what reads ahead and works on blocks holds no more at once.
const SPARES: usize = 12;
/// None larger is kept than eight blocks, as many as are read together, and none smaller than a block.
const LARGEST: usize = 8 * BLOCK + PAGE;

/// Bytes that begin at a page boundary.
pub struct PageBuffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl PageBuffer {
    /// Makes a buffer of `len` zeros.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self::within(vec![0; len + PAGE], len)
    }

    /// Makes a buffer of one block of zeros.
    #[must_use]
    pub fn block() -> Self {
        Self::new(BLOCK)
    }

    /// Makes a buffer of `len` bytes that hold anything: to be filled before it is read.
    #[must_use]
    pub fn to_fill(len: usize) -> Self {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = spare.iter().enumerate().filter(|(_, bytes)| bytes.len() >= len + PAGE);
        let least = fits.min_by_key(|(_, bytes)| bytes.len()).map(|(at, _)| at);
        let bytes = least.map(|at| spare.swap_remove(at));
        drop(spare);
        Self::within(bytes.unwrap_or_else(|| vec![0; len.next_multiple_of(BLOCK) + PAGE]), len)
    }

    /// Makes a buffer of one block that holds anything.
    #[must_use]
    pub fn block_to_fill() -> Self {
        Self::to_fill(BLOCK)
    }

    fn within(bytes: Vec<u8>, len: usize) -> Self {
        // `align_offset` may decline in theory; the buffer then merely is not aligned.
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self { bytes, start, len }
    }
}

impl Drop for PageBuffer {
    fn drop(&mut self) {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARES && (BLOCK + PAGE..=LARGEST).contains(&self.bytes.len()) {
            spare.push(mem::take(&mut self.bytes));
        }
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

    #[test]
    fn what_was_dropped_is_filled_again_and_zeros_are_zeros() {
        for len in [1, PAGE, BLOCK - 1, BLOCK, 3 * BLOCK + 1, 9 * BLOCK] {
            let mut buffer = PageBuffer::to_fill(len);
            assert_eq!((buffer.len(), buffer.as_ptr().addr() % PAGE), (len, 0));
            buffer.fill(7);
            drop(buffer);
            assert_eq!(PageBuffer::to_fill(len).len(), len);
            assert!(PageBuffer::new(len).iter().all(|byte| *byte == 0));
        }
        assert!(SPARE.lock().unwrap().len() <= SPARES);
    }
}
