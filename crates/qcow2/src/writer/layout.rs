//! Where everything lies in the file, before anything is written.

use crate::{Error, gate::LARGEST_VOLUME};

/// How the frames of a file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Raw deflate streams; read by every QEMU.
    Deflate,
    /// zstd frames; read by QEMU 5.1 and later.
    Zstd,
}

/// What a stored cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A compressed cluster of this many bytes, fewer than a cluster has.
    Frame(u32),
    /// A cluster as it is.
    Plain,
    /// A cluster of zeros that hides whatever a backing file has there.
    Zero,
}

/// The places of all parts of a qcow2 file.
#[derive(Debug)]
pub struct Layout {
    pub(super) size: u64,
    pub(super) cluster_bits: u32,
    pub(super) compression: Compression,
    pub(super) clusters: Vec<(u64, Content)>,
    frames: Vec<(u64, u32)>,
    plain: Vec<u64>,
    pub(super) metadata: Metadata,
    data_start: u64,
    plain_start: u64,
    file_size: u64,
}

/// The tables' sizes, in clusters unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) refcount_table: u64,
    pub(super) refcount_blocks: u64,
    pub(super) l1: u64,
    /// Entries of the L1 table.
    pub(super) l1_entries: u64,
    pub(super) l2: u64,
}

impl Metadata {
    pub(super) const fn refcount_blocks_at(&self) -> u64 {
        1 + self.refcount_table
    }

    pub(super) const fn l1_at(&self) -> u64 {
        self.refcount_blocks_at() + self.refcount_blocks
    }

    pub(super) const fn l2_at(&self) -> u64 {
        self.l1_at() + self.l1
    }

    pub(super) const fn total(&self) -> u64 {
        self.l2_at() + self.l2
    }
}

impl Layout {
    /// Lays out a volume of `size` bytes (whole sectors) from its stored clusters, ascending by their place in the
    /// volume; a cluster that is not among them is unallocated.
    ///
    /// # Errors
    /// [`Error::Layout`] when the sizes are not a volume's, the clusters are out of order or beyond its end, or a
    /// frame is empty or not smaller than a cluster.
    pub fn new(
        size: u64,
        cluster_bits: u32,
        compression: Compression,
        clusters: Vec<(u64, Content)>,
    ) -> Result<Self, Error> {
        check(size, cluster_bits, &clusters)?;
        let mut frames = Vec::new();
        let mut plain = Vec::new();
        for (index, content) in &clusters {
            match content {
                Content::Frame(length) => frames.push((*index, *length)),
                Content::Plain => plain.push(*index),
                Content::Zero => {}
            }
        }
        let cluster = 1_u64 << cluster_bits;
        let frame_bytes: u64 = frames.iter().map(|(_, length)| u64::from(*length)).sum();
        let data = frame_bytes.div_ceil(cluster) + length(&plain);
        let metadata = measure(size, cluster_bits, &clusters, data);
        let data_start = metadata.total() << cluster_bits;
        let frames_end = data_start + frame_bytes;
        let plain_start = frames_end.next_multiple_of(cluster);
        let file_size = match plain.len() {
            0 => frames_end.next_multiple_of(512),
            _ => plain_start + (length(&plain) << cluster_bits),
        };
        Ok(Self {
            size,
            cluster_bits,
            compression,
            clusters,
            frames,
            plain,
            metadata,
            data_start,
            plain_start,
            file_size,
        })
    }

    /// Returns the bytes of the finished file.
    #[must_use]
    pub const fn file_size(&self) -> u64 {
        self.file_size
    }

    /// Returns the frames in the order in which they are written: cluster and length.
    #[must_use]
    pub fn frames(&self) -> &[(u64, u32)] {
        &self.frames
    }

    /// Returns the uncompressed clusters in the order in which they are written, after all frames.
    #[must_use]
    pub fn plain(&self) -> &[u64] {
        &self.plain
    }

    pub(super) const fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    pub(super) const fn data_start(&self) -> u64 {
        self.data_start
    }

    pub(super) const fn plain_start(&self) -> u64 {
        self.plain_start
    }

    /// Clusters that one L2 table maps.
    pub(super) const fn per_table(&self) -> u64 {
        1 << (self.cluster_bits - 3)
    }
}

fn check(size: u64, cluster_bits: u32, clusters: &[(u64, Content)]) -> Result<(), Error> {
    let wrong = |why: String| Err(Error::Layout(why));
    if size == 0 || size > LARGEST_VOLUME || !size.is_multiple_of(512) {
        return wrong(format!("a volume of {size} bytes"));
    }
    if !(9..=21).contains(&cluster_bits) {
        return wrong(format!("clusters of 2^{cluster_bits} bytes"));
    }
    let end = size.div_ceil(1 << cluster_bits);
    let mut next = 0;
    for (index, content) in clusters {
        if *index < next || *index >= end {
            return wrong(format!("cluster {index} is out of order or beyond the volume's {end} clusters"));
        }
        if let Content::Frame(length) = content
            && (*length == 0 || u64::from(*length) >= 1 << cluster_bits)
        {
            return wrong(format!("the frame of cluster {index} has {length} bytes"));
        }
        next = index + 1;
    }
    Ok(())
}

/// Sizes the tables; the refcounts count the clusters that they take themselves.
fn measure(size: u64, cluster_bits: u32, clusters: &[(u64, Content)], data: u64) -> Metadata {
    let cluster = 1_u64 << cluster_bits;
    let mut tables: Vec<u64> = clusters.iter().map(|(index, _)| index >> (cluster_bits - 3)).collect();
    tables.dedup();
    let l1_entries = size.div_ceil(cluster << (cluster_bits - 3));
    let mut metadata = Metadata {
        refcount_table: 1,
        refcount_blocks: 1,
        l1: (l1_entries * 8).div_ceil(cluster),
        l1_entries,
        l2: length(&tables),
    };
    loop {
        let refcount_blocks = ((metadata.total() + data) * 2).div_ceil(cluster);
        let refcount_table = (refcount_blocks * 8).div_ceil(cluster);
        if (refcount_blocks, refcount_table) == (metadata.refcount_blocks, metadata.refcount_table) {
            return metadata;
        }
        metadata = Metadata { refcount_table, refcount_blocks, ..metadata };
    }
}

pub(super) fn length<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).expect("lengths fit in 64 bits")
}
