//! One overlay, opened alone.

use super::{file::LayerFile, layers::Overlay};
use crate::{
    Error,
    gate::Geometry,
    header::{Header, MAGIC},
};
use qcow2_rs::{
    dev::{Qcow2Dev, Qcow2DevParams},
    error::Qcow2Result,
    meta::{MappingSource, Qcow2Header},
};
use std::{
    path::PathBuf,
    pin::pin,
    task::{Context, Poll, Waker},
};
use zerocopy::{
    IntoBytes,
    big_endian::{U32, U64},
};

/// Slices of L2 tables that a layer keeps: at most 256 of 4 KiB, and not the library's 32 MiB.
const L2_CACHE: (u8, usize) = (12, 1 << 20);
/// Refcounts are never read; the library wants room for two slices.
const REFCOUNT_CACHE: (u8, usize) = (12, 8192);
/// The library's block size as a power of two: reads are aligned to sectors.
const SECTOR_BITS: u8 = 9;

/// What a layer says of one of its clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cluster {
    /// Nothing: the layer below answers.
    Lower,
    /// Zeros, whatever lies below.
    Zero,
    /// Bytes, plain or compressed.
    Data,
}

pub(super) struct Layer {
    path: PathBuf,
    pub(super) geometry: Geometry,
    file: fs_err::File,
    device: Qcow2Dev<LayerFile>,
}

impl Layer {
    pub(super) fn open(overlay: Overlay) -> Result<Self, Error> {
        let Overlay { path, geometry, file } = overlay;
        let failed = |why: String| Error::Layer { path: path.clone(), offset: 0, why };
        let parsed = Qcow2Header::from_buf(&plain_header(&geometry));
        let header = parsed.map_err(|error| failed(error.to_string()))?;
        let parameters = Qcow2DevParams::new(SECTOR_BITS, Some(REFCOUNT_CACHE), Some(L2_CACHE), true, false);
        let io = LayerFile(file.try_clone()?);
        let device =
            Qcow2Dev::new(&path, header, &parameters, io).map_err(|error| failed(error.to_string()))?;
        let layer = Self { path, geometry, file, device };
        layer.now(0, layer.device.qcow2_prep_io())?;
        Ok(layer)
    }

    pub(super) const fn cluster_size(&self) -> u64 {
        1 << self.geometry.cluster_bits
    }

    /// Looks a cluster up.
    pub(super) fn cluster(&self, offset: u64) -> Result<Cluster, Error> {
        let mapping = self.now(offset, self.device.get_mapping(offset))?;
        Ok(match mapping.source {
            MappingSource::Unallocated | MappingSource::Backing => Cluster::Lower,
            MappingSource::Zero => Cluster::Zero,
            MappingSource::DataFile | MappingSource::Compressed => Cluster::Data,
        })
    }

    /// Reads a range of whole sectors inside one cluster.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let wanted = buffer.len();
        let read = self.now(offset, self.device.read_at(buffer, offset))?;
        if read == wanted {
            return Ok(());
        }
        Err(self.failed(offset, format!("{read} of {wanted} bytes came")))
    }

    /// Tells which entries of the L1 table name an L2 table: ranges without one need no look-up.
    pub(super) fn present_tables(&self) -> Result<Vec<bool>, Error> {
        use std::os::unix::fs::FileExt;
        let covered = self.cluster_size() * (self.cluster_size() / 8);
        let entries = self.geometry.size.div_ceil(covered);
        let mut bytes = vec![0; usize::try_from(entries * 8).expect("the gate bounds the L1 table")];
        self.file
            .file()
            .read_exact_at(&mut bytes, self.geometry.header.l1_offset.get())
            .map_err(|error| self.failed(0, format!("reading the L1 table: {error}")))?;
        Ok(bytes.chunks_exact(8).map(|entry| entry != [0; 8]).collect())
    }

    /// Completes a call that never waits: the file below answers at once, and there is one caller.
    fn now<T>(&self, offset: u64, call: impl Future<Output = Qcow2Result<T>>) -> Result<T, Error> {
        match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(value)) => Ok(value),
            Poll::Ready(Err(error)) => Err(self.failed(offset, error.to_string())),
            Poll::Pending => Err(self.failed(offset, "the reader waits for itself".to_owned())),
        }
    }

    fn failed(&self, offset: u64, why: String) -> Error {
        Error::Layer { path: self.path.clone(), offset, why }
    }
}

/// Makes the header that qcow2-rs gets to see: the validated numbers and nothing else of the file's own header, so
/// that the library's parser meets no extension, feature or name that is not ours.
fn plain_header(geometry: &Geometry) -> Vec<u8> {
    let of = &geometry.header;
    let header = Header {
        magic: MAGIC,
        version: U32::new(3),
        backing_offset: U64::ZERO,
        backing_length: U32::ZERO,
        cluster_bits: of.cluster_bits,
        size: of.size,
        crypt_method: U32::ZERO,
        l1_entries: of.l1_entries,
        l1_offset: of.l1_offset,
        refcount_table_offset: of.refcount_table_offset,
        refcount_table_clusters: U32::new(1),
        snapshots: U32::ZERO,
        snapshots_offset: U64::ZERO,
        incompatible: U64::ZERO,
        compatible: U64::ZERO,
        autoclear: U64::ZERO,
        refcount_order: of.refcount_order,
        header_length: U32::new(104),
        compression_type: 0,
        padding: [0; 7],
    };
    let mut bytes = header.as_bytes().to_vec();
    bytes.resize(4096, 0);
    bytes
}
