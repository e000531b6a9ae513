//! The header of a qcow2 file, all numbers big-endian (QEMU, docs/interop/qcow2.rst):
//!
//! ```text
//!   0  magic "QFI\xfb"           4  version 2 or 3
//!   8  backing file name: offset 16  its length
//!  20  cluster_bits             24  virtual size in bytes
//!  32  crypt_method             36  L1 entries          40  L1 table: offset
//!  48  refcount table: offset   56  its clusters
//!  60  internal snapshots       64  their table: offset
//!      ---- version 2 ends here; version 3 goes on ----
//!  72  incompatible features    80  compatible features  88  autoclear features
//!  96  refcount_order          100  header length (104, or 112 with the next field)
//! 104  compression type: 0 deflate, 1 zstd; 7 bytes of padding
//! 112  header extensions: type u32, length u32, data padded to 8; type 0 ends them
//! ```

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    big_endian::{U32, U64},
};

/// The first bytes of a qcow2 file.
pub(crate) const MAGIC: [u8; 4] = *b"QFI\xfb";
/// The file was not closed; refcounts may be wrong. Reading does not use them.
pub(crate) const DIRTY: u64 = 1 << 0;
/// The program that wrote the file found it inconsistent.
pub(crate) const CORRUPT: u64 = 1 << 1;
/// Guest data lies in another file.
pub(crate) const DATA_FILE: u64 = 1 << 2;
/// The compression type field is not 0.
pub(crate) const COMPRESSION: u64 = 1 << 3;
/// L2 entries have 32 subclusters and take 16 bytes.
pub(crate) const EXTENDED_L2: u64 = 1 << 4;
/// Bytes of a version 2 header.
pub(crate) const V2_LENGTH: u32 = 72;
/// The extension that names the backing file's format.
pub(crate) const BACKING_FORMAT: u32 = 0xe279_2aca;
/// Compression type zstd.
pub(crate) const ZSTD: u8 = 1;

/// The bytes of a header; see the module's drawing.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) magic: [u8; 4],
    pub(crate) version: U32,
    pub(crate) backing_offset: U64,
    pub(crate) backing_length: U32,
    pub(crate) cluster_bits: U32,
    pub(crate) size: U64,
    pub(crate) crypt_method: U32,
    pub(crate) l1_entries: U32,
    pub(crate) l1_offset: U64,
    pub(crate) refcount_table_offset: U64,
    pub(crate) refcount_table_clusters: U32,
    pub(crate) snapshots: U32,
    pub(crate) snapshots_offset: U64,
    pub(crate) incompatible: U64,
    pub(crate) compatible: U64,
    pub(crate) autoclear: U64,
    pub(crate) refcount_order: U32,
    pub(crate) header_length: U32,
    pub(crate) compression_type: u8,
    pub(crate) padding: [u8; 7],
}

/// Bytes of [`Header`].
pub(crate) const LENGTH: u32 = 112;
const _: () = assert!(size_of::<Header>() == LENGTH as usize);
