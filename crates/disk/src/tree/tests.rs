//! FATs filled by mcopy, initrds made by cpio and packed by each program, and damage.

use super::*;
use proptest::prelude::*;
use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
};

type Result<T = ()> = anyhow::Result<T>;

fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output()?;
    anyhow::ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// Makes files of these names, each with its name for content and the long ones with more of it.
fn files(folder: &Path, names: &[&str]) -> Result {
    for name in names {
        let path = folder.join(name);
        fs_err::create_dir_all(path.parent().unwrap_or(folder))?;
        fs_err::write(path, name.repeat(if name.contains("long") { 5000 } else { 1 }))?;
    }
    Ok(())
}

/// A FAT of this many MiB and bits with a few files.
fn fat(bits: &str, mib: u64) -> Result<tempfile::NamedTempFile> {
    let folder = tempfile::tempdir()?;
    files(folder.path(), &["vmlinuz-6.1.0-9-with-a-long-name", "EFI/BOOT/BOOTX64.EFI"])?;
    let file = tempfile::NamedTempFile::new()?;
    file.as_file().set_len(mib << 20)?;
    run(Command::new("/usr/sbin/mkfs.fat").args(["-F", bits, "-s", "1"]).arg(file.path()))?;
    let copied = ["vmlinuz-6.1.0-9-with-a-long-name", "EFI"].map(|name| folder.path().join(name));
    run(Command::new("mcopy").arg("-s").arg("-i").arg(file.path()).args(copied).arg("::"))?;
    Ok(file)
}

#[test]
fn each_kind_of_fat_is_read() -> Result {
    for (bits, mib) in [("12", 1), ("16", 8), ("32", 40)] {
        let file = fat(bits, mib)?;
        let place = Place::Fat { disk: file.path().into(), offset: 0, size: mib << 20 };
        let tree = place.open()?;
        let mut names = tree.list("/")?;
        names.sort();
        assert_eq!(names, ["EFI", "vmlinuz-6.1.0-9-with-a-long-name"], "FAT{bits}");
        let kernel = tree.need("/vmlinuz-6.1.0-9-with-a-long-name", 1 << 20)?;
        assert!(kernel == b"vmlinuz-6.1.0-9-with-a-long-name".repeat(5000));
        assert_eq!(tree.read("/efi/boot/bootx64.efi", 100)?.as_deref(), Some(&b"EFI/BOOT/BOOTX64.EFI"[..]));
        assert!(tree.has("/EFI/BOOT") && tree.has("/EFI/BOOT/BOOTX64.EFI") && !tree.has("/EFI/x"));
        assert_eq!(tree.read("/absent", 100)?, None);
        assert_eq!(tree.read("/vmlinuz-6.1.0-9-with-a-long-name/below", 100)?, None);
        assert!(tree.list("/absent/folder")?.is_empty());
    }
    Ok(())
}

/// Packs the files of a folder with cpio, as `find . | cpio -o -H newc` does.
fn cpio(folder: &Path, names: &[&str]) -> Result<Vec<u8>> {
    files(folder, names)?;
    let list = run(Command::new("find").arg(".").current_dir(folder))?;
    pipe(Command::new("cpio").args(["-o", "-H", "newc", "--quiet"]).current_dir(folder), &list)
}

fn pipe(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().ok_or_else(|| anyhow::anyhow!("no standard input"))?;
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output()?;
    let written = writer.join().is_ok_and(|written| written.is_ok());
    anyhow::ensure!(written && output.status.success(), "{command:?}");
    Ok(output.stdout)
}

#[test]
fn an_initrd_is_read_however_it_is_packed() -> Result {
    let folder = tempfile::tempdir()?;
    let early = cpio(&folder.path().join("early"), &["kernel/x86/microcode/GenuineIntel.bin"])?;
    let main = cpio(
        &folder.path().join("main"),
        &["init", "usr/lib/modules/6.1/modules.dep", "usr/lib/modules/6.1/kernel/long.ko"],
    )?;
    for packer in ["cat", "gzip", "xz", "zstd"] {
        let packed = pipe(&mut Command::new(packer), &main)?;
        let mut initrd = early.clone();
        initrd.resize(initrd.len() + 1024, 0);
        initrd.extend(packed);
        let boot = folder.path().join(packer);
        fs_err::create_dir(&boot)?;
        fs_err::write(boot.join("initrd"), initrd)?;
        let place = Place::Initrd { tree: Box::new(Place::Folder(boot)), name: "/initrd".to_owned() };
        let tree = place.open()?;
        assert_eq!(tree.list("/usr/lib/modules")?, ["6.1"], "{packer}");
        assert!(tree.has("/kernel/x86/microcode/GenuineIntel.bin") && tree.has("/usr/lib/modules/6.1"));
        assert_eq!(tree.read("/init", 10)?.as_deref(), Some(&b"init"[..]));
        assert_eq!(tree.read("/usr/lib/modules", 10)?, None, "a folder is no file");
        let module = tree.need("/usr/lib/modules/6.1/kernel/long.ko", 1 << 20)?;
        assert!(module == b"usr/lib/modules/6.1/kernel/long.ko".repeat(5000));
    }
    Ok(())
}

