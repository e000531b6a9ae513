//! Bytes that are searched as they come, in pieces of any length.

use super::needles::{Match, Needles};
use std::collections::BTreeSet;

/// What was read and is still needed, and what is to be searched.
pub(super) struct Stream<'a> {
    needles: &'a Needles,
    buffer: Vec<u8>,
    /// Where the buffer's first byte stands.
    offset: u64,
    /// Before this place in the buffer, everything was searched.
    searched: usize,
}

impl<'a> Stream<'a> {
    /// Begins at `offset` of what is searched.
    pub(super) fn new(needles: &'a Needles, offset: u64) -> Self {
        Self { needles, buffer: Vec::new(), offset, searched: 0 }
    }

    /// Takes the next bytes. Returns what was recognised: as much must follow a piece of a value as the rest of it may take.
    pub(super) fn push(&mut self, bytes: &[u8]) -> BTreeSet<Match> {
        self.buffer.extend_from_slice(bytes);
        let end = self.buffer.len().saturating_sub(self.needles.reach()).max(self.searched);
        let found = self.search(end);
        let done = self.searched.saturating_sub(self.needles.reach());
        self.buffer.drain(..done);
        self.searched -= done;
        self.offset += done as u64;
        found
    }

    /// Searches the rest: nothing follows.
    pub(super) fn finish(mut self) -> BTreeSet<Match> {
        self.search(self.buffer.len())
    }

    fn search(&mut self, end: usize) -> BTreeSet<Match> {
        let found = self.needles.search(&self.buffer, self.searched..end, self.offset);
        self.searched = end;
        found
    }
}
