//! Where everything lies in the file, before anything is written.

use super::{Output, tables};
use crate::{Error, Format, gate::LARGEST_VOLUME};

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

/// The version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// Version 2, `compat=0.10`: no zstd, and no cluster of zeros.
    V2,
    /// Version 3, `compat=1.1`: QEMU 1.1 and later.
    #[default]
    V3,
}

/// The file that holds what an overlay leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// Its name as it is written into the header; readers take a relative one from the overlay's folder.
    pub name: String,
    /// Its format, so that no reader has to guess.
    pub format: Format,
}

/// What a file is, whatever its clusters hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of the volume: whole sectors.
    pub size: u64,
    /// The size of a cluster, as a power of two.
    pub cluster_bits: u32,
    /// How frames are compressed.
    pub compression: Compression,
    /// The version of the format.
    pub version: Version,
    /// The file below, of an overlay.
    pub backing: Option<Backing>,
}

impl Geometry {
    /// A file of version 3 that stands alone.
    #[must_use]
    pub const fn new(size: u64, cluster_bits: u32, compression: Compression) -> Self {
        Self { size, cluster_bits, compression, version: Version::V3, backing: None }
    }

    pub(super) const fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Clusters that one L2 table maps.
    pub(super) const fn per_table(&self) -> u64 {
        1 << (self.cluster_bits - 3)
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |why: String| Err(Error::Layout(why));
        if self.size == 0 || self.size > LARGEST_VOLUME || !self.size.is_multiple_of(512) {
            return wrong(format!("a volume of {} bytes", self.size));
        }
        if !(9..=21).contains(&self.cluster_bits) {
            return wrong(format!("clusters of 2^{} bytes", self.cluster_bits));
        }
        if (self.version, self.compression) == (Version::V2, Compression::Zstd) {
            return wrong("zstd in version 2".to_owned());
        }
        // A file has to hold header, extensions and name in its first cluster.
        let name = self.backing.as_ref().map_or(0, |backing| backing.name.len());
        if self.backing.is_some() && (name == 0 || name > 1023 || self.cluster_bits < 11) {
            return wrong(format!("a backing file's name of {name} bytes"));
        }
        Ok(())
    }
}

/// Where a stored cluster lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Frame { offset: u64, length: u32 },
    Plain { offset: u64 },
    Zero,
}

/// The places of all parts of a qcow2 file.
#[derive(Debug)]
pub struct Layout {
    pub(super) geometry: Geometry,
    pub(super) places: Vec<(u64, Place)>,
    pub(super) metadata: Metadata,
    frames: Vec<u32>,
    plain: usize,
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

    /// Host clusters that the refcounts can count.
    const fn covers(&self, geometry: &Geometry) -> u64 {
        self.refcount_blocks * (geometry.cluster_size() / 2)
    }

    /// How many L2 tables these clusters need.
    fn tables(geometry: &Geometry, clusters: impl Iterator<Item = u64>) -> u64 {
        let mut last = None;
        let tables = clusters.map(|index| index / geometry.per_table());
        wide(tables.filter(|table| last.replace(*table) != Some(*table)).count())
    }

    /// Sizes the tables for at most `data` host clusters beside them; the refcounts count their own clusters, too.
    fn measure(geometry: &Geometry, clusters: impl Iterator<Item = u64>, data: u64) -> Self {
        let cluster = geometry.cluster_size();
        let l1_entries = geometry.size.div_ceil(cluster * geometry.per_table());
        let mut metadata = Self {
            refcount_table: 1,
            refcount_blocks: 1,
            l1: (l1_entries * 8).div_ceil(cluster),
            l1_entries,
            l2: Self::tables(geometry, clusters),
        };
        loop {
            let refcount_blocks = ((metadata.total() + data) * 2).div_ceil(cluster);
            let refcount_table = (refcount_blocks * 8).div_ceil(cluster);
            if (refcount_blocks, refcount_table) == (metadata.refcount_blocks, metadata.refcount_table) {
                return metadata;
            }
            metadata = Self { refcount_table, refcount_blocks, ..metadata };
        }
    }
}

impl Layout {
    /// Lays out a file from its stored clusters, ascending by their place in the volume; a cluster that is not among
    /// them is unallocated. All frames come first, one behind the other, then all plain clusters.
    ///
    /// # Errors
    /// [`Error::Layout`] when the sizes are not a volume's, the clusters are out of order or beyond its end, or a
    /// frame is empty or not smaller than a cluster.
    pub fn new(geometry: Geometry, clusters: &[(u64, Content)]) -> Result<Self, Error> {
        geometry.check()?;
        let lengths =
            |content: &Content| if let Content::Frame(length) = content { Some(*length) } else { None };
        let frames: Vec<u32> = clusters.iter().filter_map(|(_, content)| lengths(content)).collect();
        let plain = clusters.iter().filter(|(_, content)| *content == Content::Plain).count();
        let cluster = geometry.cluster_size();
        let frame_bytes: u64 = frames.iter().map(|length| u64::from(*length)).sum();
        let plain_bytes = wide(plain) << geometry.cluster_bits;
        let data = frame_bytes.div_ceil(cluster) + wide(plain);
        let metadata = Metadata::measure(&geometry, clusters.iter().map(|(index, _)| *index), data);
        let mut frame_at = metadata.total() << geometry.cluster_bits;
        let frames_end = frame_at + frame_bytes;
        let plain_start = frames_end.next_multiple_of(cluster);
        let file_size = if plain == 0 { frames_end.next_multiple_of(512) } else { plain_start + plain_bytes };
        let mut plain_at = plain_start;
        let take = |at: &mut u64, length| std::mem::replace(at, *at + length);
        let places = clusters.iter().map(|(index, content)| {
            let place = match content {
                Content::Zero => Place::Zero,
                Content::Plain => Place::Plain { offset: take(&mut plain_at, cluster) },
                Content::Frame(length) => {
                    Place::Frame { offset: take(&mut frame_at, u64::from(*length)), length: *length }
                }
            };
            (*index, place)
        });
        let places = places.collect();
        let layout = Self { geometry, places, metadata, frames, plain, plain_start, file_size };
        layout.check()?;
        Ok(layout)
    }