#[test]
fn what_is_no_initrd_is_told() -> Result {
    let folder = tempfile::tempdir()?;
    let mut cut = cpio(&folder.path().join("tree"), &["init", "long"])?;
    cut.truncate(cut.len() / 2);
    for (bytes, reason) in [(b"text".to_vec(), "neither a cpio archive nor"), (cut, "is damaged at byte")] {
        let error = archive::Archive::unpack(bytes).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(reason), "{error}");
    }
    Ok(())
}

/// The one FAT that is damaged again and again.
fn sample() -> &'static [u8] {
    static SAMPLE: OnceLock<Vec<u8>> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let made = fat("12", 1).and_then(|file| Ok(fs_err::read(file.path())?));
        made.unwrap_or_default()
    })
}

#[test]
fn a_folder_without_end_is_refused() -> Result {
    let mut bytes = sample().to_vec();
    let sectors = bytes.chunks(512).collect::<Vec<_>>();
    let is_folder = |sector: &&[u8]| sector.starts_with(b".          \x10");
    let sector = sectors.iter().position(is_folder).ok_or_else(|| anyhow::anyhow!("no folder"))?;
    // Its entries never end, and its one cluster is followed by itself: FAT12 keeps two numbers in three bytes.
    let entries = sector * 512;
    for entry in 2..16 {
        bytes[entries + entry * 32] = 0xe5;
    }
    let boot = sample();
    let number = |at: usize| usize::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
    let first_data = number(14) + usize::from(bytes[16]) * number(22) + number(17) * 32 / 512;
    let cluster = sector - first_data + 2;
    for fat in 0..2 {
        let at = 512 * (1 + fat * number(22)) + cluster * 3 / 2;
        let (shift, keep) = if cluster % 2 == 0 { (0, 0xf000) } else { (4, 0x000f) };
        let value = u16::from_le_bytes([bytes[at], bytes[at + 1]]) & keep | u16::try_from(cluster << shift)?;
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    let file = tempfile::NamedTempFile::new()?;
    fs_err::write(file.path(), &bytes)?;
    let tree = Place::Fat { disk: file.path().into(), offset: 0, size: 1 << 20 }.open()?;
    let error = tree.read("/EFI/absent/file", 100).err();
    let cause = error.as_ref().and_then(std::error::Error::source).map(ToString::to_string);
    assert_eq!(cause.as_deref(), Some("it has no end: its structures lead in a circle"), "{error:?}");
    Ok(())
}

/// Bytes that mean something: the boot sector's numbers, the first clusters of the table, the folders.
fn place() -> impl Strategy<Value = usize> {
    prop_oneof![11usize..40, 512usize..700, 6 * 1024usize..20 * 1024]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn no_fat_makes_it_panic(damage in proptest::collection::vec((place(), any::<u8>()), 1..6)) {
        let mut bytes = sample().to_vec();
        for (at, byte) in damage {
            bytes[at] = byte;
        }
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(&bytes)?;
        let place = Place::Fat { disk: file.path().into(), offset: 0, size: 1 << 20 };
        if let Ok(tree) = place.open() {
            for folder in ["/", "/EFI", "/EFI/BOOT"] {
                for name in tree.list(folder).unwrap_or_default() {
                    drop(tree.read(&format!("{folder}/{name}"), 1 << 20));
                }
            }
        }
    }

    #[test]
    fn no_archive_makes_it_panic(damage in proptest::collection::vec((0usize..220, any::<u8>()), 0..6)) {
        let mut bytes = format!("{:0<110}init\0\0", "070701").into_bytes();
        bytes.extend(bytes.clone());
        for (at, byte) in damage {
            bytes[at] = byte;
        }
        drop(archive::Archive::unpack(bytes));
    }
}
