//! The gate for qcow2; the header is drawn in [`crate::header`].

use super::LARGEST_VOLUME;
use crate::{
    Error, Refusal,
    header::{self, COMPRESSION, CORRUPT, DATA_FILE, DIRTY, EXTENDED_L2, Header, MAGIC, V2_LENGTH, ZSTD},
    probe::Probe,
};
use zerocopy::FromBytes;

/// The largest L1 and refcount tables that QEMU takes; more is an attempt to exhaust memory.
const LARGEST_L1: u64 = 32 << 20;
const LARGEST_REFCOUNT_TABLE: u64 = 8 << 20;
/// As QEMU has it.
const MOST_SNAPSHOTS: u32 = 65_536;
/// Names of backing files are shorter than this.
const LONGEST_NAME: u32 = 1_023;

/// Header extensions that matter here.
const EXTENSION_END: u32 = 0;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
const EXTENSION_LUKS: u32 = 0x0537_be77;

/// Whose image it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Anybody's, to be read by a `qemu-img` child.
    Foreign,
    /// QEMU wrote it for Kiln, to be read by qcow2-rs as one layer: a backing name is not followed, and what
    /// qcow2-rs cannot read is refused.
    Layer,
}

/// What is known of an image that passed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    /// Exact bytes of the volume.
    pub(crate) size: u64,
    /// Bytes of a cluster, as a power of two.
    pub(crate) cluster_bits: u32,
    /// The header, with version 3's fields filled in for version 2.
    pub(crate) header: Header,
}

/// Checks the header, its extensions, and that the tables it names lie in the file.
pub(crate) fn examine(probe: &Probe, policy: Policy) -> Result<Geometry, Error> {
    let header = read_header(probe)?;
    let cluster_bits = header.cluster_bits.get();
    // qcow2-rs never ends on clusters smaller than its 4 KiB slices.
    let least = if policy == Policy::Layer { 12 } else { 9 };
    probe.require((least..=21).contains(&cluster_bits), || {
        format!("cluster_bits is {cluster_bits}, not {least} to 21")
    })?;
    check_features(probe, &header, policy)?;
    let method = header.crypt_method.get();
    probe.require(method <= 2, || format!("encryption method {method} is not known"))?;
    if method != 0 {
        return Err(probe.refused(Refusal::Encrypted(if method == 1 { "AES" } else { "LUKS" })));
    }
    check_backing(probe, &header, policy)?;
    check_extensions(probe, &header)?;
    check_tables(probe, &header)?;
    Ok(Geometry { size: header.size.get(), cluster_bits, header })
}

fn read_header(probe: &Probe) -> Result<Header, Error> {
    let mut bytes = probe.some(0, u64::from(header::LENGTH))?;
    probe.require(bytes.starts_with(&MAGIC), || "the magic is missing".to_owned())?;
    let read = u32::try_from(bytes.len()).expect("at most a header's length");
    probe.require(read >= V2_LENGTH, || "the file ends inside the header".to_owned())?;
    bytes.resize(size_of::<Header>(), 0);
    let mut header = Header::read_from_bytes(&bytes).expect("resized to the header's length");
    match header.version.get() {
        2 => {
            let tail = usize::try_from(V2_LENGTH).expect("small");
            bytes[tail..].fill(0);
            header = Header::read_from_bytes(&bytes).expect("same length");
            header.refcount_order.set(4);
            header.header_length.set(V2_LENGTH);
        }
        3 => {
            let length = header.header_length.get();
            let fits = (104..=65_536).contains(&length) && length.is_multiple_of(8);
            probe.require(fits, || format!("the header's length is {length}"))?;
            if length == 104 {
                header.compression_type = 0;
            }
        }
        version => return Err(probe.malformed(format!("version {version} is not 2 or 3"))),
    }
    Ok(header)
}

fn check_features(probe: &Probe, header: &Header, policy: Policy) -> Result<(), Error> {
    let bits = header.incompatible.get();
    if bits & DATA_FILE != 0 {
        return Err(probe.refused(Refusal::DataFile));
    }
    if bits & CORRUPT != 0 {
        return Err(probe.refused(Refusal::Corrupt));
    }
    let known = match policy {
        Policy::Foreign => DIRTY | COMPRESSION | EXTENDED_L2,
        Policy::Layer => DIRTY,
    };
    if bits & !known != 0 {
        return Err(probe.refused(Refusal::Features(bits & !known)));
    }
    let kind = header.compression_type;
    let said = bits & COMPRESSION != 0;
    probe.require(kind <= ZSTD && said == (kind != 0), || {
        format!("compression type {kind} does not go with incompatible bits {bits:#x}")
    })?;
    let order = header.refcount_order.get();
    probe.require(order <= 6, || format!("refcount_order {order} is larger than 6"))?;
    let wide = bits & EXTENDED_L2 != 0;
    probe.require(!wide || header.cluster_bits.get() >= 14, || {
        "extended L2 entries need clusters of 16 KiB or more".to_owned()
    })
}

