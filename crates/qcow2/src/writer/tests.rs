//! Files of the writer, checked and read by qemu-img.

use super::*;
use crate::oracle::{Random, qemu_img};
use anyhow::{Result, ensure};
use proptest::prelude::*;
use std::path::Path;

/// Clusters of a volume: `None` is unallocated.
type Clusters = Vec<(u64, Content, Vec<u8>)>;

/// Writes a file of the clusters and lets QEMU check it and compare it with the volume it must be.
fn judge(size: u64, cluster_bits: u32, compression: Compression, clusters: &Clusters) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let described: Vec<_> = clusters.iter().map(|(index, content, _)| (*index, *content)).collect();
    let layout = Layout::new(Geometry::new(size, cluster_bits, compression), &described)?;
    let mut writer = Writer::start(&layout, Vec::new())?;
    let of = |wanted: fn(&Content) -> bool| clusters.iter().filter(move |(_, content, _)| wanted(content));
    for (_, _, bytes) in of(|content| matches!(content, Content::Frame(_))) {
        writer.frame(&encode(compression, bytes)?)?;
    }
    for (_, _, bytes) in of(|content| matches!(content, Content::Plain)) {
        writer.plain(bytes)?;
    }
    let file = writer.finish()?;
    ensure!(u64::try_from(file.len())? == layout.file_size(), "the size foretold is the size written");
    fs_err::write(folder.path().join("out.qcow2"), &file)?;
    raw(&folder.path().join("want.raw"), size, cluster_bits, clusters)?;
    qemu_img(folder.path(), "check -f qcow2 out.qcow2")?;
    qemu_img(folder.path(), "compare -f qcow2 -F raw out.qcow2 want.raw")?;
    let info = qemu_img(folder.path(), "info -f qcow2 --output=json out.qcow2")?;
    ensure!(info.contains(&format!("\"virtual-size\": {size},")), "{info}");
    ensure!(info.contains(&format!("\"cluster-size\": {},", 1_u64 << cluster_bits)), "{info}");
    Ok(file)
}

fn raw(path: &Path, size: u64, cluster_bits: u32, clusters: &Clusters) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let file = fs_err::File::create(path)?;
    for (index, content, bytes) in clusters {
        if *content != Content::Zero {
            file.file().write_all_at(bytes, index << cluster_bits)?;
        }
    }
    file.set_len(size)?;
    Ok(())
}

fn encode(compression: Compression, bytes: &[u8]) -> Result<Vec<u8>> {
    match compression {
        Compression::Zstd => Ok(zstd::bulk::compress(bytes, 1)?),
        Compression::Deflate => {
            use std::io::Write;
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes)?;
            Ok(encoder.finish()?)
        }
    }
}

