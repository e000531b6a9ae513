//! Images that QEMU made and images that nobody should make, at the gate.

use super::*;
use crate::{
    Refusal, detect,
    oracle::{content, qemu_img},
};
use anyhow::{Context, Result, bail, ensure};
use proptest::prelude::*;
use std::{os::unix::fs::FileExt, path::PathBuf, process::Command, sync::LazyLock, time::Instant};

const SIZE: u64 = (6 << 20) + 512 * 3;

/// Images of every kind that is accepted: name, format, how `qemu-img` makes it of `disk.raw`.
const SOUND: [(&str, Format, &str); 16] = [
    ("v3", Format::Qcow2, "-O qcow2"),
    ("v2", Format::Qcow2, "-O qcow2 -o compat=0.10"),
    ("c512", Format::Qcow2, "-O qcow2 -o cluster_size=512"),
    ("c4k", Format::Qcow2, "-O qcow2 -o cluster_size=4k"),
    ("c2M", Format::Qcow2, "-O qcow2 -o cluster_size=2M"),
    ("zstd", Format::Qcow2, "-O qcow2 -c -o compression_type=zstd"),
    ("extl2", Format::Qcow2, "-O qcow2 -o extended_l2=on"),
    ("refcount1", Format::Qcow2, "-O qcow2 -o refcount_bits=1"),
    ("lazy", Format::Qcow2, "-O qcow2 -o lazy_refcounts=on"),
    ("sparse.vmdk", Format::Vmdk, "-O vmdk"),
    ("stream.vmdk", Format::Vmdk, "-O vmdk -o subformat=streamOptimized"),
    ("dynamic.vhd", Format::Vhd, "-O vpc -o force_size=on"),
    ("fixed.vhd", Format::Vhd, "-O vpc -o subformat=fixed,force_size=on"),
    ("chs.vhd", Format::Vhd, "-O vpc"),
    ("dynamic.vhdx", Format::Vhdx, "-O vhdx"),
    ("fixed.vhdx", Format::Vhdx, "-O vhdx -o subformat=fixed"),
];

/// The sound images, made once a test process.
static IMAGES: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    content(&folder.path().join("disk.raw"), SIZE, 7).unwrap();
    for (name, _, options) in SOUND {
        qemu_img(folder.path(), &format!("convert -f raw {options} disk.raw {name}")).unwrap();
    }
    folder
});

/// A folder whose images a test may change.
struct Images(tempfile::TempDir);

