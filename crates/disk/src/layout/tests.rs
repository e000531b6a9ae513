//! Tables made by sfdisk, file systems made by mkfs, and damage.

use super::*;
use proptest::prelude::*;
use std::{
    io::{Seek, SeekFrom, Write},
    path::Path,
    process::{Command, Stdio},
};

type Result<T = ()> = anyhow::Result<T>;

fn disk(script: &str) -> Result<tempfile::NamedTempFile> {
    // A name that ends in a digit would have sfdisk put a `p` behind it.
    let file = tempfile::NamedTempFile::with_suffix(".raw-")?;
    file.as_file().set_len(64 << 20)?;
    let mut sfdisk = Command::new("/usr/sbin/sfdisk");
    sfdisk.arg("-q").arg(file.path()).stdin(Stdio::piped());
    let mut child = sfdisk.spawn()?;
    child.stdin.take().map(|mut stdin| stdin.write_all(script.as_bytes())).transpose()?;
    anyhow::ensure!(child.wait()?.success());
    Ok(file)
}

fn mke2fs(file: &Path, offset: u64, label: &str, uuid: &str) -> Result {
    let mut mke2fs = Command::new("/usr/sbin/mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-L", label, "-U", uuid, "-E", &format!("offset={offset}")]);
    anyhow::ensure!(mke2fs.arg(file).arg("8M").status()?.success());
    Ok(())
}

const UUID: &str = "8f6f2c1e-5a5c-4b9e-9d0c-0123456789ab";

#[test]
fn gpt() -> Result {
    let file = disk(
        "label: gpt\nsize=1M, type=21686148-6449-6E6F-744E-656564454649\n\
         size=16M, name=data, uuid=11111111-2222-3333-4444-555555555555\n",
    )?;
    mke2fs(file.path(), 2 << 20, "data", UUID)?;
    let layout = inspect(file.path())?;
    assert_eq!((layout.table, layout.size, layout.partitions.len()), (Table::Gpt, 64 << 20, 2));
    assert_eq!(layout.partitions[0].kind, "21686148-6449-6e6f-744e-656564454649");
    assert_eq!(
        layout.partitions[1],
        Partition {
            number: Some(2),
            offset: 2 << 20,
            size: 16 << 20,
            kind: "0fc63daf-8483-4772-8e79-3d69d8477de4".to_owned(),
            filesystem: Some(FileSystem::Ext4),
            uuid: Some(UUID.to_owned()),
            label: Some("data".to_owned()),
            partuuid: Some("11111111-2222-3333-4444-555555555555".to_owned()),
            partlabel: Some("data".to_owned()),
        }
    );
    Ok(())
}

#[test]
fn mbr_with_logical_partitions() -> Result {
    let file = disk(
        "label: dos\nlabel-id: 0xdeadbeef\nd1 : size=8M, type=83\nd2 : size=40M, type=5\nd5 : size=8M, type=83\nd6 : size=8M, type=82\n",
    )?;
    mke2fs(file.path(), 10 << 20, "logical", UUID)?;
    let layout = inspect(file.path())?;
    assert_eq!(layout.table, Table::Mbr);
    let numbers: Vec<_> = layout.partitions.iter().map(|partition| partition.number).collect();
    assert_eq!(numbers, [Some(1), Some(5), Some(6)], "{layout:?}");
    let dump = Command::new("/usr/sbin/sfdisk").arg("-d").arg(file.path()).output()?;
    let dump = String::from_utf8(dump.stdout)?;
    for partition in &layout.partitions {
        let number = partition.number.unwrap_or_default();
        let line = dump.lines().find(|line| line.contains(&format!("{}{number} :", file.path().display())));
        let expected =
            format!("start={:>12}, size={:>12}", partition.offset / SECTOR, partition.size / SECTOR);
        assert!(line.is_some_and(|line| line.contains(&expected)), "{expected} in {dump}");
    }
    assert_eq!(layout.partitions[1].partuuid.as_deref(), Some("deadbeef-05"));
    assert_eq!(layout.partitions[1].label.as_deref(), Some("logical"));
    Ok(())
}

#[test]
fn whole_disks() -> Result {
    let file = tempfile::NamedTempFile::new()?;
    file.as_file().set_len(64 << 20)?;
    mke2fs(file.path(), 0, "whole", UUID)?;
    let layout = inspect(file.path())?;
    assert_eq!(layout.table, Table::WholeDisk);
    assert_eq!(layout.partitions[0].filesystem, Some(FileSystem::Ext4));
    assert_eq!((layout.partitions[0].device(), layout.partitions[0].size), ("vda".to_owned(), 64 << 20));

    let mut fat = tempfile::NamedTempFile::new()?;
    fat.as_file().set_len(8 << 20)?;
    let options = fatfs::FormatVolumeOptions::new().volume_id(0x1234_abcd).volume_label(*b"KILN       ");
    fatfs::format_volume(fat.as_file_mut(), options)?;
    let layout = inspect(fat.path())?;
    let partition = &layout.partitions[0];
    assert_eq!((layout.table, partition.filesystem), (Table::WholeDisk, Some(FileSystem::Vfat)));
    assert_eq!((partition.uuid.as_deref(), partition.label.as_deref()), (Some("1234-ABCD"), Some("KILN")));
    Ok(())
}

#[test]
fn damage_is_an_error() -> Result {
    let mut file = disk("label: gpt\nsize=1M\n")?;
    // The header asks for four thousand million entries.
    file.seek(SeekFrom::Start(512 + 80))?;
    file.write_all(&u32::MAX.to_le_bytes())?;
    assert!(matches!(inspect(file.path()), Err(Error::Table { table: "GPT", .. })));

    let mut file = disk("label: dos\nsize=8M, type=5\n")?;
    // The extended partition's first sector says that the next one is itself.
    file.seek(SeekFrom::Start((1 << 20) + 462))?;
    file.write_all(&[0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0])?;
    file.seek(SeekFrom::Start((1 << 20) + 512 + 462))?;
    file.write_all(&[0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0])?;
    file.seek(SeekFrom::Start((1 << 20) + 512 + 510))?;
    file.write_all(&[0x55, 0xaa])?;
    file.seek(SeekFrom::Start((1 << 20) + 510))?;
    file.write_all(&[0x55, 0xaa])?;
    let result = inspect(file.path());
    assert!(matches!(result, Err(Error::Table { table: "MBR", .. })), "{result:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096), gpt: bool, mbr: bool) {
        let mut bytes = bytes;
        if bytes.len() > 600 {
            if gpt { bytes[512..520].copy_from_slice(b"EFI PART"); }
            if mbr { bytes[510..512].copy_from_slice(&[0x55, 0xaa]); }
        }
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(&bytes)?;
        if let Err(error) = inspect(file.path()) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
