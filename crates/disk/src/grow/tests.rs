//! Disks made by sfdisk and mke2fs, judged by sfdisk, e2fsck and a comparison of bytes.

use super::*;
use std::{
    io::Write,
    process::{Command, Stdio},
};

type Result<T = ()> = anyhow::Result<T>;

const MIB: u64 = 1 << 20;

fn disk(script: &str) -> Result<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new()?;
    file.as_file().set_len(64 * MIB)?;
    let mut sfdisk = Command::new("/usr/sbin/sfdisk");
    let mut child = sfdisk.arg("-q").arg(file.path()).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().map(|mut stdin| stdin.write_all(script.as_bytes())).transpose()?;
    anyhow::ensure!(child.wait()?.success());
    Ok(file)
}

/// Makes an ext4 that looks like a root, or not.
fn mke2fs(file: &Path, offset: u64, mib: u64, root: bool) -> Result {
    let tree = tempfile::tempdir()?;
    if root {
        fs_err::create_dir_all(tree.path().join("etc"))?;
        fs_err::write(tree.path().join("etc/os-release"), "ID=tiny\n")?;
    }
    let mut mke2fs = Command::new("/usr/sbin/mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-E", &format!("offset={offset}"), "-d"]);
    anyhow::ensure!(mke2fs.arg(tree.path()).arg(file).arg(format!("{mib}M")).status()?.success());
    Ok(())
}

fn sfdisk(file: &Path, argument: &str) -> Result<String> {
    let output = Command::new("/usr/sbin/sfdisk").arg(argument).arg(file).output()?;
    Ok(String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?)
}

