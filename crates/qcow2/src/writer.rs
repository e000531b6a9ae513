//! Writes a qcow2 file once, front to back.
//!
//! Where all lengths are known before the first byte is written ([`Layout`], [`Writer`]), the file goes out in order and
//! nothing has to be patched: it can be hashed while it is written. Where clusters are compressed on the way
//! ([`OpenLayout`]), room is kept for the tables, and they are written last.
//!
//! ```text
//! cluster 0            header, 112 bytes (72 in version 2); extensions; an overlay's backing file
//!         refcount table, refcount blocks (16 bits a host cluster)
//!         L1 table
//!         L2 tables, one for each L1 entry under which something is stored
//!         frames       compressed clusters, one behind the other at any byte
//!         plain        uncompressed clusters, each at a cluster's boundary
//! end                  rounded up to 512 bytes: a reader asks for the whole last sector of a frame
//! ```
//! An L2 entry of a frame at byte `o` with `n` bytes, for clusters of 2^c bytes (QEMU, docs/interop/qcow2.rst):
//!
//! ```text
//! bit 63 0   62 1   61..x  sectors that the frame touches beyond its first one   x-1..0  o       x = 62 - (c - 8)
//! ```
//! With 512 KiB clusters, c = 19 and x = 51: 11 bits of sectors, 51 bits of offset. The reader is told
//! `(sectors + 1) * 512 - o % 512` bytes, up to 511 more than the frame has; zstd stops at the frame's end. Hence a
//! frame is exactly one whole zstd frame that decodes to exactly a cluster, and has no checksum: QEMU's decoder
//! stops when the cluster is full and then wants the frame to be finished.

mod layout;
mod tables;

pub use layout::{Backing, Compression, Content, Geometry, Layout, OpenLayout, Version};

use crate::Error;
use std::io;

/// Where the bytes of a file go, in order.
pub trait Output {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they cannot be written.
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Takes this many zeros, which may become a hole.
    ///
    /// # Errors
    /// When they cannot be written.
    fn zeros(&mut self, count: u64) -> io::Result<()>;
}

impl Output for Vec<u8> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        self.resize(self.len() + usize::try_from(count).map_err(io::Error::other)?, 0);
        Ok(())
    }
}

/// A qcow2 file being written: first all frames in the order of their clusters, then all plain clusters in theirs.
#[derive(Debug)]
pub struct Writer<'a, O> {
    layout: &'a Layout,
    out: O,
    next_frame: usize,
    next_plain: usize,
    at: u64,
}

impl<'a, O: Output> Writer<'a, O> {
    /// Writes the header and all tables.
    ///
    /// # Errors
    /// When the output fails.
    pub fn start(layout: &'a Layout, mut out: O) -> Result<Self, Error> {
        let at = layout.write_tables(&mut out)?;
        Ok(Self { layout, out, next_frame: 0, next_plain: 0, at })
    }

    /// Writes the next frame as it is.
    ///
    /// # Errors
    /// [`Error::Layout`] when its length is not the one laid out, or when the output fails.
    pub fn frame(&mut self, frame: &[u8]) -> Result<(), Error> {
        let expected = self.layout.frames().get(self.next_frame).map(|length| u64::from(*length));
        self.accept(frame, expected, "frame")?;
        self.next_frame += 1;
        Ok(())
    }

    /// Writes the next uncompressed cluster.
    ///
    /// # Errors
    /// [`Error::Layout`] when it has not a cluster's length or is not due, or when the output fails.
    pub fn plain(&mut self, cluster: &[u8]) -> Result<(), Error> {
        if self.next_plain == 0 && self.next_frame == self.layout.frames().len() {
            self.pad(self.layout.plain_start())?;
        }
        let due = self.next_frame == self.layout.frames().len() && self.next_plain < self.layout.plain();
        self.accept(cluster, due.then(|| self.layout.geometry.cluster_size()), "plain cluster")?;
        self.next_plain += 1;
        Ok(())
    }

    /// Ends the file and returns the output.
    ///
    /// # Errors
    /// [`Error::Layout`] when something laid out has not been written, or when the output fails.
    pub fn finish(mut self) -> Result<O, Error> {
        let (frames, plain) = (self.layout.frames().len(), self.layout.plain());
        if (self.next_frame, self.next_plain) != (frames, plain) {
            return Err(Error::Layout(format!(
                "{} of {frames} frames and {} of {plain} plain clusters were written",
                self.next_frame, self.next_plain
            )));
        }
        self.pad(self.layout.file_size())?;
        Ok(self.out)
    }

    fn accept(&mut self, bytes: &[u8], expected: Option<u64>, what: &str) -> Result<(), Error> {
        let length = u64::try_from(bytes.len()).map_err(io::Error::other)?;
        if expected != Some(length) {
            let expected = expected.map_or("none".to_owned(), |length| format!("{length} bytes"));
            return Err(Error::Layout(format!("a {what} of {length} bytes came, and {expected} was due")));
        }
        self.out.bytes(bytes)?;
        self.at += length;
        Ok(())
    }

    fn pad(&mut self, to: u64) -> Result<(), Error> {
        self.out.zeros(to.saturating_sub(self.at))?;
        self.at = self.at.max(to);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