fn check_backing(probe: &Probe, header: &Header, policy: Policy) -> Result<(), Error> {
    let (offset, length) = (header.backing_offset.get(), header.backing_length.get());
    if offset == 0 || policy == Policy::Layer {
        return Ok(());
    }
    let cluster = 1_u64 << header.cluster_bits.get();
    let end = offset.checked_add(u64::from(length));
    let fits = length <= LONGEST_NAME && end.is_some_and(|end| end <= cluster);
    probe.require(fits, || {
        format!("the backing file's name at byte {offset} ({length} bytes) does not fit")
    })?;
    let name = probe.bytes("the backing file's name", offset, u64::from(length))?;
    Err(probe.refused(Refusal::Backing(format!("backing file {:?}", String::from_utf8_lossy(&name)))))
}

/// Walks the extensions between the header and the end of the first cluster.
fn check_extensions(probe: &Probe, header: &Header) -> Result<(), Error> {
    let cluster = 1_u64 << header.cluster_bits.get();
    let backing = header.backing_offset.get();
    let end = if backing == 0 { cluster } else { backing.min(cluster) };
    let mut offset = u64::from(header.header_length.get());
    probe.require(offset <= cluster, || "the header is longer than a cluster".to_owned())?;
    // An extension takes at least 8 bytes of at most 2 MiB: the walk ends.
    while offset + 8 <= end.min(probe.len()) {
        let [kind, length]: [zerocopy::big_endian::U32; 2] = probe.structure("a header extension", offset)?;
        match kind.get() {
            EXTENSION_END => return Ok(()),
            EXTENSION_DATA_FILE => return Err(probe.refused(Refusal::DataFile)),
            EXTENSION_LUKS => return Err(probe.refused(Refusal::Encrypted("LUKS"))),
            _ => {}
        }
        let length = u64::from(length.get()).next_multiple_of(8);
        probe.require(length <= end - offset - 8, || {
            format!("the header extension at byte {offset} does not fit into the first cluster")
        })?;
        offset += 8 + length;
    }
    Ok(())
}

fn check_tables(probe: &Probe, header: &Header) -> Result<(), Error> {
    let bits = header.cluster_bits.get();
    let aligned = |what: &str, offset: u64| {
        probe.require(offset.is_multiple_of(1 << bits), || {
            format!("{what} at byte {offset} does not begin at a cluster")
        })
    };
    let size = header.size.get();
    probe.require(size <= LARGEST_VOLUME, || format!("the volume has {size} bytes, more than 64 TiB"))?;
    probe.require(size.is_multiple_of(512), || format!("the volume's {size} bytes are not whole sectors"))?;

    let entry_bits = if header.incompatible.get() & EXTENDED_L2 == 0 { 3 } else { 4 };
    let needed = size.div_ceil(1 << (bits + bits - entry_bits));
    let entries = u64::from(header.l1_entries.get());
    probe.require(entries >= needed, || format!("the L1 table has {entries} entries and needs {needed}"))?;
    probe.require(entries * 8 <= LARGEST_L1, || format!("the L1 table has {entries} entries"))?;
    aligned("the L1 table", header.l1_offset.get())?;
    probe.inside("the L1 table", header.l1_offset.get(), entries * 8)?;

    let clusters = u64::from(header.refcount_table_clusters.get());
    let length = clusters << bits;
    probe.require(clusters > 0 && length <= LARGEST_REFCOUNT_TABLE, || {
        format!("the refcount table has {clusters} clusters")
    })?;
    aligned("the refcount table", header.refcount_table_offset.get())?;
    probe.inside("the refcount table", header.refcount_table_offset.get(), length)?;

    let snapshots = header.snapshots.get();
    probe.require(snapshots <= MOST_SNAPSHOTS, || format!("it has {snapshots} internal snapshots"))?;
    if snapshots > 0 {
        aligned("the snapshot table", header.snapshots_offset.get())?;
        // 40 bytes is the least that a table's entry takes.
        probe.inside("the snapshot table", header.snapshots_offset.get(), u64::from(snapshots) * 40)?;
    }
    Ok(())
}