fn e2fsck(file: &Path, offset: u64) -> Result {
    let place = format!("{}?offset={offset}", file.display());
    let output = Command::new("/usr/sbin/e2fsck").args(["-f", "-n", &place]).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

fn refusal(result: std::result::Result<Grown, Error>) -> String {
    match result {
        Err(error @ Error::CannotGrow { .. }) => {
            assert!(error.hint().is_some(), "{error}");
            error.to_string().split_once("cannot grow ").map_or_else(String::new, |(_, rest)| rest.to_owned())
        }
        other => panic!("{other:?}"),
    }
}

/// As Debian's cloud images are: the root is partition 1 and lies behind 14 and 15.
const CLOUD: &str = "label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\n\
    14 : start=2048, size=3M, type=21686148-6449-6E6F-744E-656564454649, attrs=\"LegacyBIOSBootable\"\n\
    15 : size=8M, type=U, name=\"ESP\", attrs=\"RequiredPartition\"\n\
    1 : type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE, name=\"Wurzel ß\"\n";

#[test]
fn the_last_of_a_gpt_grows_and_nothing_else_changes() -> Result {
    let file = disk(CLOUD)?;
    let root = 12 * MIB;
    mke2fs(file.path(), root, 40, true)?;
    // Boot code, and what GRUB keeps in its partition.
    let boot: Vec<u8> = (0..=255).cycle().take(440).collect();
    let core: Vec<u8> = (0..=255).rev().cycle().take(3 << 20).collect();
    std::os::unix::fs::FileExt::write_all_at(file.as_file(), &boot, 0)?;
    std::os::unix::fs::FileExt::write_all_at(file.as_file(), &core, MIB)?;
    let before = (sfdisk(file.path(), "-d")?, fs_err::read(file.path())?);

    let grown = grow(file.path(), 300 * MIB)?;
    assert_eq!(
        grown,
        Grown {
            disk: 300 * MIB,
            partition: Some(1),
            filesystem: FileSystem::Ext4,
            is_root: true,
            before: 51 * MIB,
            after: 287 * MIB,
        }
    );
    let said = sfdisk(file.path(), "--verify")?;
    assert!(said.contains("No errors detected"), "{said}");
    assert!(!said.contains("mismatch") && !said.contains("not on the end"), "{said}");
    let after = (sfdisk(file.path(), "-d")?, fs_err::read(file.path())?);
    let expected = before
        .0
        .replace("size=      104448", "size=      587776")
        .replace("last-lba: 131038", "last-lba: 614366");
    assert_eq!(after.0, expected);
    e2fsck(file.path(), root)?;
    // Sector 0 but for the length in its one entry, the partitions, and no second copy of the table.
    let place = |mib: u64| usize::try_from(mib * MIB);
    assert_eq!((&after.1[..458], &after.1[462..512]), (&before.1[..458], &before.1[462..512]));
    assert_eq!(after.1[place(1)?..place(63)?], before.1[place(1)?..place(63)?]);
    assert!(after.1[place(63)?..place(299)?].iter().all(|byte| *byte == 0));

    // Once more: nothing to do.
    let again = grow(file.path(), 300 * MIB)?;
    assert_eq!((again.before, again.after), (287 * MIB, 287 * MIB));
    assert!(fs_err::read(file.path())? == after.1);
    Ok(())
}

#[test]
fn the_copy_alone_serves_after_the_growth() -> Result {
    let file = disk(CLOUD)?;
    mke2fs(file.path(), 12 * MIB, 40, true)?;
    grow(file.path(), 128 * MIB)?;
    let before = inspect(file.path())?;
    std::os::unix::fs::FileExt::write_all_at(file.as_file(), &[0; 512], SECTOR)?;
    assert_eq!(inspect(file.path())?, before);
    let result = grow(file.path(), 256 * MIB);
    assert!(matches!(result, Err(Error::Table { table: "GPT", .. })), "{result:?}");
    assert_eq!(file.as_file().metadata()?.len(), 128 * MIB);
    Ok(())
}

#[test]
fn the_last_of_an_mbr_grows() -> Result {
    let file = disk("label: dos\nlabel-id: 0xdeadbeef\nsize=8M, type=c\ntype=83, bootable\n")?;
    mke2fs(file.path(), 9 * MIB, 40, true)?;
    let before = fs_err::read(file.path())?;
    let grown = grow(file.path(), 300 * MIB)?;
    assert_eq!((grown.partition, grown.is_root, grown.after), (Some(2), true, 291 * MIB));
    let said = sfdisk(file.path(), "--verify")?;
    assert!(said.contains("No errors detected"), "{said}");
    let dump = sfdisk(file.path(), "-d")?;
    assert!(dump.contains("0xdeadbeef") && dump.contains("size=      595968, type=83, bootable"), "{dump}");
    e2fsck(file.path(), 9 * MIB)?;
    let after = fs_err::read(file.path())?;
    assert_eq!((&after[..467], &after[478..512]), (&before[..467], &before[478..512]));
    assert!(after[512..before.len()] == before[512..]);

    // What lies beyond 2 TiB cannot be said; the file stays sparse.
    let grown = grow(file.path(), 3 << 40)?;
    assert_eq!((grown.disk, grown.after), (3 << 40, (2 << 40) - 9 * MIB));
    assert_eq!(inspect(file.path())?.partitions[1].size, (2 << 40) - 9 * MIB);
    Ok(())
}

#[test]
fn a_whole_disk_has_no_table() -> Result {
    let file = tempfile::NamedTempFile::new()?;
    mke2fs(file.path(), 0, 32, false)?;
    let grown = grow(file.path(), 100 * MIB + 1)?;
    assert_eq!((grown.partition, grown.is_root, grown.disk), (None, false, 100 * MIB));
    assert_eq!((grown.before, grown.after), (32 * MIB, 100 * MIB));
    e2fsck(file.path(), 0)?;
    let result = grow(file.path(), 99 * MIB);
    assert!(matches!(result, Err(Error::TooSmall { .. })), "{result:?}");
    Ok(())
}

#[test]
fn what_cannot_grow_says_why_and_stays() -> Result {
    let swap = disk("label: gpt\nsize=40M\ntype=S\n")?;
    mke2fs(swap.path(), MIB, 40, true)?;
    std::os::unix::fs::FileExt::write_all_at(swap.as_file(), b"SWAPSPACE2", 41 * MIB + 4086)?;
    assert_eq!(refusal(grow(swap.path(), 100 * MIB)), "partition 2: it is the last one and holds swap space");

    let logical = disk("label: dos\nd1 : size=8M\nd2 : type=5\nd5 : size=50M\n")?;
    mke2fs(logical.path(), 10 * MIB, 40, true)?;
    assert_eq!(refusal(grow(logical.path(), 100 * MIB)), "partition 5: it lies in an extended partition");

    let extended = disk("label: dos\nsize=40M\ntype=5\n")?;
    mke2fs(extended.path(), MIB, 40, true)?;
    assert_eq!(refusal(grow(extended.path(), 100 * MIB)), "partition 1: another one lies behind it");

    let unknown = disk("label: gpt\nsize=40M\n")?;
    let reason = "partition 1: it is the last one and holds nothing known";
    assert_eq!(refusal(grow(unknown.path(), 100 * MIB)), reason);
    for file in [swap, logical, extended, unknown] {
        assert_eq!(file.as_file().metadata()?.len(), 64 * MIB);
    }
    Ok(())
}