impl Images {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        content(&folder.path().join("disk.raw"), SIZE, 7)?;
        Ok(Self(folder))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn make(&self, line: &str) -> Result<&Self> {
        qemu_img(self.0.path(), line).map(|_| self)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<&Self> {
        fs_err::write(self.path(name), bytes)?;
        Ok(self)
    }

    fn patch(&self, name: &str, at: u64, bytes: &[u8]) -> Result<&Self> {
        let file = fs_err::OpenOptions::new().write(true).open(self.path(name))?;
        file.file().write_all_at(bytes, at)?;
        Ok(self)
    }

    /// Replaces a text by one of the same length.
    fn replace(&self, name: &str, old: &str, new: &str) -> Result<&Self> {
        let bytes = fs_err::read(self.path(name))?;
        let at = bytes.windows(old.len()).position(|window| window == old.as_bytes()).context("the text")?;
        ensure!(old.len() == new.len());
        self.patch(name, u64::try_from(at)?, new.as_bytes())
    }

    /// Expects the image to be detected as the format and refused.
    fn refused(&self, name: &str, format: Format) -> Result<Refusal> {
        let detected = detect(&self.path(name))?;
        ensure!(detected == format, "{name} was taken for {detected}");
        match gate(&self.path(name), format) {
            Err(Error::Refused { reason, .. }) => Ok(reason),
            other => bail!("{name} was not refused: {other:?}"),
        }
    }

    fn malformed(&self, name: &str, format: Format) -> Result<String> {
        match gate(&self.path(name), format) {
            Err(Error::Malformed { why, .. }) => Ok(why),
            other => bail!("{name} was not found malformed: {other:?}"),
        }
    }
}

#[test]
fn sound_images_pass_with_the_size_that_qemu_sees() -> Result<()> {
    for (name, format, _) in SOUND {
        let path = IMAGES.path().join(name);
        ensure!(detect(&path)? == format, "{name}");
        let info = gate(&path, format).context(name)?;
        let theirs =
            qemu_img(IMAGES.path(), &format!("info -f {} --output=json {name}", format.qemu_name()))?;
        let wanted = format!("\"virtual-size\": {},", info.virtual_size);
        ensure!(theirs.contains(&wanted), "{name}: {wanted} is not in {theirs}");
    }
    let raw = gate(&IMAGES.path().join("disk.raw"), Format::Raw)?;
    ensure!(raw.virtual_size == SIZE);
    Ok(())
}

#[test]
fn qcow2_that_names_other_files_or_needs_keys() -> Result<()> {
    let images = Images::new()?;
    images.make("create -q -f qcow2 -b disk.raw -F raw backed")?;
    ensure!(
        matches!(images.refused("backed", Format::Qcow2)?, Refusal::Backing(name) if name.contains("disk.raw"))
    );
    images.make("create -q -f qcow2 -o data_file=data.raw data 1M")?;
    ensure!(images.refused("data", Format::Qcow2)? == Refusal::DataFile);
    let secret =
        "--object secret,id=s,data=x -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";
    images.make(&format!("create -q -f qcow2 {secret} luks 1M"))?;
    ensure!(images.refused("luks", Format::Qcow2)? == Refusal::Encrypted("LUKS"));
    images.make("create -q -f qcow2 plain 1M")?.patch("plain", 32, &1_u32.to_be_bytes())?;
    ensure!(images.refused("plain", Format::Qcow2)? == Refusal::Encrypted("AES"));
    // The name alone, without the bit.
    images.make("create -q -f qcow2 named 1M")?.patch("named", 112, b"DATA\0\0\0\x0b/etc/passwd")?;
    ensure!(images.refused("named", Format::Qcow2)? == Refusal::DataFile);
    Ok(())
}

#[test]
fn qcow2_marks_and_feature_bits() -> Result<()> {
    let images = Images::new()?;
    images.make("create -q -f qcow2 a 1M")?;
    images.patch("a", 72, &1_u64.to_be_bytes())?;
    gate(&images.path("a"), Format::Qcow2).context("dirty is read, refcounts are not needed")?;
    images.patch("a", 72, &2_u64.to_be_bytes())?;
    ensure!(images.refused("a", Format::Qcow2)? == Refusal::Corrupt);
    images.patch("a", 72, &0x8000_0000_0000_0020_u64.to_be_bytes())?;
    ensure!(images.refused("a", Format::Qcow2)? == Refusal::Features(0x8000_0000_0000_0020));
    images.patch("a", 72, &8_u64.to_be_bytes())?;
    ensure!(images.malformed("a", Format::Qcow2)?.contains("compression type 0"));
    Ok(())
}

#[test]
fn qcow2_numbers_out_of_range() -> Result<()> {
    let images = Images::new()?;
    let cases: [(u64, &[u8], &str); 23] = [
        (4, &1_u32.to_be_bytes(), "version 1"),
        (20, &8_u32.to_be_bytes(), "cluster_bits is 8"),
        (20, &22_u32.to_be_bytes(), "cluster_bits is 22"),
        (20, &u32::MAX.to_be_bytes(), "cluster_bits is 4294967295"),
        (24, &u64::MAX.to_be_bytes(), "64 TiB"),
        (24, &(1_u64 << 45).to_be_bytes(), "L1 table has 1 entries and needs"),
        (24, &1025_u64.to_be_bytes(), "whole sectors"),
        (36, &u32::MAX.to_be_bytes(), "L1 table has 4294967295 entries"),
        (36, &0_u32.to_be_bytes(), "L1 table has 0 entries"),
        (40, &0x1234_u64.to_be_bytes(), "does not begin at a cluster"),
        (40, &(u64::MAX << 16).to_be_bytes(), "outside the file"),
        (56, &u32::MAX.to_be_bytes(), "refcount table has"),
        (96, &7_u32.to_be_bytes(), "refcount_order 7"),
        (100, &u32::MAX.to_be_bytes(), "header's length"),
        (8, b"\0\0\x01\0\0\0\0\0\0\0\0\x05", "the backing file's name at byte 1099511627776 (5 bytes)"),
        (32, &3_u32.to_be_bytes(), "encryption method 3"),
        (48, &0x1234_u64.to_be_bytes(), "the refcount table at byte 4660 does not begin at a cluster"),
        (48, &(u64::MAX << 16).to_be_bytes(), "outside the file"),
        (56, &0_u32.to_be_bytes(), "refcount table has 0"),
        (60, &u32::MAX.to_be_bytes(), "4294967295 internal snapshots"),
        (60, b"\0\0\0\x01\0\0\0\0\0\0\x12\x34", "the snapshot table at byte 4660"),
        (104, &[1], "compression type 1"),
        (112, b"\x12\x34\x56\x78\xff\xff\xff\xff", "the header extension at byte 112"),
    ];
    for (at, bytes, why) in cases {
        images.make("create -q -f qcow2 a 1M")?.patch("a", at, bytes)?;
        let said = images.malformed("a", Format::Qcow2)?;
        ensure!(said.contains(why), "byte {at}: {said:?} and not {why:?}");
    }
    Ok(())
}

#[test]
fn vmdk_that_names_other_files() -> Result<()> {
    let images = Images::new()?;
    // What `qemu-img convert` happily follows.
    let text = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\
                RW 8 FLAT \"/etc/passwd\" 0\n";
    images.write("text", text)?;
    ensure!(images.refused("text", Format::Vmdk)? == Refusal::Descriptor);
    images.make("convert -f raw -O vmdk -o subformat=monolithicFlat disk.raw flat.vmdk")?;
    ensure!(images.refused("flat.vmdk", Format::Vmdk)? == Refusal::Descriptor);
    images.make("convert -f raw -O vmdk -o subformat=twoGbMaxExtentSparse disk.raw two.vmdk")?;
    ensure!(images.refused("two.vmdk", Format::Vmdk)? == Refusal::Descriptor);
    ensure!(matches!(images.refused("two-s001.vmdk", Format::Vmdk)?, Refusal::Part(_)));

    // An embedded descriptor that counts, since the extent says it has no capacity.
    images.make("convert -f raw -O vmdk disk.raw a")?.patch("a", 12, &[0; 8])?;
    ensure!(images.refused("a", Format::Vmdk)? == Refusal::Descriptor);
    images.make("convert -f raw -O vmdk disk.raw a")?.replace("a", " SPARSE ", " VMFS   ")?;
    ensure!(matches!(images.refused("a", Format::Vmdk)?, Refusal::Part(_)));
    images.make("convert -f raw -O vmdk disk.raw a")?.replace(
        "a",
        "monolithicSparse",
        "monolithicFlat\"\n",
    )?;
    ensure!(matches!(images.refused("a", Format::Vmdk)?, Refusal::Part(_)));
    Ok(())
}

#[test]
fn vmdk_with_a_parent() -> Result<()> {
    let images = Images::new()?;
    images.make("convert -f raw -O vmdk disk.raw base.vmdk")?;
    images.make("create -q -f vmdk -b base.vmdk -F vmdk child.vmdk")?;
    ensure!(matches!(images.refused("child.vmdk", Format::Vmdk)?, Refusal::Parent(_)));
    images.make("convert -f raw -O vmdk disk.raw a")?.replace(
        "a",
        "parentCID=ffffffff",
        "parentCID=12345678",
    )?;
    ensure!(images.refused("a", Format::Vmdk)? == Refusal::Parent("parentCID"));
    // QEMU looks at byte 512, wherever the header says that the descriptor is.
    images.make("convert -f raw -O vmdk disk.raw a")?;
    let descriptor = fs_err::read(images.path("a"))?[512..512 + 20 * 512].to_vec();
    let end = fs_err::metadata(images.path("a"))?.len().next_multiple_of(512);
    images.patch("a", end, &descriptor)?.patch("a", 28, &(end / 512).to_le_bytes())?;
    gate(&images.path("a"), Format::Vmdk).context("a descriptor elsewhere")?;
    images.patch("a", 512, b"parentFileNameHint=\"/etc/passwd\"\n\0")?;
    ensure!(images.refused("a", Format::Vmdk)? == Refusal::Parent("parentFileNameHint"));
    Ok(())
}

#[test]
fn the_footer_of_a_streamed_vmdk_counts() -> Result<()> {
    let images = Images::new()?;
    // VMware writes the grain directory's place into a footer; QEMU reads that and never writes it.
    images.make("convert -f raw -O vmdk -o subformat=streamOptimized disk.raw a")?;
    let mut bytes = fs_err::read(images.path("a"))?;
    bytes.resize(bytes.len().next_multiple_of(512) + 512, 0);
    let marker = bytes.len() - 512;
    bytes[marker] = 1;
    bytes[marker + 12] = 3;
    bytes.extend_from_within(..512);
    bytes.extend_from_slice(&[0; 512]);
    bytes[56..64].fill(0xff);
    images.write("a", &bytes)?;
    let info = gate(&images.path("a"), Format::Vmdk)?;
    ensure!(info.virtual_size == SIZE);
    images.make("compare -f vmdk -F raw a disk.raw").context("QEMU reads the footer, too")?;
    let footer = u64::try_from(bytes.len())? - 1024;
    images.patch("a", footer + 12, &[0; 8])?;
    ensure!(images.refused("a", Format::Vmdk)? == Refusal::Descriptor);
    images.patch("a", footer + 12, &u64::MAX.to_le_bytes())?;
    ensure!(images.malformed("a", Format::Vmdk)?.contains("64 TiB"));
    Ok(())
}

#[test]
fn vhd_and_vhdx_with_parents() -> Result<()> {
    let images = Images::new()?;
    images.make("convert -f raw -O vpc disk.raw a.vhd")?;
    images.patch("a.vhd", 63, &[4])?;
    ensure!(images.malformed("a.vhd", Format::Vhd)?.contains("checksum"));
    let footer = fs_err::read(images.path("a.vhd"))?[..512].to_vec();
    let others = footer.iter().enumerate().filter(|(i, _)| !(64..68).contains(i));
    let sum = !others.map(|(_, byte)| u32::from(*byte)).sum::<u32>();
    images.patch("a.vhd", 64, &sum.to_be_bytes())?;
    ensure!(matches!(images.refused("a.vhd", Format::Vhd)?, Refusal::Parent(_)));
    images.make("convert -f raw -O vpc disk.raw a.vhd")?.patch("a.vhd", 512 + 576, b"W2ku")?;
    ensure!(images.refused("a.vhd", Format::Vhd)? == Refusal::Parent("parent locator"));

    images.make("convert -f raw -O vhdx disk.raw a.vhdx")?;
    let bytes = fs_err::read(images.path("a.vhdx"))?;
    let table = bytes.windows(8).position(|window| window == b"metadata").context("metadata")?;
    let parameters = u32::from_le_bytes(bytes[table + 32 + 16..table + 32 + 20].try_into()?);
    images.patch("a.vhdx", u64::try_from(table)? + u64::from(parameters) + 4, &[2])?;
    ensure!(images.refused("a.vhdx", Format::Vhdx)? == Refusal::Parent("the has-parent flag"));
    images.make("convert -f raw -O vhdx disk.raw a.vhdx")?;
    let locator: [u8; 16] =
        [0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c];
    images.patch("a.vhdx", u64::try_from(table)? + 32 + 32 * 4, &locator)?;
    ensure!(images.refused("a.vhdx", Format::Vhdx)? == Refusal::Parent("parent locator"));
    Ok(())
}

#[test]
fn what_is_not_a_file_is_refused_without_waiting() -> Result<()> {
    let images = Images::new()?;
    ensure!(Command::new("mkfifo").arg(images.path("fifo")).status()?.success());
    let begun = Instant::now();
    for (path, what) in [
        (images.path("fifo"), "a FIFO"),
        (images.path(""), "a folder"),
        (PathBuf::from("/dev/null"), "a character device"),
    ] {
        for result in [detect(&path).map(drop), gate(&path, Format::Raw).map(drop)] {
            ensure!(matches!(&result, Err(Error::NotAFile { kind, .. }) if *kind == what), "{result:?}");
        }
    }
    ensure!(begun.elapsed().as_secs() < 5);
    ensure!(matches!(detect(&images.path("missing")), Err(Error::Io(_))));
    Ok(())
}

#[test]
fn packed_and_empty_files() -> Result<()> {
    let images = Images::new()?;
    images.write("a.xz", b"\xfd7zXZ\0rest")?.write("a.gz", b"\x1f\x8b\x08rest")?.write("empty", b"")?;
    let packed = detect(&images.path("a.xz")).unwrap_err();
    ensure!(packed.hint().is_some_and(|hint| hint.starts_with("xz -dk '")), "{packed}");
    ensure!(detect(&images.path("a.gz")).is_err());
    ensure!(detect(&images.path("empty"))? == Format::Raw);
    ensure!(images.malformed("empty", Format::Raw)?.contains("empty"));
    for format in Format::ALL {
        ensure!(gate(&images.path("empty"), format).is_err(), "{format}");
    }
    Ok(())
}

/// Damage: bytes put at places of the headers and tables that the gate reads.
fn damage() -> impl Strategy<Value = Vec<(usize, u8)>> {
    let place = prop_oneof![0_usize..128, 0_usize..2048, 0_usize..(1 << 20), (3_usize << 20)..(4 << 20)];
    let byte = prop_oneof![Just(0_u8), Just(0xff), Just(0x80), any::<u8>()];
    prop::collection::vec((place, byte), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Never a panic, never a hang, and nothing is accepted that is larger than a volume may be.
    #[test]
    fn damaged_images_are_answered(
        which in 0..SOUND.len(),
        damage in damage(),
        from_the_end: bool,
        cut in prop::option::weighted(0.2, 0_usize..4096),
    ) {
        let (name, format, _) = SOUND[which];
        let mut bytes = fs_err::read(IMAGES.path().join(name)).unwrap();
        let length = bytes.len();
        for (place, byte) in damage {
            let at = place % length;
            bytes[if from_the_end { length - 1 - at } else { at }] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut % length);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), &bytes).unwrap();
        let begun = Instant::now();
        if let Ok(info) = gate(file.path(), format) {
            prop_assert!(info.virtual_size <= LARGEST_VOLUME);
        }
        drop(detect(file.path()));
        prop_assert!(begun.elapsed().as_secs() < 5);
    }
}
