//! The stack of layers, and reading through it.

use super::layer::{Cluster, Layer};
use crate::{Error, RawDisk, gate::Geometry};
use std::{os::unix::fs::MetadataExt, path::PathBuf};

/// An overlay that passed the gate, on its way to the thread that reads it.
pub(super) struct Overlay {
    pub(super) path: PathBuf,
    pub(super) geometry: Geometry,
    pub(super) file: fs_err::File,
}

impl Overlay {
    pub(super) fn identity(&self) -> Result<(u64, u64), Error> {
        let metadata = self.file.metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }
}

/// The base and the overlays over it, top first.
pub(super) struct Layers {
    pub(super) base: RawDisk,
    pub(super) overlays: Vec<Layer>,
}

impl Layers {
    pub(super) fn open(base: RawDisk, overlays: Vec<Overlay>) -> Result<Self, Error> {
        let overlays = overlays.into_iter().map(Layer::open).collect::<Result<_, _>>()?;
        Ok(Self { base, overlays })
    }

    /// Reads a range; what lies beyond the volume's end is zeros.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.read_from(&self.overlays, offset, buffer)
    }

    fn read_from(&self, layers: &[Layer], mut offset: u64, mut buffer: &mut [u8]) -> Result<(), Error> {
        let Some((top, lower)) = layers.split_first() else {
            return self.base.read(offset, buffer);
        };
        while !buffer.is_empty() {
            let Some(left) = top.geometry.size.checked_sub(offset).filter(|left| *left > 0) else {
                buffer.fill(0);
                return Ok(());
            };
            let in_cluster = top.cluster_size() - offset % top.cluster_size();
            let length = usize::try_from(in_cluster.min(left)).unwrap_or(usize::MAX).min(buffer.len());
            let (piece, rest) = buffer.split_at_mut(length);
            match top.cluster(offset)? {
                Cluster::Lower => self.read_from(lower, offset, piece)?,
                Cluster::Zero => piece.fill(0),
                Cluster::Data => top.read(offset, piece)?,
            }
            buffer = rest;
            offset += u64::try_from(length).expect("a buffer's length fits in 64 bits");
        }
        Ok(())
    }
}
