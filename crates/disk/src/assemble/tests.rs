//! Disks checked by sfdisk, by our own reader and by a second look into the FAT.

use super::*;
use crate::{FileSystem, Table, inspect, region::Region};
use std::{io::Read, process::Command};

type Result<T = ()> = anyhow::Result<T>;

const FSCK_FAT: &str = "/usr/sbin/fsck.fat";

fn images(architecture: Architecture) -> BootImages {
    let bios = (architecture != Architecture::Arm64).then(bios_images);
    BootImages { architecture, bios, efi: Some(b"MZ efi".to_vec()) }
}

fn bios_images() -> BiosImages {
    BiosImages { boot: vec![1; 512], core: vec![2; 30_000] }
}

#[test]
fn a_gpt_disk_passes_sfdisk() -> Result {
    let file = tempfile::NamedTempFile::new()?;
    file.as_file().set_len(256 * MIB)?;
    let geometry = Geometry::new(256 * MIB + 5, 100 * MIB)?;
    make_bootable(file.path(), &geometry, &images(Architecture::X86_64), 0xcafe_0001)?;

    let verify = Command::new("/usr/sbin/sfdisk").arg("--verify").arg(file.path()).output()?;
    let said = String::from_utf8(verify.stdout)? + &String::from_utf8(verify.stderr)?;
    assert!(verify.status.success() && said.contains("No errors detected"), "{said}");
    let dump = Command::new("/usr/sbin/sfdisk").arg("-d").arg(file.path()).output()?;
    let dump = String::from_utf8(dump.stdout)?;
    for expected in [
        "start=        2048, size=        2048, type=21686148-6449-6E6F-744E-656564454649",
        "start=        4096, size=      126976, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
        "start=      131072, size=      391168, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    ] {
        assert!(dump.contains(expected), "{dump}");
    }

    let layout = inspect(file.path())?;
    assert_eq!((layout.table, layout.partitions.len()), (Table::Gpt, 3));
    let esp = &layout.partitions[1];
    assert_eq!((esp.filesystem, esp.uuid.as_deref()), (Some(FileSystem::Vfat), Some("CAFE-0001")));
    let mut bytes = vec![0; usize::try_from(esp.size)?];
    Region::open(&file.path().into())?.read_at(esp.offset, &mut bytes)?;
    let folders = bytes.as_chunks::<512>().0.iter().filter(|sector| sector.starts_with(b".          \x10"));
    assert!(folders.clone().all(|sector| sector[32..].starts_with(b"..         \x10")));
    assert_eq!(folders.count(), 2, "EFI and EFI/BOOT start with themselves and their parents");
    // From the package dosfstools; what it looks at first is checked above as well.
    if Path::new(FSCK_FAT).exists() {
        let volume = tempfile::NamedTempFile::new()?;
        fs_err::write(volume.path(), &bytes)?;
        let check = Command::new(FSCK_FAT).arg("-n").arg(volume.path()).output()?;
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    }
    let fat = fatfs::FileSystem::new(std::io::Cursor::new(bytes), fatfs::FsOptions::new())?;
    assert_eq!(fat.fat_type(), fatfs::FatType::Fat32);
    let mut content = String::new();
    fat.root_dir().open_file("EFI/BOOT/BOOTX64.EFI")?.read_to_string(&mut content)?;
    assert_eq!(content, "MZ efi");
    Ok(())
}

#[test]
fn an_mbr_disk_passes_sfdisk() -> Result {
    let file = tempfile::NamedTempFile::new()?;
    file.as_file().set_len(64 * MIB)?;
    make_bootable_mbr(file.path(), Extent { offset: MIB, size: 63 * MIB }, &bios_images())?;
    let dump = Command::new("/usr/sbin/sfdisk").arg("-d").arg(file.path()).output()?;
    let dump = String::from_utf8(dump.stdout)?;
    assert!(dump.contains("start=        2048, size=      129024, type=83, bootable"), "{dump}");
    assert_eq!(inspect(file.path())?.table, Table::Mbr);
    Ok(())
}

#[test]
fn small_disks_are_refused() {
    let result = Geometry::new(100 * MIB, 512 * MIB);
    assert!(matches!(result, Err(Error::TooSmall { needed, .. }) if needed == 577 * MIB), "{result:?}");
}

#[test]
fn each_architecture_has_its_own_names() -> Result {
    for (architecture, bios, root_type, file) in [
        (Architecture::I386, true, "44479540-f297-41b2-9af7-d131d5f0458a", "EFI/BOOT/BOOTIA32.EFI"),
        (Architecture::Arm64, false, "b921b045-1df0-41c3-af44-4c6f280d3fae", "EFI/BOOT/BOOTAA64.EFI"),
    ] {
        let disk = tempfile::NamedTempFile::new()?;
        disk.as_file().set_len(256 * MIB)?;
        make_bootable(disk.path(), &Geometry::new(256 * MIB, 0)?, &images(architecture), 1)?;
        let layout = inspect(disk.path())?;
        let kinds: Vec<_> = layout.partitions.iter().map(|partition| partition.kind.as_str()).collect();
        let bios_boot = bios.then_some("21686148-6449-6e6f-744e-656564454649");
        let expected = bios_boot.into_iter().chain(["c12a7328-f81f-11d2-ba4b-00a0c93ec93b", root_type]);
        assert_eq!(kinds, expected.collect::<Vec<_>>(), "{architecture}");
        let esp = &layout.partitions[kinds.len() - 2];
        let place = Place::Fat { disk: disk.path().into(), offset: esp.offset, size: esp.size };
        assert_eq!(place.open()?.read(file, 100)?.as_deref(), Some(&b"MZ efi"[..]));
        let boot_code = Region::open(&disk.path().into())?.peek::<8>(0)?;
        assert_eq!(boot_code == [1; 8], bios, "{architecture}");
    }
    Ok(())
}