/// Random clusters of all kinds.
fn clusters(size: u64, cluster_bits: u32, compression: Compression, random: &mut Random) -> Result<Clusters> {
    let cluster = usize::try_from(1_u64 << cluster_bits)?;
    let mut all = Vec::new();
    for index in 0..size.div_ceil(1 << cluster_bits) {
        let mut bytes = random.bytes(cluster);
        let end = usize::try_from(size - (index << cluster_bits)).unwrap_or(cluster).min(cluster);
        bytes[end..].fill(0);
        let content = match random.below(6) {
            0 | 1 => continue,
            2 => Content::Zero,
            3 => Content::Plain,
            _ => {
                let length = encode(compression, &bytes)?.len();
                if length < cluster { Content::Frame(u32::try_from(length)?) } else { Content::Plain }
            }
        };
        all.push((index, content, bytes));
    }
    Ok(all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn qemu_reads_what_is_written(
        seed: u64,
        sectors in 1_u64..9_000,
        cluster_bits in prop::sample::select(vec![9_u32, 12, 16, 19, 21]),
        deflate: bool,
    ) {
        let compression = if deflate { Compression::Deflate } else { Compression::Zstd };
        let size = sectors * 512;
        let clusters = clusters(size, cluster_bits, compression, &mut Random(seed)).unwrap();
        let judged = judge(size, cluster_bits, compression, &clusters);
        prop_assert!(judged.is_ok(), "{:?}", judged.err());
    }
}

#[test]
fn a_sparse_volume_of_1_tib_costs_its_data() -> Result<()> {
    let mut random = Random(1);
    let mut clusters = Vec::new();
    for index in [0, 1, 70_000, 2_097_151] {
        let bytes = random.bytes(1 << 19);
        let length = encode(Compression::Zstd, &bytes)?.len();
        clusters.push((index, Content::Frame(u32::try_from(length)?), bytes));
    }
    let file = judge(1 << 40, 19, Compression::Zstd, &clusters)?;
    ensure!(file.len() < 6 << 20, "{} bytes", file.len());
    Ok(())
}

#[test]
fn an_empty_volume() -> Result<()> {
    judge(512, 19, Compression::Zstd, &Vec::new()).map(drop)
}

/// Any change here is a change of the bytes that exports have: the same snapshot must give the same file.
#[test]
fn the_bytes_are_pinned() -> Result<()> {
    let frame = encode(Compression::Zstd, &[7; 4096])?;
    let clusters = vec![
        (1, Content::Frame(u32::try_from(frame.len())?), vec![7; 4096]),
        (3, Content::Plain, vec![8; 4096]),
        (4, Content::Zero, Vec::new()),
    ];
    let file = judge(40_960, 12, Compression::Zstd, &clusters)?;
    let words = |at: usize, count: usize| -> Vec<String> {
        file[at..at + count * 8].chunks_exact(8).map(|word| format!("{:016x}", word_of(word))).collect()
    };
    ensure!(file.len() == 7 * 4096);
    // Refcount table, refcounts of seven clusters, L1, L2.
    ensure!(words(4096, 2) == ["0000000000002000", "0000000000000000"]);
    ensure!(words(8192, 2) == ["0001000100010001", "0001000100010000"]);
    ensure!(words(12_288, 1) == ["8000000000004000"]);
    let l2 =
        ["0000000000000000", "4000000000005000", "0000000000000000", "8000000000006000", "0000000000000001"];
    ensure!(words(16_384, 5) == l2, "{:?}", words(16_384, 5));
    Ok(())
}

fn word_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[test]
fn what_was_not_laid_out_is_refused() {
    let zstd = |size| Geometry::new(size, 16, Compression::Zstd);
    assert!(Layout::new(zstd(0), &[]).is_err());
    assert!(Layout::new(zstd(513), &[]).is_err());
    assert!(Layout::new(zstd(65_536), &[(1, Content::Plain)]).is_err(), "beyond the end");
    assert!(Layout::new(zstd(1 << 20), &[(1, Content::Plain), (1, Content::Plain)]).is_err(), "twice");
    assert!(Layout::new(zstd(1 << 20), &[(1, Content::Frame(65_536))]).is_err(), "a frame too long");
    let old = |compression| Geometry { version: Version::V2, ..Geometry::new(1 << 20, 16, compression) };
    assert!(Layout::new(old(Compression::Zstd), &[]).is_err(), "version 2 knows no zstd");
    assert!(Layout::new(old(Compression::Deflate), &[(1, Content::Zero)]).is_err(), "nor zeros");

    let layout = Layout::new(zstd(1 << 20), &[(1, Content::Frame(100)), (2, Content::Plain)]).unwrap();
    let mut writer = Writer::start(&layout, Vec::new()).unwrap();
    assert!(writer.frame(&[0; 99]).is_err(), "another length");
    assert!(writer.plain(&[0; 65_536]).is_err(), "before the frames");
    writer.frame(&[0; 100]).unwrap();
    assert!(writer.frame(&[0; 100]).is_err(), "one too many");
    assert!(writer.finish().is_err(), "the plain cluster is missing");

    let mut open = OpenLayout::new(zstd(1 << 20), [1].into_iter()).unwrap();
    for cluster in 2..9 {
        open.plain(cluster);
    }
    assert!(open.close().is_ok(), "a table's refcounts have room for more");
    let mut open = OpenLayout::new(zstd(1 << 40), [1].into_iter()).unwrap();
    for table in 0..3 {
        open.plain(table << 13);
    }
    assert!(open.close().is_err(), "tables that were not foretold");
}

#[test]
fn frames_that_overflow_a_refcount_are_refused() {
    let tiny: Vec<_> = (0..70_000).map(|index| (index, Content::Frame(20))).collect();
    let layout = Layout::new(Geometry::new(70_000 << 21, 21, Compression::Zstd), &tiny).unwrap();
    assert!(Writer::start(&layout, Vec::new()).is_err());
}

/// Writes clusters as they come, and lets QEMU judge the file.
fn judge_open(geometry: &Geometry, clusters: &Clusters) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut open = OpenLayout::new(geometry.clone(), clusters.iter().map(|(index, ..)| *index))?;
    let mut file = Vec::new();
    let mut put = |offset: u64, bytes: &[u8]| -> Result<()> {
        let at = usize::try_from(offset)?;
        file.resize(file.len().max(at + bytes.len()), 0);
        file[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    };
    for (index, content, bytes) in clusters {
        match content {
            Content::Frame(length) => {
                put(open.frame(*index, *length), &encode(geometry.compression, bytes)?)?;
            }
            Content::Plain => put(open.plain(*index), bytes)?,
            Content::Zero => open.zero(*index),
        }
    }
    let layout = open.close()?;
    let mut tables = Vec::new();
    layout.write_tables(&mut tables)?;
    put(0, &tables)?;
    ensure!(u64::try_from(file.len())? <= layout.file_size());
    file.resize(usize::try_from(layout.file_size())?, 0);
    fs_err::write(folder.path().join("out.qcow2"), &file)?;
    raw(&folder.path().join("want.raw"), geometry.size, geometry.cluster_bits, clusters)?;
    let said = qemu_img(folder.path(), "check -f qcow2 out.qcow2")?;
    ensure!(!said.contains("leaked"), "{said}");
    qemu_img(folder.path(), "compare -f qcow2 -F raw out.qcow2 want.raw").map(drop)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn qemu_reads_what_is_laid_out_while_it_comes(
        seed: u64,
        sectors in 1_u64..9_000,
        cluster_bits in prop::sample::select(vec![12_u32, 16, 19, 21]),
        old: bool,
    ) {
        let compression = if old { Compression::Deflate } else { Compression::Zstd };
        let mut geometry = Geometry::new(sectors * 512, cluster_bits, compression);
        let mut clusters = clusters(geometry.size, cluster_bits, compression, &mut Random(seed)).unwrap();
        if old {
            geometry.version = Version::V2;
            clusters.retain(|(_, content, _)| *content != Content::Zero);
        }
        let judged = judge_open(&geometry, &clusters);
        prop_assert!(judged.is_ok(), "{:?}", judged.err());
    }
}

#[test]
fn an_overlay_names_its_backing_file_and_its_format() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs_err::write(folder.path().join("base, one.raw"), [5; 8192])?;
    for version in [Version::V2, Version::V3] {
        let backing = Backing { name: "base, one.raw".to_owned(), format: crate::Format::Raw };
        let geometry =
            Geometry { version, backing: Some(backing), ..Geometry::new(12_288, 12, Compression::Deflate) };
        let layout = Layout::new(geometry, &[(1, Content::Plain)])?;
        let mut writer = Writer::start(&layout, Vec::new())?;
        writer.plain(&[6; 4096])?;
        fs_err::write(folder.path().join("top.qcow2"), writer.finish()?)?;
        fs_err::write(folder.path().join("want.raw"), [[5; 4096], [6; 4096], [0; 4096]].concat())?;
        qemu_img(folder.path(), "check -f qcow2 top.qcow2")?;
        qemu_img(folder.path(), "compare -f qcow2 -F raw top.qcow2 want.raw")?;
        let info = qemu_img(folder.path(), "info -f qcow2 --output=json top.qcow2")?;
        ensure!(info.contains("\"backing-filename-format\": \"raw\""), "{info}");
    }
    Ok(())
}