    /// Writes the header and all tables, which stand at the front of the file; returns the bytes written.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write_tables(&self, out: &mut impl Output) -> Result<u64, Error> {
        tables::write(self, out)
    }

    /// Returns the bytes of the finished file.
    #[must_use]
    pub const fn file_size(&self) -> u64 {
        self.file_size
    }

    /// The lengths of the frames in the order in which they are written.
    pub(super) fn frames(&self) -> &[u32] {
        &self.frames
    }

    /// How many plain clusters are written after the frames.
    pub(super) const fn plain(&self) -> usize {
        self.plain
    }

    pub(super) const fn plain_start(&self) -> u64 {
        self.plain_start
    }

    pub(super) const fn data_start(&self) -> u64 {
        self.metadata.total() << self.geometry.cluster_bits
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |why: String| Err(Error::Layout(why));
        let end = self.geometry.size.div_ceil(self.geometry.cluster_size());
        let mut next = 0;
        for (index, place) in &self.places {
            if *index < next || *index >= end {
                return wrong(format!(
                    "cluster {index} is out of order or beyond the volume's {end} clusters"
                ));
            }
            match place {
                Place::Frame { length, .. }
                    if *length == 0 || u64::from(*length) >= self.geometry.cluster_size() =>
                {
                    return wrong(format!("the frame of cluster {index} has {length} bytes"));
                }
                Place::Zero if self.geometry.version == Version::V2 => {
                    return wrong(format!("version 2 cannot say that cluster {index} is zeros"));
                }
                _ => {}
            }
            next = index + 1;
        }
        Ok(())
    }
}

/// A layout that grows while its clusters are compressed: the data follows room for the tables, which are written
/// last. Frames share host clusters as far as they can; a plain cluster has one of its own.
#[derive(Debug)]
pub struct OpenLayout {
    geometry: Geometry,
    metadata: Metadata,
    places: Vec<(u64, Place)>,
    /// Where the next frame begins, and the end of the host clusters that were opened for frames.
    frames: (u64, u64),
    end: u64,
}

impl OpenLayout {
    /// Begins a file that stores nothing but some of these clusters, which are ascending.
    ///
    /// # Errors
    /// [`Error::Layout`] when the sizes are not a volume's.
    pub fn new(geometry: Geometry, may_be_stored: impl Iterator<Item = u64> + Clone) -> Result<Self, Error> {
        geometry.check()?;
        let data = wide(may_be_stored.clone().count()) + 1;
        let metadata = Metadata::measure(&geometry, may_be_stored, data);
        let end = metadata.total() << geometry.cluster_bits;
        Ok(Self { geometry, metadata, places: Vec::new(), frames: (end, end), end })
    }

    /// Returns where the frame of the next cluster is to be written.
    pub fn frame(&mut self, cluster: u64, length: u32) -> u64 {
        let (mut at, mut room_end) = self.frames;
        let bytes = u64::from(length);
        if at + bytes > room_end && room_end != self.end {
            (at, room_end) = (self.end, self.end);
        }
        let needed = (at + bytes).saturating_sub(room_end);
        room_end += needed.next_multiple_of(self.geometry.cluster_size());
        self.end = self.end.max(room_end);
        self.frames = (at + bytes, room_end);
        self.places.push((cluster, Place::Frame { offset: at, length }));
        at
    }

    /// Returns where the next cluster is to be written as it is.
    pub fn plain(&mut self, cluster: u64) -> u64 {
        let offset = self.end;
        self.end += self.geometry.cluster_size();
        self.places.push((cluster, Place::Plain { offset }));
        offset
    }

    /// Makes the next cluster read as zeros, whatever a backing file has there.
    pub fn zero(&mut self, cluster: u64) {
        self.places.push((cluster, Place::Zero));
    }

    /// Ends the layout; the file has to get its size, and [`Layout::write_tables`] at its front.
    ///
    /// # Errors
    /// [`Error::Layout`] when the clusters came out of order, lie beyond the volume's end, or were not foretold.
    pub fn close(self) -> Result<Layout, Error> {
        let Self { geometry, metadata, places, frames: (frames_end, room_end), end } = self;
        let tables = Metadata::tables(&geometry, places.iter().map(|(index, _)| *index));
        if tables > metadata.l2 || (end >> geometry.cluster_bits) > metadata.covers(&geometry) {
            return Err(Error::Layout("more clusters came than were foretold".to_owned()));
        }
        // A reader asks for the whole last sector of a frame, and for no more.
        let file_size = if room_end == end { frames_end.next_multiple_of(512) } else { end };
        let layout =
            Layout { geometry, places, metadata, frames: Vec::new(), plain: 0, plain_start: end, file_size };
        layout.check()?;
        Ok(layout)
    }
}

pub(super) fn wide(length: usize) -> u64 {
    u64::try_from(length).expect("lengths fit in 64 bits")
}
